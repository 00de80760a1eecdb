/**
 * A connection between two supervisors, over which one hands its gateway to the other: messages in JSON, some with descriptors.
 *
 *     heir ── hello ──▶ predecessor     who I am, what I would serve
 *     heir ◀── refused | offer, queues … ── predecessor
 *     heir ── stop ───▶                 my engine stands by
 *     heir ◀── stopped ──               mine is no more; packets wait
 *     heir ── done ───▶                 mine forwards, and the host is mine: go
 *
 * Who closes it before `done` leaves the gateway to the predecessor, which goes on.
 */
import { closeSync } from 'node:fs';
import type { ProcessIdentity } from '../../host/process-identity.ts';
import { addon, type Watch } from '../../link/addon.ts';

/** Changes with what follows. */
export const PROTOCOL = 1;
/** Of one message; the kernel takes 253. */
const DESCRIPTORS_AT_ONCE = 200;

/** What both must agree on, since queues and memory go on as they are. */
export interface Shape {
  /** Private interfaces first, the public one last. */
  interfaces: readonly string[];
  workers: number;
  flows: number;
}

export interface Hello extends Shape {
  type: 'hello';
  protocol: number;
  natgate: string;
}

export interface Refused {
  type: 'refused';
  reason: string;
  remedy: string;
}

export interface Offer {
  type: 'offer';
  natgate: string;
  process: ProcessIdentity;
  /** Of the queues, in order: the device of each. The descriptors follow, and last that of the owned map. */
  queues: readonly string[];
  /** How its service manager is told things; only what is set. */
  environment: Record<string, string>;
}

export type TakeoverMessage =
  | Hello
  | Refused
  | Offer
  | { type: 'descriptors' }
  | { type: 'stop' }
  | { type: 'stopped' }
  | { type: 'done' };

export class Channel {
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #onClose: () => void;
  #isOpen = true;

  /** `onMessage` gets descriptors to keep or to close. */
  constructor(fd: number, onMessage: (message: TakeoverMessage, fds: number[]) => void, onClose: () => void) {
    this.#fd = fd;
    this.#onClose = onClose;
    this.#watch = addon().watchReadable(fd, () => {
      while (this.#isOpen) {
        const received = this.#receive();
        if (received === null) return;
        onMessage(...received);
      }
    });
  }

  /** Throws SystemError when the other side has gone. */
  send(message: TakeoverMessage): void {
    addon().unixSendFds(this.#fd, Buffer.from(JSON.stringify(message)), []);
  }

  sendDescriptors(fds: readonly number[]): void {
    const text = Buffer.from(JSON.stringify({ type: 'descriptors' }));
    for (let at = 0; at < fds.length; at += DESCRIPTORS_AT_ONCE) {
      addon().unixSendFds(this.#fd, text, fds.slice(at, at + DESCRIPTORS_AT_ONCE));
    }
  }

  /** From this side: `onClose` is not called. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#watch.close();
    closeSync(this.#fd);
  }

  /** Null: nothing more at the moment, or for ever. */
  #receive(): [TakeoverMessage, number[]] | null {
    let received: { data: Uint8Array; fds: number[] } | null;
    try {
      received = addon().unixReceiveFds(this.#fd);
    } catch {
      received = { data: new Uint8Array(0), fds: [] };
    }
    if (received === null) return null;
    const message = received.data.length === 0 ? null : parse(received.data);
    if (message !== null) return [message, received.fds];
    for (const fd of received.fds) closeSync(fd);
    this.close();
    this.#onClose();
    return null;
  }
}

/** Null: not of this protocol. */
function parse(data: Uint8Array): TakeoverMessage | null {
  try {
    const message = JSON.parse(Buffer.from(data).toString());
    return typeof message?.type === 'string' ? message : null;
  } catch {
    return null;
  }
}
