/** `--timeout NAME=SECONDS`, once per name. */
import { defaultTimeouts, type Timeouts } from '../conntrack/timeouts.ts';
import { nearestName } from '../core/nearest.ts';
import { OptionText, quoted, splitOnce } from './nat-syntax.ts';

/** Times are int32 milliseconds (conntrack/timeouts.ts). */
const MAX_SECONDS = 2_000_000;

export const TIMEOUT_NAMES = Object.keys(defaultTimeouts) as (keyof Timeouts)[];

/** Throws NatgateError `usage`. */
export function parseTimeouts(words: readonly string[]): Partial<Timeouts> {
  const timeouts: Partial<Timeouts> = {};
  for (const text of words) {
    const from = new OptionText('timeout', text, 'udpStream=300');
    const [word, value] = splitOnce(text, '=') ?? [text, ''];
    const name = TIMEOUT_NAMES.find((candidate) => candidate === word);
    if (name === undefined) {
      const nearest = nearestName(word, TIMEOUT_NAMES);
      throw from.refuse(
        `there is no timeout ${quoted(word)}`,
        `did you mean ${nearest}? There are ${TIMEOUT_NAMES.join(', ')}`,
      );
    }
    const seconds = Number(value);
    if (!/^\d{1,7}$/.test(value) || seconds < 1 || seconds > MAX_SECONDS) {
      throw from.refuse(`${quoted(value)} is no number of seconds from 1 to ${MAX_SECONDS}`);
    }
    if (timeouts[name] !== undefined) throw from.refuse(`${name} is given twice`, 'give every timeout once');
    timeouts[name] = seconds;
  }
  return timeouts;
}
