/**
 * How a command ends: its exit code, and what it says when it fails. Scripts may rely on the codes.
 */
import { isSystemError, NatgateError } from '../core/errors.ts';
import { shortageHint } from '../core/shortage-hint.ts';

export const EXIT = { ok: 0, failed: 1, usage: 2, notRunning: 3 } as const;

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof NatgateError)) return EXIT.failed;
  // Asking again does not help, and a service manager need not try.
  if (['usage', 'config_invalid', 'filter_invalid'].includes(error.code)) return EXIT.usage;
  return error.code === 'not_running' ? EXIT.notRunning : EXIT.failed;
}

/** `natgate: <message>` and, indented below, the remedy. A stack trace only where one was asked for. */
export function errorText(error: unknown, debug: boolean): string {
  const message = error instanceof Error ? error.message : String(error);
  const hint = hintOf(error);
  // Lines that begin with a place in a file, for editors and people to go there.
  if (error instanceof NatgateError && error.code === 'config_invalid')
    return `${message}\nnatgate: ${hint}\n`;
  const lines = [`natgate: ${message}`];
  if (hint !== '') lines.push(`  ${hint}`);
  if (debug && error instanceof Error) lines.push(traceOf(error));
  return `${lines.join('\n')}\n`;
}

function hintOf(error: unknown): string {
  if (error instanceof NatgateError) return error.hint;
  const denied = isSystemError(error, 'EPERM') || isSystemError(error, 'EACCES');
  if (denied) return 'natgate needs the rights of root here: try with sudo';
  return isSystemError(error) ? shortageHint(error.code) : '';
}

function traceOf(error: Error): string {
  const trace = error.stack ?? '';
  return error.cause instanceof Error ? `${trace}\ncaused by ${traceOf(error.cause)}` : trace;
}
