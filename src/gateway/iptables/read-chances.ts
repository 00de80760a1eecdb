/** Matches that hold or not whatever the packet is: limits, counts, times. Each as the file has it, or the reason why it cannot be. */
import { problem } from './parse-rule.ts';
import type { Option } from './syntax.ts';
import type { Test } from './tests.ts';

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
/** xt_limit and xt_hashlimit have no number of their own: natgate's (config/schema). */
const MAX_BURST = 1_000_000;
const MAX_CONNECTIONS = 16_777_216;
const UNITS = ['second', 'minute', 'hour', 'day'];

/** `-m limit`. */
export function rate(options: readonly Option[]): Test | string {
  const text = argument(options, 'limit') ?? '3/hour';
  const words = rateWords(text);
  if (words === null)
    throw problem(options[0]!.place, `${text} is no rate`, '10/second, 5/minute, 100/hour or 20/day');
  const burst = whole(options, 'limit-burst', 1, MAX_BURST) ?? 5;
  if (isNot(options, 'limit')) return 'a negated limit';
  return chance('limit', { rate: words, burst }, `limit ${text}`);
}

/** `-m hashlimit`. Rules with one name share a table. */
export function hashRate(options: readonly Option[], seen: Set<string>): Test | string {
  const name = argument(options, 'hashlimit-name') ?? '';
  if (seen.has(name))
    return `another rule has the hashlimit ${name} as well, and natgate’s limits are each of one rule`;
  seen.add(name);
  const above =
    options.some((option) => option.name === 'hashlimit-above') !== isNot(options, 'hashlimit-upto');
  const text = argument(options, 'hashlimit-upto') ?? argument(options, 'hashlimit-above') ?? '';
  const words = rateWords(text);
  if (words === null) return `natgate limits flows, not bytes: ${text}`;
  const modes = (argument(options, 'hashlimit-mode') ?? '').split(',').filter(Boolean);
  if (modes.some((mode) => /port/.test(mode))) return 'natgate’s limits are kept by address, not by port';
  const prefixes = [
    ...(modes.includes('srcip') ? [whole(options, 'hashlimit-srcmask', 0, 32) ?? 32] : []),
    ...(modes.includes('dstip') ? [whole(options, 'hashlimit-dstmask', 0, 32) ?? 32] : []),
  ];
  if (prefixes.length === 2 && prefixes[0] !== prefixes[1])
    return 'natgate’s limits have one prefix length for both addresses';
  const per =
    modes.length === 0
      ? 'rule'
      : modes.length === 2
        ? 'source-and-destination'
        : modes[0] === 'srcip'
          ? 'source'
          : 'destination';
  const value = {
    rate: words,
    burst: whole(options, 'hashlimit-burst', 1, MAX_BURST) ?? 5,
    per,
    ...(prefixes[0] !== undefined && prefixes[0] !== 32 && { prefix: prefixes[0] }),
    ...(above && { above }),
  };
  return chance('limit', value, `hashlimit ${text}`);
}

/** `-m connlimit`. */
export function connections(options: readonly Option[]): Test | string {
  const isAbove = options.some(({ name }) => name === 'connlimit-above');
  const name = isAbove ? 'connlimit-above' : 'connlimit-upto';
  const count = whole(options, name, 0, MAX_CONNECTIONS);
  if (count === undefined)
    throw problem(options[0]!.place, 'how many connections is not said', '--connlimit-above 20');
  const prefix = whole(options, 'connlimit-mask', 0, 32) ?? 32;
  const above = isAbove !== isNot(options, name);
  const isDestination = options.some((option) => option.name === 'connlimit-daddr');
  const value = {
    count,
    ...(isDestination && { per: 'destination' }),
    ...(prefix !== 32 && { prefix }),
    ...(!above && { above }),
  };
  return chance('connections', value, `connlimit ${count}`);
}

/** `-m time`. Its end is included, natgate's is not: a second later. */
export function schedule(options: readonly Option[]): Test | string {
  const has = (name: string) => options.some((option) => option.name === name);
  if (has('monthdays')) return 'natgate’s schedules have days of the week, not of the month';
  if (has('kerneltz') || has('localtz'))
    return 'the kernel’s time zone is not in the file: give the rule `time: {zone: …}`';
  if (has('contiguous'))
    return 'natgate’s schedules belong to the day of the present moment, over midnight too';
  const [start, stop] = [argument(options, 'timestart'), argument(options, 'timestop')];
  const value: Record<string, unknown> = {};
  const weekdays = argument(options, 'weekdays');
  if (weekdays !== undefined) {
    const days = weekdays
      .split(',')
      .map((word) => (/^\d$/.test(word) ? DAYS[Number(word) % 7]! : word.slice(0, 3).toLowerCase()));
    const not = isNot(options, 'weekdays');
    if (days.some((day) => !DAYS.includes(day)))
      throw problem(options[0]!.place, `${weekdays} are no weekdays`, 'Mon,Tue,Wed');
    value['days'] = DAYS.filter((day) => days.includes(day) !== not);
  }
  if (start !== undefined || stop !== undefined) {
    for (const text of [start, stop]) {
      if (text !== undefined && !/^\d{1,2}:\d{1,2}(:\d{1,2})?$/.test(text))
        throw problem(options[0]!.place, `${text} is no time of day`, '17:00');
    }
    value['from'] = clock(start ?? '00:00', 0);
    value['to'] = stop === undefined ? '24:00' : clock(stop, 1);
  }
  for (const [name, key, later] of [
    ['datestart', 'not-before', 0],
    ['datestop', 'not-after', 1],
  ] as const) {
    const text = argument(options, name);
    if (text === undefined) continue;
    const [date = '', time = '00:00:00'] = text.split('T');
    const parts = date.split('-');
    const ms = Date.parse(
      `${[parts[0], parts[1] ?? '01', parts[2] ?? '01'].join('-')}T${time.length < 3 ? `${time}:00` : time}Z`,
    );
    if (Number.isNaN(ms)) throw problem(options[0]!.place, `${text} is no date`, '2026-12-24T18:00:00');
    value[key] = new Date(ms + later * 1000).toISOString().replace('.000', '');
  }
  return chance('time', value, 'time');
}

function clock(text: string, later: number): string {
  const [hours = 0, minutes = 0, seconds = 0] = text.split(':').map(Number);
  const at = hours * 3600 + minutes * 60 + seconds + later;
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  const short = `${two(at / 3600)}:${two((at / 60) % 60)}`;
  return at % 60 === 0 ? short : `${short}:${two(at % 60)}`;
}

function rateWords(text: string): string | null {
  const match = /^(\d+)(?:\/([a-z]+))?$/i.exec(text);
  if (match === null) return null;
  const unit = UNITS.find((name) =>
    name.startsWith((match[2] ?? 'second').toLowerCase().replace(/^(sec|min).*/, '$1')),
  );
  return unit === undefined ? null : `${match[1]}/${unit}`;
}

function argument(options: readonly Option[], name: string): string | undefined {
  return options.findLast((option) => option.name === name)?.values[0];
}

/** The whole number of an option, or undefined when it is not there. Throws NatgateError when it is not one of [least, most]. */
function whole(options: readonly Option[], name: string, least: number, most: number): number | undefined {
  const text = argument(options, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most)
    throw problem(
      options[0]!.place,
      `--${name}: ${text} is no number from ${least} to ${most}`,
      `--${name} ${least + 10}`,
    );
  return value;
}

function isNot(options: readonly Option[], name: string): boolean {
  return options.some((option) => option.name === name && option.not);
}

function chance(key: 'limit' | 'connections' | 'time', value: Record<string, unknown>, text: string): Test {
  return { on: 'chance', key, value, text };
}
