import { expect, test } from 'vitest';
import * as states from '../../src/conntrack/tcp-states.ts';
import {
  defaultTimeouts,
  netfilterTimeouts,
  rfcTimeouts,
  TIMER_RETRANS,
  TIMER_RST,
  TIMER_UNACKNOWLEDGED,
  TIMER_UNREPLIED,
  TimeoutTable,
  UDP_DNS,
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
  expect(table.of(1, 0)).toBe(30_000);
  expect([table.of(47, UDP_SINGLE), table.of(47, UDP_STREAM)]).toEqual([30_000, 180_000]);
  for (const protocol of [0, 2, 50, 51, 255]) expect(table.of(protocol, 0)).toBe(600_000);
});

test('SCTP has netfilter’s', () => {
  const table = new TimeoutTable(netfilterTimeouts);
  expect([1, 2, 3, 4, 5, 6, 7, 8].map((state) => table.of(132, state) / 1000)).toEqual([
    10, 3, 3, 210, 3, 3, 3, 30,
  ]);
});

test('timers shorten the timeout of a state and never lengthen it; a RST sets it', () => {
  const table = new TimeoutTable({ ...netfilterTimeouts, tcpMaxRetrans: 290, tcpUnreplied: 280 });
  const seconds = (state: number, timer: number) => table.of(6, state | (timer << 4)) / 1000;
  expect(seconds(states.ESTABLISHED, TIMER_RETRANS)).toBe(290);
  expect(seconds(states.ESTABLISHED, TIMER_UNACKNOWLEDGED)).toBe(300);
  expect(seconds(states.ESTABLISHED, TIMER_UNREPLIED)).toBe(280);
  expect(seconds(states.CLOSE_WAIT, TIMER_UNACKNOWLEDGED)).toBe(60);
  expect(seconds(states.ESTABLISHED, TIMER_RST)).toBe(10);
  expect(table.ofStatus(6 | (states.ESTABLISHED << 8) | (TIMER_RETRANS << 12) | (0x1ff << 15))).toBe(290_000);
});

test('the RFCs’ set: no transitory TCP state below 4 min, established not below 2 h 4 min whatever the timer', () => {
  const table = new TimeoutTable(rfcTimeouts);
  for (const state of [1, 2, 4, 5, 6, 7, 8, 9]) {
    for (let timer = 0; timer <= TIMER_UNREPLIED; timer++) {
      expect(table.of(6, state | (timer << 4)), `${state} ${timer}`).toBe(240_000);
    }
  }
  for (const timer of [0, TIMER_RETRANS, TIMER_UNACKNOWLEDGED]) {
    expect(table.of(6, states.ESTABLISHED | (timer << 4))).toBeGreaterThanOrEqual(7_440_000);
  }
  expect([0, 1, 2].map((state) => table.of(17, state) / 1000)).toEqual([300, 300, 10]);
  expect(table.of(1, 0)).toBe(60_000);
});

test('only udpDns may be 0', () => {
  expect(new TimeoutTable({ ...rfcTimeouts, udpDns: 0 }).dns).toBe(false);
  expect(new TimeoutTable(rfcTimeouts).dns).toBe(true);
  expect(() => new TimeoutTable({ ...rfcTimeouts, udpDns: -1 })).toThrow(/^timeout udpDns is /);
});

test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2_000_001, undefined])('%s s is refused', (udp) => {
  const timeouts = { ...defaultTimeouts, udp: udp as number };
  expect(() => new TimeoutTable(timeouts)).toThrow(/^timeout udp is /);
});

test('each timeout may be set by itself', () => {
  const seconds = Object.fromEntries(Object.keys(defaultTimeouts).map((name, i) => [name, 1000 + i]));
  // The timers only shorten it.
  seconds['tcpEstablished'] = 5000;
  const table = new TimeoutTable(seconds as unknown as typeof defaultTimeouts);
  const found = [
    ...[1, 2, 3, 4, 5, 6, 7, 8].map((state) => table.of(6, state)),
    ...[TIMER_RETRANS, TIMER_UNACKNOWLEDGED, TIMER_UNREPLIED].map((timer) => table.of(6, 3 | (timer << 4))),
    ...[UDP_SINGLE, UDP_STREAM, UDP_DNS].map((state) => table.of(17, state)),
    table.of(1, 0),
    ...[UDP_SINGLE, UDP_STREAM].map((state) => table.of(47, state)),
    ...[1, 2, 3, 4, 5, 6, 7, 8].map((state) => table.of(132, state)),
    table.of(50, 0),
  ];
  expect(found).toEqual(found.map((_, i) => (i === 2 ? 5000 : 1000 + i) * 1000));
});
