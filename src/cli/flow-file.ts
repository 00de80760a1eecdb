/** `natgate flows save` and `natgate flows restore`. */
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { isSystemError, NatgateError } from '../core/errors.ts';
import { runDirectory } from '../gateway/run/run-record.ts';
import { type RestoredFlows, restoredLine, restorePath } from '../gateway/saved-flows/restoring.ts';
import { saveFlows } from '../gateway/saved-flows/save.ts';
import { recordOf } from '../gateway/status.ts';
import { packageVersion } from '../gateway/version.ts';
import { ask, socketOf, type Which } from './client.ts';

/** Throws NatgateError `usage`, `not_running`, `not_permitted`, `file_failed`. */
export async function saveAndPrint(which: Which, words: readonly string[], json: boolean): Promise<void> {
  const path = fileOf(words, 'save');
  if (path === null && process.stdout.isTTY) {
    throw new NatgateError('usage', 'flows save: which file?', 'e.g. natgate flows save office.flows');
  }
  const record = recordOf(which);
  const saved = await attempt(path, async () => saveFlows(record, path));
  const line = json ? JSON.stringify({ saved }) : `natgate v${packageVersion()}: ${saved} flows saved.`;
  (path === null ? process.stderr : process.stdout).write(`${line}\n`);
}

/** Throws the same, and what the gateway says of the file. */
export async function restoreAndPrint(which: Which, words: readonly string[], json: boolean): Promise<void> {
  const path = fileOf(words, 'restore');
  socketOf(which);
  const place = restorePath(runDirectory(which.stateRoot, which.name));
  try {
    await attempt(path, () =>
      pipeline(
        path === null ? process.stdin : createReadStream(path),
        createWriteStream(place, { mode: 0o600 }),
      ),
    );
    const restored = await ask<RestoredFlows>(which, 'POST', '/v1/flows/restore', {});
    const line = json ? JSON.stringify(restored) : `natgate v${packageVersion()}: ${restoredLine(restored)}.`;
    process.stdout.write(`${line}\n`);
  } finally {
    rmSync(place, { force: true });
  }
}

/** Null: stdin or stdout. */
function fileOf(words: readonly string[], verb: string): string | null {
  if (words.length <= 1) return words[0] ?? null;
  throw new NatgateError(
    'usage',
    `flows ${verb}: one file, not ${words.length}`,
    `e.g. natgate flows ${verb} office.flows`,
  );
}

async function attempt<T>(path: string | null, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const { message } = error;
    if (isSystemError(error, 'EACCES') || isSystemError(error, 'EPERM')) {
      throw new NatgateError('not_permitted', message, 'try with sudo', { cause: error });
    }
    throw new NatgateError(
      'file_failed',
      `${path ?? 'the stream'}: ${message}`,
      'see whether it is there, and the disk not full',
      {
        cause: error,
      },
    );
  }
}
