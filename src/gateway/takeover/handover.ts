/**
 * The side of a running gateway in a takeover: a socket in the run directory, for root alone, on which a new `natgate run --takeover` asks.
 * One at a time. What may go wrong before `done` goes back to how it was: the gateway goes on with the engine that stands by.
 */
import { closeSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { thisProcess } from '../../host/process-identity.ts';
import { addon } from '../../link/addon.ts';
import type { Log } from '../log.ts';
import { packageVersion } from '../version.ts';
import { Channel, type Hello, PROTOCOL, type Shape, type TakeoverMessage } from './channel.ts';

/** What a handover needs of the gateway. */
export interface Handed {
  readonly shape: Shape;
  /** Queues of all TUNs with their devices, and the owned map; null while it is not up. */
  descriptors(): { queues: readonly { device: string; fd: number }[]; ownedFd: number } | null;
  /** Stops forwarding and serving, so that it can go on at once. */
  suspend(): Promise<void>;
  resume(): Promise<void>;
  /** The gateway is that process's now. */
  handedOver(pid: number): void;
}

export function takeoverPath(directory: string): string {
  return join(directory, 'takeover.sock');
}

/** Listens until closed. Throws SystemError. */
export function offerTakeover(
  directory: string,
  handed: Handed,
  environment: NodeJS.ProcessEnv,
  log: Log,
): { close(): void } {
  const path = takeoverPath(directory);
  // A killed gateway's; or that of the predecessor, which listens no more when this one is up.
  rmSync(path, { force: true });
  const listener = addon().unixListen(path);
  let current: Handover | null = null;
  const watch = addon().watchReadable(listener, () => {
    for (let peer = addon().unixAccept(listener); peer !== null; peer = addon().unixAccept(listener)) {
      if (peer.uid !== process.geteuid!() || current !== null) closeSync(peer.fd);
      else {
        current = new Handover(peer, handed, environment, log, () => {
          current = null;
        });
      }
    }
  });
  return {
    close() {
      watch.close();
      closeSync(listener);
      current?.close();
    },
  };
}

class Handover {
  readonly #pid: number;
  readonly #handed: Handed;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #log: Log;
  readonly #onEnd: () => void;
  readonly #channel: Channel;
  #isOffered = false;
  #suspended: Promise<void> | null = null;

  constructor(
    peer: { fd: number; pid: number },
    handed: Handed,
    environment: NodeJS.ProcessEnv,
    log: Log,
    onEnd: () => void,
  ) {
    this.#pid = peer.pid;
    this.#handed = handed;
    this.#environment = environment;
    this.#log = log;
    this.#onEnd = onEnd;
    this.#channel = new Channel(
      peer.fd,
      (message, fds) => {
        for (const fd of fds) closeSync(fd);
        this.#hear(message);
      },
      () => void this.#failed(),
    );
  }

  close(): void {
    this.#channel.close();
  }

  #hear(message: TakeoverMessage): void {
    if (message.type === 'hello') this.#offer(message);
    else if (message.type === 'stop' && this.#isOffered) void this.#suspend();
    else if (message.type === 'done' && this.#suspended !== null) {
      this.#channel.close();
      this.#handed.handedOver(this.#pid);
    }
  }

  #offer(hello: Hello): void {
    const descriptors = this.#handed.descriptors();
    const reason = descriptors === null ? 'it is not up' : why(hello, this.#handed.shape);
    if (reason !== null || descriptors === null) {
      const remedy = 'stop it and start the new one: `natgate run --linger S` keeps connections meanwhile';
      this.#channel.send({ type: 'refused', reason: reason ?? '', remedy });
      return;
    }
    const { queues, ownedFd } = descriptors;
    this.#isOffered = true;
    this.#channel.send({
      type: 'offer',
      natgate: packageVersion(),
      process: thisProcess(),
      queues: queues.map(({ device }) => device),
      environment: notifyEnvironment(this.#environment),
    });
    this.#channel.sendDescriptors([...queues.map(({ fd }) => fd), ownedFd]);
  }

  async #suspend(): Promise<void> {
    this.#log(`another natgate (pid ${this.#pid}) takes over`);
    this.#suspended = this.#handed.suspend();
    await this.#suspended;
    try {
      this.#channel.send({ type: 'stopped' });
    } catch {
      // It has gone; that is heard of.
    }
  }

  /** The other side closed the connection, or died. */
  async #failed(): Promise<void> {
    if (this.#suspended !== null) {
      await this.#suspended;
      await this.#handed.resume();
      this.#log('the other natgate did not take over; this one goes on', 'warning');
    }
    this.#onEnd();
  }
}

/** Null: nothing stands against it. */
function why(hello: Hello, shape: Shape): string | null {
  if (hello.protocol !== PROTOCOL) return `it is natgate ${packageVersion()}, which hands over otherwise`;
  if (!isDeepStrictEqual(hello.interfaces, shape.interfaces)) {
    return `it serves ${shape.interfaces.join(' and ')}`;
  }
  if (hello.workers !== shape.workers) return `it has --workers ${shape.workers}`;
  if (hello.flows !== shape.flows) return `it has --flows ${shape.flows}`;
  return null;
}

function notifyEnvironment(environment: NodeJS.ProcessEnv): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC']) {
    const value = environment[name];
    if (value !== undefined) found[name] = value;
  }
  return found;
}
