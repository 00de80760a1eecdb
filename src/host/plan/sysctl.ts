/** Kernel settings under /proc/sys. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import type { Step } from './step.ts';
import type { UndoRecord } from './undo-records.ts';

/** Sets one, e.g. `net.ipv4.conf.eth0.forwarding` as `['net', 'ipv4', 'conf', 'eth0', 'forwarding']`. */
export function sysctlStep(path: readonly string[], value: string): Step {
  const file = path.join('/');
  return {
    name: `sysctl ${file}`,
    show: `sysctl -w ${file}=${/\s/.test(value) ? `'${value}'` : value}`,
    prepare: () => ({ kind: 'sysctl', path: file, before: readSysctl(file) ?? '', ours: value }),
    apply: () => writeSysctl(file, value),
    check() {
      const now = readSysctl(file);
      return now === value || now === null ? null : `${file} became ${now}`;
    },
  };
}

/** Null when there is no such setting. Runs of white space become one blank. */
export function readSysctl(path: string): string | null {
  try {
    return readFileSync(join('/proc/sys', path), 'utf8').trim().replace(/\s+/g, ' ');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return null;
    throw error;
  }
}

/** Does nothing where the value is there already, so that a read-only /proc/sys with the right value will do. */
export function writeSysctl(path: string, value: string): void {
  if (readSysctl(path) === value) return;
  try {
    writeFileSync(join('/proc/sys', path), value);
  } catch (cause) {
    throw new NatgateError(
      'sysctl_failed',
      `${path} could not be set to ${value}: ${(cause as Error).message}`,
      isSystemError(cause, 'EROFS')
        ? `/proc/sys is read-only here: give the container the value itself (docker run --sysctl ${path.replaceAll('/', '.')}='${value}')`
        : `try \`sysctl -w ${path}='${value}'\``,
      { cause },
    );
  }
}

/** Restores the value unless somebody has changed it since. */
export function undoSysctl(undo: UndoRecord & { kind: 'sysctl' }): string | null {
  const now = readSysctl(undo.path);
  if (now === null || now === undo.before) return null;
  if (now !== undo.ours) return `it is ${now} by now, which natgate did not set`;
  writeSysctl(undo.path, undo.before);
  return null;
}
