/**
 * What the engine says, as the supervisor lets it into its log: of one line, without control characters, not too long and not too
 * often. A log is read on terminals, and by programs that take a line for a line.
 *
 * Limits: LINES_AT_ONCE, then LINES_A_SECOND; how many were left out is said with the next that is not. All of it is a few numbers,
 * however much the engine says.
 */

/** Characters of a line that are kept. */
const LINE_CHARACTERS = 512;
const LINES_AT_ONCE = 200;
const LINES_A_SECOND = 50;

// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach a terminal.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Text of the engine in a line of somebody else. */
export function readable(text: string): string {
  const cut = text.length > LINE_CHARACTERS ? `${text.slice(0, LINE_CHARACTERS)}…` : text;
  return cut.replace(CONTROL, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Why a process that said nothing ended. */
export function causeOfDeath(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === 'SIGSYS') return 'stopped by its sandbox: it made a system call that this forbids';
  return signal === null ? `exit code ${code}` : `killed by ${signal}`;
}

/** Of all engines of a gateway, one after the other. */
export class EngineVoice {
  readonly #log: (line: string) => void;
  readonly #now: () => number;
  #lines = LINES_AT_ONCE;
  #since: number;
  #leftOut = 0;
  #malformed = 0;

  /** `now`: ms, of a clock that does not jump. */
  constructor(log: (line: string) => void, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
    this.#since = now();
  }

  /** Messages that were none, since the gateway began. */
  get malformed(): number {
    return this.#malformed;
  }

  line(text: string): void {
    const now = this.#now();
    this.#lines = Math.min(LINES_AT_ONCE, this.#lines + ((now - this.#since) / 1000) * LINES_A_SECOND);
    this.#since = now;
    if (this.#lines < 1) {
      this.#leftOut++;
      return;
    }
    this.#lines--;
    if (this.#leftOut > 0) this.#log(`${this.#leftOut} lines of the packet engine were left out`);
    this.#leftOut = 0;
    this.#log(readable(text));
  }

  /** It sent what is no message. */
  sentNonsense(): void {
    if (this.#malformed++ > 0) return;
    this.#log('the packet engine sent a message that is none; such messages are ignored');
  }
}
