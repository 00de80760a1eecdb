/** Long output: at the pace of whoever reads it, and without an outcry when he has had enough (`| head`). */
import { once } from 'node:events';

const PIECE = 65_536;

/** A long list to stdout, in pieces. */
export async function writeLines(lines: Iterable<string>): Promise<void> {
  const { stdout } = process;
  let isOver = false;
  const over = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    isOver = true;
  };
  stdout.on('error', over);
  let piece = '';
  const send = async () => {
    if (!stdout.write(piece)) await Promise.race([once(stdout, 'drain'), once(stdout, 'close')]);
    piece = '';
  };
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length >= PIECE) await send();
    if (isOver) return;
  }
  if (piece !== '') await send();
}

/** Of verbs that go on until somebody ends them: by Ctrl-C or SIGTERM, or by no longer reading. Both are no failure. */
export interface Output {
  /** Resolves when there is room for more. */
  write(data: string | Uint8Array): Promise<void>;
  /** Aborted when it is to end. */
  signal: AbortSignal;
  /** Takes the handlers away. */
  end(): void;
}

/** `stream`: where to, standard output without it. */
export function untilInterrupted(stream: NodeJS.WritableStream = process.stdout): Output {
  const controller = new AbortController();
  const stop = () => controller.abort();
  const failed = (error: NodeJS.ErrnoException) => {
    // The reader has gone (`| head`).
    if (error.code === 'EPIPE') stop();
    else throw error;
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, stop);
  stream.on('error', failed);
  return {
    signal: controller.signal,
    write: (data) =>
      new Promise((resolve) => {
        if (data.length === 0 || controller.signal.aborted) return resolve();
        if (stream.write(data)) return resolve();
        const done = () => {
          stream.removeListener('drain', done);
          controller.signal.removeEventListener('abort', done);
          resolve();
        };
        stream.once('drain', done);
        controller.signal.addEventListener('abort', done);
      }),
    end: () => {
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.removeListener(name, stop);
    },
  };
}
