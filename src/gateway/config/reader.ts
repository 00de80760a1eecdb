/**
 * What compile.ts says about the document that it reads: problems, each where it is: in the file, or at a flag of the command line.
 *
 * Parsers are shared with the flags, and name options as the command line does. About a value of the file the same is said
 * with the file's keys.
 */
import { NatgateError } from '../../core/errors.ts';
import { OptionText, Refusal } from '../nat-syntax.ts';
import type { Path, Place, Problem } from './problems.ts';
import { pathText } from './problems.ts';

export interface Origins {
  /** The flag that a value comes from, without dashes; null: the file. */
  flagAt(path: Path): string | null;
  /** Place in the file. */
  locate(path: Path, what: 'key' | 'value'): Place;
}

/** Keys of the file for flags that are called otherwise. */
const KEYS: Readonly<Record<string, string>> = {
  mapping: 'mapping',
  forward: 'forwards',
  netmap: 'one-to-one',
  helper: 'helpers',
  timeout: 'timeouts',
  workers: 'engine.workers',
  user: 'engine.user',
  linger: 'engine.linger',
  txqueuelen: 'engine.txqueuelen',
  standby: 'engine.standby',
  flows: 'limits.flows',
};

/** `--block-size` of a text about flags as the file says it. */
export function inKeys(text: string): string {
  return text.replace(/--([a-z][a-z-]*[a-z])/g, (_, flag: string) => KEYS[flag] ?? flag);
}

/** A value of the file. */
class FileText extends OptionText {
  override refuse(what: string, remedy = `e.g. ${this.example}`): Refusal {
    return new Refusal(this.text, inKeys(what), inKeys(remedy));
  }
}

export class Reader {
  readonly problems: Problem[] = [];
  /** None is said twice. */
  readonly #said = new Set<string>();
  readonly #origins: Origins;

  constructor(origins: Origins) {
    this.#origins = origins;
  }

  /** A text of the document, for a parser; `option`: the flag that stands for it. */
  text(path: Path, option: string, text: string, example: string): OptionText {
    const flag = this.#origins.flagAt(path);
    return flag === null ? new FileText(option, text, example) : new OptionText(flag, text, example);
  }

  isFlag(path: Path): boolean {
    return this.#origins.flagAt(path) !== null;
  }

  /**
   * What the parser returns; undefined when it refuses: that becomes a problem of this path. `isAboutOthers`: it may name another
   * option than that of the path.
   */
  attempt<T>(path: Path, parse: () => T, isAboutOthers = false): T | undefined {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof NatgateError)) throw error;
      const what =
        error instanceof Refusal ? error.what : isAboutOthers ? error.message : withoutOption(error.message);
      if (this.#origins.flagAt(path) !== null) this.#add('error', path, error.message, error.hint, null);
      else this.error(path, inKeys(what), inKeys(error.hint));
      return undefined;
    }
  }

  error(path: Path, what: string, remedy: string, at: 'key' | 'value' = 'value'): void {
    this.#say('error', path, what, remedy, at);
  }

  warning(path: Path, what: string, remedy: string, at: 'key' | 'value' = 'value'): void {
    this.#say('warning', path, what, remedy, at);
  }

  /** `subject`: how the command line names the option at fault. */
  fault(
    path: Path,
    subject: string,
    what: string,
    remedy: string,
    severity: 'error' | 'warning' = 'error',
  ): void {
    if (this.#origins.flagAt(path) === null) this.#say(severity, path, inKeys(what), inKeys(remedy), 'value');
    else this.#add(severity, path, subject === '' ? what : `${subject}: ${what}`, remedy, null);
  }

  get failed(): boolean {
    return this.problems.some(({ severity }) => severity === 'error');
  }

  #say(severity: Problem['severity'], path: Path, what: string, remedy: string, at: 'key' | 'value'): void {
    const flag = this.#origins.flagAt(path);
    if (flag === null) this.#add(severity, path, what, remedy, this.#origins.locate(path, at));
    else this.#add(severity, path, `--${flag}: ${what}`, remedy, null);
  }

  #add(severity: Problem['severity'], path: Path, what: string, remedy: string, place: Place | null): void {
    const key = `${severity} ${pathText(path)} ${what}`;
    if (this.#said.has(key)) return;
    this.#said.add(key);
    this.problems.push({ severity, path, what, remedy, place });
  }
}

/** `--workers 3: not a usable number` without its first word. */
function withoutOption(message: string): string {
  return message.replace(/^--[a-z-]+:? /, '');
}
