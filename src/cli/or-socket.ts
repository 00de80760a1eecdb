/** The files of a gateway need no answer of it, but are root's; members of the control socket's group ask it instead. */
import { isSystemError } from '../core/errors.ts';

/** What `fromFiles` gives; where it may not read them, what `fromSocket` gives. */
export async function orSocket<T>(
  fromFiles: () => T | Promise<T>,
  fromSocket: () => T | Promise<T>,
): Promise<T> {
  try {
    return await fromFiles();
  } catch (error) {
    if (!isSystemError(error, 'EACCES')) throw error;
    return fromSocket();
  }
}
