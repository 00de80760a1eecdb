/**
 * The terminal while a program has all of it: alternate screen, no cursor, keys one by one. However the program ends, the terminal is as it
 * was: by `q`, by a signal, by an error. Ctrl-Z gives it back until the program goes on.
 */
import { emitKeypressEvents } from 'node:readline';
import { styleText } from 'node:util';
import type { StyledLine } from './view.ts';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const SIGNALS: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];

export interface TerminalEvents {
  /** One key, as its bytes. */
  onKey(key: string): void;
  onResize(): void;
  /** A signal asks for the end; 128 + its number is the exit code. */
  onSignal(signal: NodeJS.Signals): void;
}

export class Terminal {
  private readonly events: TerminalEvents;
  private isOurs = false;
  private readonly restore = () => this.leave();
  private readonly keys = (_: string | undefined, { sequence }: { sequence: string }) =>
    this.pressed(sequence);
  private readonly again = () => this.enter();

  constructor(events: TerminalEvents) {
    this.events = events;
    process.on('exit', this.restore);
    for (const signal of SIGNALS) process.on(signal, events.onSignal);
    process.on('SIGCONT', this.again);
    process.stdout.on('resize', events.onResize);
    // Who has closed the terminal sees nothing more.
    process.stdout.on('error', () => events.onSignal('SIGHUP'));
    emitKeypressEvents(process.stdin);
    process.stdin.on('keypress', this.keys);
    process.stdin.on('end', () => events.onSignal('SIGHUP'));
    this.enter();
  }

  private enter(): void {
    if (this.isOurs) return;
    this.isOurs = true;
    process.stdin.setRawMode(true);
    process.stdin.resume();
    process.stdout.write(ENTER);
    this.events.onResize();
  }

  private leave(): void {
    if (!this.isOurs) return;
    this.isOurs = false;
    try {
      process.stdout.write(LEAVE);
      process.stdin.setRawMode(false);
    } catch {
      // The terminal has gone.
    }
  }

  /** Gives it back for good. */
  close(): void {
    this.leave();
    process.off('exit', this.restore);
    for (const signal of SIGNALS) process.off(signal, this.events.onSignal);
    process.off('SIGCONT', this.again);
    process.stdout.off('resize', this.events.onResize);
    process.stdin.off('keypress', this.keys);
    process.stdin.pause();
  }

  get size(): { width: number; height: number } {
    return { width: process.stdout.columns || 80, height: process.stdout.rows || 24 };
  }

  /** Line by line over what is there: nothing flickers. */
  draw(lines: readonly StyledLine[]): void {
    if (!this.isOurs) return;
    const text = lines.map(({ text, style }, i) => {
      const shown = style === 'plain' ? text : styleText(style, text, { stream: process.stdout });
      return `\x1b[${i + 1};1H${shown}\x1b[K`;
    });
    process.stdout.write(text.join(''));
  }

  private pressed(key: string): void {
    if (key === '\x03') this.events.onSignal('SIGINT');
    else if (key === '\x1a') {
      this.leave();
      process.kill(process.pid, 'SIGSTOP');
    } else this.events.onKey(key);
  }
}
