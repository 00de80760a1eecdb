/** The outcome of looking at one thing that natgate needs. */
export interface Check {
  /** What was looked at, e.g. `kernel`, `interface eth0`. */
  name: string;
  /** fail: `natgate run` would not start. warn: it would, with a consequence worth knowing. */
  status: 'ok' | 'warn' | 'fail';
  /** What was found. */
  what: string;
  /** Why natgate asks; empty when `ok`. */
  why: string;
  /** How to mend it; empty when `ok`. */
  remedy: string;
  /** The code of the NatgateError that `run` throws for it; empty unless `fail`. */
  code: string;
}

export function ok(name: string, what: string): Check {
  return { name, status: 'ok', what, why: '', remedy: '', code: '' };
}

export function warn(name: string, what: string, why: string, remedy: string): Check {
  return { name, status: 'warn', what, why, remedy, code: '' };
}

export function fail(name: string, code: string, what: string, why: string, remedy: string): Check {
  return { name, status: 'fail', what, why, remedy, code };
}
