/**
 * Output of verbs that go on until somebody ends them: by Ctrl-C or SIGTERM, or by no longer reading. Both are no failure.
 */
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
