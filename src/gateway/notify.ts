/**
 * The sd_notify protocol (man 3 sd_notify): datagrams of `KEY=value` lines to the socket that NOTIFY_SOCKET
 * names. Without that variable nothing is sent, so the same code runs by hand and under systemd.
 */
import { addon } from '../link/addon.ts';
import { type NamedQueue, queueNames } from './kept-queues.ts';

export class ServiceManager {
  readonly #socket: string | undefined;
  /** Milliseconds within which the manager wants a sign of life; 0: it does not ask for one. */
  readonly watchdogMs: number;

  constructor(environment: NodeJS.ProcessEnv, pid = process.pid) {
    this.#socket = environment['NOTIFY_SOCKET'];
    const meant = environment['WATCHDOG_PID'] === undefined || Number(environment['WATCHDOG_PID']) === pid;
    const microseconds = Number(environment['WATCHDOG_USEC'] ?? 0);
    this.watchdogMs =
      this.#socket !== undefined && meant && microseconds > 0 ? Math.floor(microseconds / 1000) : 0;
  }

  ready(status: string): void {
    this.#send(`READY=1\nSTATUS=${status}`);
  }

  status(status: string): void {
    this.#send(`STATUS=${status}`);
  }

  stopping(): void {
    this.#send('STOPPING=1\nSTATUS=undoing');
  }

  /** That process is the service from now on. */
  follow(pid: number): void {
    this.#send(`MAINPID=${pid}`);
  }

  /** Gives it copies of the queues to keep while this process lives and after it. */
  keep(queues: readonly NamedQueue[]): void {
    for (const { name, fd } of queueNames(queues)) this.#send(`FDSTORE=1\nFDNAME=${name}`, [fd]);
  }

  /** Has it close what it keeps under these names: nobody will read them. */
  forget(names: readonly string[]): void {
    for (const name of names) this.#send(`FDSTOREREMOVE=1\nFDNAME=${name}`);
  }

  alive(): void {
    this.#send('WATCHDOG=1');
  }

  /** A manager that has gone is no reason to stop forwarding. */
  #send(text: string, fds: readonly number[] = []): void {
    if (this.#socket === undefined) return;
    try {
      addon().unixNotify(this.#socket, Buffer.from(text), fds);
    } catch {
      // Nobody listens any more.
    }
  }
}
