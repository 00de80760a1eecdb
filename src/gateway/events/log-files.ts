/** The files of a rotated event log, and their lines, oldest first. */
import { createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** `path`, and path.1, path.2 … as far as there are any without a hole; oldest first. */
export function logFiles(path: string): string[] {
  const files = existsSync(path) ? [path] : [];
  for (let n = 1; existsSync(`${path}.${n}`); n++) files.unshift(`${path}.${n}`);
  return files;
}

/** Their lines. A file that is rotated away meanwhile is read to its end all the same, and the one after it perhaps twice. */
export async function* logLines(path: string): AsyncGenerator<string> {
  for (const file of logFiles(path)) yield* createInterface({ input: createReadStream(file, 'utf8') });
}
