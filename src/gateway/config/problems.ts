/** What is wrong with a configuration, and where: as values, as lines, as an error to throw. */
import { NatgateError } from '../../core/errors.ts';

/** Keys of maps and numbers of list elements, from the top of the document. */
export type Path = readonly (string | number)[];

export interface Place {
  line: number;
  column: number;
}

export interface Problem {
  severity: 'error' | 'warning';
  path: Path;
  /** What is wrong. */
  what: string;
  /** What is allowed, or how to mend it. */
  remedy: string;
  /** In the file; null: the value comes from a flag, and `what` begins with it. */
  place: Place | null;
}

/** `forwards[0].to`; empty for the whole document. */
export function pathText(path: Path): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '');
}

/** `FILE:LINE:COLUMN: PATH: what is wrong; what is allowed`. Control characters of a text are shown as escapes. `isMarked`: a warning says that it is one. */
export function problemLine(
  file: string,
  { severity, path, what, remedy, place }: Problem,
  isMarked = true,
): string {
  const where = place === null ? '' : `${file}:${place.line}:${place.column}: `;
  const kind = severity === 'warning' && isMarked ? 'warning: ' : '';
  const key = place === null || path.length === 0 ? '' : `${pathText(path)}: `;
  return printable(`${where}${kind}${key}${what}${remedy === '' ? '' : `; ${remedy}`}`);
}

/** A value as a person may recognise it, one short line. */
export function shown(value: unknown): string {
  const json = value === undefined ? 'nothing' : JSON.stringify(value);
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a map';
  return json.length > 60 ? `${json.slice(0, 57)}…` : json;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach a terminal.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

function printable(text: string): string {
  return text.replace(CONTROL, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** In the order of the file, flags first. */
export function sorted(problems: readonly Problem[]): Problem[] {
  const line = ({ place }: Problem) => place?.line ?? 0;
  const column = ({ place }: Problem) => place?.column ?? 0;
  return [...problems].sort((a, b) => line(a) - line(b) || column(a) - column(b));
}

/** A configuration that cannot be used: every problem of it. `code` is `config_invalid`. */
export class ConfigError extends NatgateError {
  readonly file: string;
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[]) {
    const errors = sorted(problems.filter(({ severity }) => severity === 'error'));
    const lines = errors.map((problem) => problemLine(file, problem));
    const count = errors.length === 1 ? 'an error' : `${errors.length} errors`;
    super('config_invalid', lines.join('\n'), `${count} in the configuration: nothing was changed`);
    this.file = file;
    this.problems = problems;
  }
}
