/** What the thread that follows events has to know of a configuration. */
import type { RunOptions } from '../options.ts';
import { namesByNumber } from '../reload/rule-numbers.ts';
import type { EventSettings } from './messages.ts';

/** `earlier`: names that the numbers of rules had, which flows may remember. */
export function eventSettings({ events, nat }: RunOptions, earlier?: readonly string[]): EventSettings {
  return { sinks: events, rules: namesByNumber(nat.rules, earlier) };
}
