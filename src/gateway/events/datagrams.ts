/** UDP datagrams to one receiver, some at a time: so many wait for the socket, no more. */
import { createSocket, type Socket } from 'node:dgram';

/** Sent before it is waited for. */
export const AT_ONCE = 64;

export class Datagrams {
  #socket: Socket | null = null;

  /** Sends AT_ONCE at most; how many could be sent before one could not. Rejects where not one could. */
  async send(some: readonly (string | Uint8Array)[], host: string, port: number): Promise<number> {
    const socket = this.#open();
    const results = await Promise.allSettled(
      some.map(
        (bytes) =>
          new Promise<void>((resolve, reject) => {
            socket.send(bytes, port, host, (error) => (error === null ? resolve() : reject(error)));
          }),
      ),
    );
    const failed = results.findIndex(({ status }) => status === 'rejected');
    if (failed === 0) throw (results[0] as PromiseRejectedResult).reason;
    return failed < 0 ? some.length : failed;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  #open(): Socket {
    if (this.#socket === null) {
      this.#socket = createSocket('udp4');
      // A send that fails says so to its callback.
      this.#socket.on('error', () => {});
    }
    return this.#socket;
  }
}
