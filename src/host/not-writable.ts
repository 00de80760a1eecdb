/** A folder of natgate's that cannot be written: as an error, and what to do about it. */
import { isSystemError, NatgateError } from '../core/errors.ts';

export function notWritable(directory: string, cause: unknown): NatgateError {
  const message = `the state directory ${directory} cannot be written: ${(cause as Error).message}`;
  return new NatgateError('state_not_writable', message, writableHint(directory, cause), { cause });
}

export function writableHint(directory: string, cause: unknown): string {
  if (isSystemError(cause, 'ENOSPC') || isSystemError(cause, 'EDQUOT')) {
    return `make room there: \`df -h ${directory}\``;
  }
  if (isSystemError(cause, 'EROFS')) return `its file system is read-only: \`findmnt -T ${directory}\``;
  return 'run natgate as root, or name a writable folder in NATGATE_STATE_ROOT';
}
