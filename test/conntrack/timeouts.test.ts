import { expect, test } from 'vitest';
import * as states from '../../src/conntrack/tcp-states.ts';
import {
  defaultTimeouts,
  TimeoutTable,
  UDP_SIGNALLING,
  UDP_SINGLE,
  UDP_STREAM,
} from '../../src/conntrack/timeouts.ts';

test('the defaults are netfilter’s', () => {
  const table = new TimeoutTable(defaultTimeouts);
  const tcp = {
    SYN_SENT: 120,
    SYN_RECV: 60,
    ESTABLISHED: 432_000,
    FIN_WAIT: 120,
    CLOSE_WAIT: 60,
    LAST_ACK: 30,
    TIME_WAIT: 120,
    CLOSE: 10,
    SYN_SENT2: 120,
  };
  for (const [name, seconds] of Object.entries(tcp)) {
    expect(table.of(6, states.tcpStateNames.indexOf(name)), name).toBe(seconds * 1000);
  }
  expect(table.of(17, UDP_SINGLE)).toBe(30_000);
  expect(table.of(17, UDP_STREAM)).toBe(120_000);
  expect(table.of(17, UDP_SIGNALLING)).toBe(3_600_000);
  expect(table.of(17, UDP_SIGNALLING | UDP_STREAM)).toBe(3_600_000);
  expect(table.of(1, 0)).toBe(30_000);
  for (const protocol of [0, 2, 47, 50, 132, 255]) expect(table.of(protocol, 0)).toBe(600_000);
});

test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2_000_001, undefined])('%s s is refused', (udp) => {
  const timeouts = { ...defaultTimeouts, udp: udp as number };
  expect(() => new TimeoutTable(timeouts)).toThrow(/^timeout udp is /);
});

test('each timeout may be set by itself', () => {
  const seconds = Object.fromEntries(Object.keys(defaultTimeouts).map((name, i) => [name, 1000 + i]));
  const table = new TimeoutTable(seconds as unknown as typeof defaultTimeouts);
  const found = [
    ...[1, 2, 3, 4, 5, 6, 7, 8].map((state) => table.of(6, state)),
    table.of(17, 0),
    table.of(17, 1),
    table.of(17, 2),
    table.of(1, 0),
    table.of(47, 0),
  ];
  expect(found).toEqual(found.map((_, i) => (1000 + i) * 1000));
});
