/** What a gateway says on stderr, as lines for people or as one JSON object a line, from a level on. */
import { LOG_LEVELS, type LogOptions } from './options.ts';

export type LogLevel = LogOptions['level'];
/** `hint`: how to mend it. */
export type Log = (line: string, level?: LogLevel, hint?: string) => void;

export function logger(
  { level: least, format }: LogOptions,
  write: (text: string) => void,
  now: () => Date = () => new Date(),
): Log {
  const most = LOG_LEVELS.indexOf(least);
  return (message, level = 'info', hint = '') => {
    if (LOG_LEVELS.indexOf(level) > most) return;
    write(format === 'json' ? asJson(now(), level, message, hint) : asText(level, message, hint));
  };
}

function asText(level: LogLevel, message: string, hint: string): string {
  const kind = level === 'warning' ? 'warning: ' : '';
  return `natgate: ${kind}${message}\n${hint === '' ? '' : `  ${hint}\n`}`;
}

function asJson(time: Date, level: LogLevel, message: string, hint: string): string {
  const line = { time: time.toISOString(), level, message, ...(hint === '' ? {} : { hint }) };
  return `${JSON.stringify(line)}\n`;
}
