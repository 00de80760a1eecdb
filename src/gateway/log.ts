/**
 * What a gateway says on stderr, as lines for people or, by pino, as one JSON object a line, from a level on. Lines are written at once:
 * none waits in a buffer that a process takes with it.
 */
import { pino, stdTimeFunctions } from 'pino';
import { LOG_LEVELS, type LogOptions } from './options.ts';

export type LogLevel = LogOptions['level'];
/** `hint`: how to mend it. */
export type Log = (line: string, level?: LogLevel, hint?: string) => void;

/** `write`: takes the text of one line, before it returns. */
export function logger(
  { level: least, format }: LogOptions,
  write: (text: string) => void,
  now?: () => Date,
): Log {
  const most = LOG_LEVELS.indexOf(least);
  const say = format === 'json' ? jsonLines(write, now) : textLines(write);
  return (message, level = 'info', hint = '') => {
    if (LOG_LEVELS.indexOf(level) <= most) say(message, level, hint);
  };
}

type Say = (message: string, level: LogLevel, hint: string) => void;

function textLines(write: (text: string) => void): Say {
  return (message, level, hint) => {
    const kind = level === 'warning' ? 'warning: ' : '';
    write(`natgate: ${kind}${message}\n${hint === '' ? '' : `  ${hint}\n`}`);
  };
}

/** Fields: level, time (ISO 8601), hint where there is one, message. */
function jsonLines(write: (text: string) => void, now?: () => Date): Say {
  const log = pino(
    {
      // Which are said has been decided.
      level: 'info',
      customLevels: { warning: 40 },
      base: null,
      messageKey: 'message',
      timestamp: now === undefined ? stdTimeFunctions.isoTime : () => `,"time":"${now().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write },
  );
  return (message, level, hint) => log[level](hint === '' ? {} : { hint }, message);
}
