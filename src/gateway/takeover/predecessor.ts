/** The side of a new `natgate run --takeover`: asks the gateway that runs for what it has, and later for its place. */
import { closeSync } from 'node:fs';
import { NatgateError } from '../../core/errors.ts';
import type { ProcessIdentity } from '../../host/process-identity.ts';
import { addon } from '../../link/addon.ts';
import { packageVersion } from '../version.ts';
import { Channel, type Offer, PROTOCOL, type Shape, type TakeoverMessage } from './channel.ts';
import { takeoverPath } from './handover.ts';

/** It answers from its event loop, which may be busy; and its engine has half a second to finish. */
const PATIENCE_MS = 10_000;

/** What a gateway begins with that is open already. */
export interface Inherited {
  /** By TUN device, in the order of the workers. */
  queues: ReadonlyMap<string, readonly number[]>;
  ownedFd?: number;
}

export class Predecessor {
  readonly process: ProcessIdentity;
  /** How the service manager of the predecessor is told things. */
  readonly environment: Readonly<Record<string, string>>;
  readonly inherited: Inherited & { ownedFd: number };
  readonly #connection: Connection;

  private constructor(offer: Offer, fds: readonly number[], connection: Connection) {
    this.process = offer.process;
    this.environment = offer.environment;
    const queues = new Map<string, number[]>();
    for (const [i, device] of offer.queues.entries()) {
      queues.set(device, [...(queues.get(device) ?? []), fds[i]!]);
    }
    this.inherited = { queues, ownedFd: fds.at(-1)! };
    this.#connection = connection;
  }

  /** Throws NatgateError `takeover_refused`, and `not_running` when there is no gateway to take over. */
  static async ask(directory: string, name: string, shape: Shape): Promise<Predecessor> {
    const connection = Connection.open(directory, name);
    try {
      const hello = { type: 'hello', protocol: PROTOCOL, natgate: packageVersion(), ...shape } as const;
      connection.send(hello);
      const answer = await connection.next();
      if (answer.type === 'refused') {
        throw new NatgateError(
          'takeover_refused',
          `the gateway ${name} cannot be taken over: ${answer.reason}`,
          answer.remedy,
        );
      }
      if (answer.type !== 'offer') throw broken('it answered otherwise than expected');
      const fds = await connection.descriptors(answer.queues.length + 1);
      const wrong = answer.queues.find((device, i) => addon().tunName(fds[i]!) !== device);
      if (wrong !== undefined) throw broken(`it has no queue of ${wrong}`);
      return new Predecessor(answer, fds, connection);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Resolves when it forwards no more; packets wait from then on. */
  async stop(): Promise<void> {
    this.#connection.send({ type: 'stop' });
    const answer = await this.#connection.next();
    if (answer.type !== 'stopped') throw broken('it did not stop');
  }

  /** The gateway is this process's. Resolves when the predecessor knows; one that died meanwhile need not know. */
  async release(): Promise<void> {
    try {
      this.#connection.send({ type: 'done' });
      await this.#connection.closed();
    } catch {
      // It has gone, or does not answer; the journal and the socket are this process's all the same.
    }
  }

  /** Leaves it what it has: it goes on. */
  abandon(): void {
    this.#connection.close();
  }
}

/** Messages as a queue. */
class Connection {
  readonly #channel: Channel;
  readonly #messages: TakeoverMessage[] = [];
  readonly #fds: number[] = [];
  #isClosed = false;
  #wake: () => void = () => {};

  private constructor(fd: number) {
    this.#channel = new Channel(
      fd,
      (message, fds) => {
        this.#fds.push(...fds);
        if (message.type !== 'descriptors') this.#messages.push(message);
        this.#wake();
      },
      () => {
        this.#isClosed = true;
        this.#wake();
      },
    );
  }

  static open(directory: string, name: string): Connection {
    try {
      return new Connection(addon().unixConnect(takeoverPath(directory)));
    } catch (cause) {
      throw new NatgateError(
        'not_running',
        `no gateway ${name} runs here that could be taken over`,
        'start it without --takeover',
        { cause },
      );
    }
  }

  send(message: TakeoverMessage): void {
    try {
      this.#channel.send(message);
    } catch (cause) {
      throw broken((cause as Error).message);
    }
  }

  async next(): Promise<TakeoverMessage> {
    await this.#until(() => this.#messages.length > 0);
    return this.#messages.shift()!;
  }

  async descriptors(count: number): Promise<number[]> {
    await this.#until(() => this.#fds.length >= count);
    return this.#fds.splice(0, count);
  }

  async closed(): Promise<void> {
    await this.#until(() => this.#isClosed, true);
  }

  close(): void {
    this.#channel.close();
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }

  async #until(condition: () => boolean, mayClose = false): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!condition()) {
      if (this.#isClosed && !mayClose) throw broken('it ended the connection');
      const left = deadline - performance.now();
      if (left <= 0) throw broken('it does not answer');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

function broken(why: string): NatgateError {
  return new NatgateError(
    'takeover_failed',
    `the gateway that runs could not be taken over: ${why}`,
    'it goes on; its log may say more',
  );
}
