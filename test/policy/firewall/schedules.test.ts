/** When rules are on: at given moments, in given zones. */
import { describe, expect, it } from 'vitest';
import { Schedules } from '../../../src/policy/firewall/schedules.ts';
import type { Schedule } from '../../../src/policy/firewall-config.ts';
import { ask, firewall, rule } from './rules.ts';

const hours = (from: number, to: number, more: Partial<Schedule> = {}): Schedule => ({
  days: [],
  from: from * 3600,
  to: to * 3600,
  notBefore: -Infinity,
  notAfter: Infinity,
  zone: 'UTC',
  ...more,
});
const isOn = (schedule: Schedule, when: string): boolean => {
  const schedules = new Schedules([schedule]);
  schedules.look(Date.parse(when));
  return schedules.isOn[0] === 1;
};

describe('a time of day', () => {
  it.each([
    ['08:59:59.999', false],
    ['09:00:00', true],
    ['16:59:59.999', true],
    ['17:00:00', false],
  ])('09 to 17 at %s: %s', (time, expected) => {
    expect(isOn(hours(9, 17), `2026-11-28T${time}Z`)).toBe(expected);
  });

  it.each([
    ['21:59:59', false],
    ['22:00:00', true],
    ['23:59:59', true],
    ['00:00:00', true],
    ['05:59:59', true],
    ['06:00:00', false],
  ])('over midnight, 22 to 06 at %s: %s', (time, expected) => {
    expect(isOn(hours(22, 6), `2026-11-28T${time}Z`)).toBe(expected);
  });

  it('the whole day, and none', () => {
    expect(isOn(hours(0, 0), '2026-11-28T12:00:00Z')).toBe(true);
    expect(isOn(hours(5, 5), '2026-11-28T05:00:00Z')).toBe(false);
    expect(isOn(hours(0, 24), '2026-11-28T23:59:59Z')).toBe(true);
  });
});

describe('days', () => {
  it('are those of the zone', () => {
    // A Sunday in Auckland, still Saturday in UTC.
    const when = '2026-11-28T12:00:00Z';
    expect(isOn(hours(0, 0, { days: [0], zone: 'Pacific/Auckland' }), when)).toBe(true);
    expect(isOn(hours(0, 0, { days: [6] }), when)).toBe(true);
    expect(isOn(hours(0, 0, { days: [0, 1, 2] }), when)).toBe(false);
  });

  it('of a schedule over midnight are those of the moment', () => {
    const monday = hours(22, 6, { days: [1] });
    expect(isOn(monday, '2026-11-30T01:00:00Z')).toBe(true);
    expect(isOn(monday, '2026-11-30T23:00:00Z')).toBe(true);
    expect(isOn(monday, '2026-12-01T01:00:00Z')).toBe(false);
  });
});

it('not before and not after', () => {
  const schedule = hours(0, 0, {
    notBefore: Date.parse('2026-01-01T00:00:00Z'),
    notAfter: Date.parse('2026-01-31T23:59:59Z'),
  });
  expect(isOn(schedule, '2025-12-31T23:59:59Z')).toBe(false);
  expect(isOn(schedule, '2026-01-01T00:00:00Z')).toBe(true);
  expect(isOn(schedule, '2026-01-31T23:59:59Z')).toBe(true);
  expect(isOn(schedule, '2026-02-01T00:00:00Z')).toBe(false);
});

describe('daylight saving in Berlin', () => {
  const zone = 'Europe/Berlin';
  it('in spring the hour from 2 to 3 is not', () => {
    const schedule = hours(2, 3, { zone });
    for (const time of ['00:59:59', '01:00:00', '01:30:00']) {
      expect(isOn(schedule, `2026-03-29T${time}Z`), time).toBe(false);
    }
    expect(isOn(hours(3, 4, { zone }), '2026-03-29T01:00:00Z')).toBe(true);
  });

  it('in autumn it is twice', () => {
    const schedule = hours(2, 3, { zone });
    expect(isOn(schedule, '2026-10-24T23:59:59Z')).toBe(false);
    expect(isOn(schedule, '2026-10-25T00:00:00Z')).toBe(true);
    expect(isOn(schedule, '2026-10-25T01:59:59Z')).toBe(true);
    expect(isOn(schedule, '2026-10-25T02:00:00Z')).toBe(false);
  });
});

describe('looked at each second', () => {
  /** The moments at which it turned on or off, looking once a second. */
  const changes = (schedule: Schedule, from: string, to: string): string[] => {
    const schedules = new Schedules([schedule]);
    const found: string[] = [];
    let was = -1;
    for (let wall = Date.parse(from); wall <= Date.parse(to); wall += 1000) {
      schedules.look(wall);
      const now = schedules.isOn[0]!;
      if (now !== was && was >= 0) found.push(`${new Date(wall).toISOString().slice(5, 19)} ${now}`);
      was = now;
    }
    return found;
  };

  it('it turns at the second that it says', () => {
    expect(changes(hours(22, 6), '2026-11-28T20:00:00Z', '2026-11-29T07:00:00Z')).toEqual([
      '11-28T22:00:00 1',
      '11-29T06:00:00 0',
    ]);
    const odd = { ...hours(0, 0), from: 30_001, to: 30_007 };
    expect(changes(odd, '2026-11-28T08:00:00.400Z', '2026-11-28T09:00:00Z')).toEqual([
      '11-28T08:20:01 1',
      '11-28T08:20:07 0',
    ]);
  });

  it('across the nights when the clocks change', () => {
    const night = hours(1, 4, { zone: 'Europe/Berlin' });
    expect(changes(night, '2026-03-28T22:00:00Z', '2026-03-29T04:00:00Z')).toEqual([
      '03-29T00:00:00 1',
      '03-29T02:00:00 0',
    ]);
    expect(changes(night, '2026-10-24T22:00:00Z', '2026-10-25T04:00:00Z')).toEqual([
      '10-24T23:00:00 1',
      '10-25T03:00:00 0',
    ]);
    // Half an hour, at a half hour of UTC.
    const island = hours(2, 3, { zone: 'Australia/Lord_Howe' });
    expect(changes(island, '2026-10-03T14:00:00Z', '2026-10-03T17:00:00Z')).toEqual([
      '10-03T15:30:00 1',
      '10-03T16:00:00 0',
    ]);
  });

  it('a clock that is set back is followed', () => {
    const schedules = new Schedules([hours(9, 17)]);
    schedules.look(Date.parse('2026-11-28T17:00:00Z'));
    expect(schedules.isOn[0]).toBe(0);
    schedules.look(Date.parse('2026-11-28T16:59:59Z'));
    expect(schedules.isOn[0]).toBe(1);
    schedules.look(Date.parse('2026-11-29T08:00:00Z'));
    expect(schedules.isOn[0]).toBe(0);
  });
});

it('a rule is off until it is on', () => {
  const asked = firewall([rule('drop', { schedule: hours(9, 17) })]);
  expect(asked.hasSchedules).toBe(true);
  expect(ask(asked)).toBe('accept');
  asked.look(Date.parse('2026-11-28T12:00:00Z'));
  expect(ask(asked)).toBe('drop');
  asked.look(Date.parse('2026-11-28T18:00:00Z'));
  expect(ask(asked)).toBe('accept');
});
