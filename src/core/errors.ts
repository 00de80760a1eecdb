/**
 * Errors of the cold path. Hot code never throws: it counts a drop reason (reasons.ts) and goes on.
 *
 * `code` is permanent and may be matched by programs; `message` says what is wrong and where; `hint` says how
 * to mend it. The command line prints `natgate: <message>` and, on the next line, the hint.
 */
export class NatgateError extends Error {
  /** `NatgateError` */
  override readonly name = 'NatgateError';
  /** Permanent; programs may match it. */
  readonly code: string;
  /** How to mend it. */
  readonly hint: string;

  constructor(code: string, message: string, hint = '', options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.hint = hint;
  }
}

/** The part of an errno-style error (Node's own, and the addon's) that callers match on. */
export interface SystemError extends Error {
  /** Name of the errno, e.g. `ENODEV`. */
  code: string;
  /** The system call that failed, e.g. `ioctl(TUNSETIFF)`. */
  syscall: string;
}

export function isSystemError(error: unknown, code?: string): error is SystemError {
  return (
    error instanceof Error &&
    'syscall' in error &&
    'code' in error &&
    (code === undefined || error.code === code)
  );
}
