/** The file's text: everything that a path can lead to and that is no configuration is refused. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { TextDecoder } from 'node:util';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { ConfigError } from './problems.ts';

/** Ten thousand forwards are half of it. */
export const MAX_FILE_BYTES = 1_048_576;

/** Throws NatgateError `config_unreadable`, or ConfigError where its bytes are no text. */
export function readConfigFile(file: string): string {
  const bytes = readBytes(file);
  const wrong = firstBadByte(bytes);
  if (wrong >= 0) {
    const before = new TextDecoder().decode(bytes.subarray(0, wrong)).split('\n');
    const place = { line: before.length, column: before.at(-1)!.length + 1 };
    const what = `the byte 0x${bytes[wrong]!.toString(16).padStart(2, '0')} is not UTF-8`;
    throw new ConfigError(file, [
      { severity: 'error', path: [], what, remedy: 'save the file as UTF-8', place },
    ]);
  }
  return new TextDecoder().decode(bytes);
}

function readBytes(file: string): Uint8Array {
  let fd: number | undefined;
  try {
    fd = openSync(file, 'r');
    if (fstatSync(fd).isDirectory()) throw unreadable(file, 'it is a directory', 'name the file in it');
    const buffer = new Uint8Array(MAX_FILE_BYTES + 1);
    let length = 0;
    for (;;) {
      const read = readSync(fd, buffer, length, buffer.length - length, null);
      length += read;
      if (read === 0) return buffer.subarray(0, length);
      if (length > MAX_FILE_BYTES) {
        throw unreadable(
          file,
          `it has more than ${MAX_FILE_BYTES} bytes`,
          'a configuration is smaller: is it another file?',
        );
      }
    }
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const remedies: Record<string, string> = {
      ENOENT: 'give the path of a configuration with --config',
      EACCES: 'it must be readable for the user who runs natgate',
    };
    const reasons: Record<string, string> = { ENOENT: 'there is no such file', EACCES: 'permission denied' };
    throw unreadable(file, reasons[error.code] ?? error.message, remedies[error.code] ?? 'look at the path');
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function unreadable(file: string, why: string, remedy: string): NatgateError {
  return new NatgateError('config_unreadable', `${file} cannot be read: ${why}`, remedy);
}

/** Offset of the first byte that begins no UTF-8 character, or -1. */
function firstBadByte(bytes: Uint8Array): number {
  if (isText(bytes, false)) return -1;
  let [good, bad] = [0, bytes.length + 1];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (middle <= bytes.length && isText(bytes.subarray(0, middle), true)) good = middle;
    else bad = middle;
  }
  // So many are text as far as one can tell; they may end in the middle of the character that is none.
  if (isText(bytes.subarray(0, good), false)) return good;
  let start = good - 1;
  while (start > 0 && (bytes[start]! & 0xc0) === 0x80) start--;
  return start;
}

/** `mayBeCut`: a character at the end may lack its last bytes. */
function isText(bytes: Uint8Array, mayBeCut: boolean): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: mayBeCut });
    return true;
  } catch {
    return false;
  }
}
