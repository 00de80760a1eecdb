/**
 * When rules with a schedule are on. Local time is asked for when something might change, not per flow: at the next
 * beginning or end of a day or of a schedule, and every quarter of an hour, since offsets of zones change at those
 * (daylight saving). Time is handed in: the host's clock in ms since 1970.
 *
 * The days are those of the present moment, also for a schedule over midnight (iptables time without --contiguous): Monday 22:00
 * to 06:00 is the first six hours and the last two of Monday. A clock that is set back or forward is followed by whoever asks again.
 */
import { NatgateError } from '../../core/errors.ts';
import type { Schedule } from '../firewall-config.ts';

const QUARTER_MS = 900_000;
const DAY = 86_400;
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

export class Schedules {
  readonly isOn: Uint8Array;
  private readonly clocks: readonly LocalClock[];
  private readonly list: readonly Schedule[];
  /** ms since 1970: of the last look, and when to look again. */
  private looked = 0;
  private next = -Infinity;

  /** Throws NatgateError `bad_zone`. All are off until the first look. */
  constructor(list: readonly Schedule[]) {
    this.list = list;
    this.isOn = new Uint8Array(list.length);
    this.clocks = list.map(({ zone }) => new LocalClock(zone));
  }

  get count(): number {
    return this.list.length;
  }

  /** Brings `isOn` up to date, if anything may have changed since the last call. */
  look(wall: number): void {
    if (wall < this.next && wall >= this.looked) return;
    this.looked = wall;
    this.next = (Math.floor(wall / QUARTER_MS) + 1) * QUARTER_MS;
    for (const [i, schedule] of this.list.entries()) {
      const local = this.clocks[i]!.at(wall);
      this.isOn[i] = holds(schedule, wall, local) ? 1 : 0;
      this.next = Math.min(this.next, nextChange(schedule, wall, local));
    }
  }
}

interface LocalTime {
  day: number;
  /** Seconds of the day. */
  second: number;
}

function holds({ days, from, to, notBefore, notAfter }: Schedule, wall: number, local: LocalTime): boolean {
  if (wall < notBefore || wall > notAfter) return false;
  if (days.length > 0 && !days.includes(local.day)) return false;
  if (from === to) return from === 0;
  const { second } = local;
  return from < to ? second >= from && second < to : second >= from || second < to;
}

/** When it may be otherwise, unless the zone's offset changes before. */
function nextChange(
  { from, to, notBefore, notAfter }: Schedule,
  wall: number,
  { second }: LocalTime,
): number {
  const began = wall - (wall % 1000) - second * 1000;
  const times = [from, to, DAY].map((at) => began + at * 1000);
  return Math.min(...[...times, notBefore, notAfter + 1].filter((time) => time > wall), Infinity);
}

class LocalClock {
  private readonly format: Intl.DateTimeFormat;

  constructor(zone: string) {
    try {
      this.format = new Intl.DateTimeFormat('en-GB', {
        timeZone: zone,
        weekday: 'short',
        hour: '2-digit',
        minute: '2-digit',
        second: '2-digit',
        hourCycle: 'h23',
      });
    } catch {
      throw new NatgateError('bad_zone', `there is no time zone ${zone}`, 'e.g. Europe/Berlin, or UTC');
    }
  }

  at(wall: number): LocalTime {
    const parts = new Map(this.format.formatToParts(wall).map(({ type, value }) => [type, value]));
    const [hour, minute, second] = ['hour', 'minute', 'second'].map((part) =>
      Number(parts.get(part as Intl.DateTimeFormatPartTypes)),
    ) as [number, number, number];
    return { day: DAYS.indexOf(parts.get('weekday')!), second: hour * 3600 + minute * 60 + second };
  }
}
