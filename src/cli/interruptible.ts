/** Work that a user may interrupt, and that undoes what it did before it ends. */

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Runs `work` with a signal that SIGINT, SIGTERM and SIGHUP abort; then says so, with the exit code a shell would give. */
export async function interruptible(
  verb: string,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const abort = new AbortController();
  for (const [signal, code] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      process.exitCode = code;
      abort.abort();
    });
  }
  try {
    await work(abort.signal);
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    process.stderr.write(`natgate ${verb}: interrupted, all undone\n`);
  }
}
