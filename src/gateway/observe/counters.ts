/** All counters of a gateway by name, and how fast they go up: from the state files, at one moment. */

import { reasonNames } from '../../core/reasons.ts';
import {
  DEVICE_COUNTERS,
  DEVICE_IN_BYTES,
  DEVICE_IN_PACKETS,
  DEVICE_OUT_BYTES,
  DEVICE_OUT_PACKETS,
  DEVICES,
  DROPS,
  readCounters,
  sumOfCounters,
} from '../../engine/counters.ts';
import type { RunRecord } from '../run/run-record.ts';
import { statesOf } from '../run/state-reader.ts';

/** What goes down as well: of these there is no rate. */
const GAUGES: ReadonlySet<string> = new Set([
  'flows_tcp',
  'flows_udp',
  'flows_icmp',
  'flows_other',
  'ports_tcp',
  'ports_udp',
  'ids_icmp',
  'fragments_held',
]);

const DEVICE_NAMES: readonly [string, number][] = [
  ['in_packets', DEVICE_IN_PACKETS],
  ['in_bytes', DEVICE_IN_BYTES],
  ['out_packets', DEVICE_OUT_PACKETS],
  ['out_bytes', DEVICE_OUT_BYTES],
];

export interface CounterSample {
  /** ms, of a clock that does not jump. */
  time: number;
  /** `interface/in_bytes`, `drops/REASON` and the names of engine/counters.ts. */
  values: Record<string, number>;
}

/** Over all workers. */
export function sampleCounters(record: RunRecord): CounterSample {
  const states = statesOf(record, false);
  const time = performance.now();
  const counters = sumOfCounters(states);
  const values: Record<string, number> = { ...readCounters(counters).totals };
  for (const [device, name] of [...record.private, record.public].entries()) {
    for (const [what, at] of DEVICE_NAMES) {
      values[`${name}/${what}`] = counters[DEVICES + device * DEVICE_COUNTERS + at]!;
    }
  }
  for (const [reason, name] of reasonNames.entries()) {
    if (reason > 0) values[`drops/${name}`] = counters[DROPS + reason]!;
  }
  return { time, values };
}

export function isGauge(name: string): boolean {
  return GAUGES.has(name);
}

/** Per second; 0 where it went down (the engine began anew with an empty state). */
export function rateOf(name: string, before: CounterSample, after: CounterSample): number {
  const seconds = (after.time - before.time) / 1000;
  const more = (after.values[name] ?? 0) - (before.values[name] ?? 0);
  return seconds > 0 ? Math.max(more, 0) / seconds : 0;
}

export interface Rates {
  /** To the public side, and to the private side. */
  out: { packets: number; bits: number };
  in: { packets: number; bits: number };
  /** Begun and ended. */
  flowsStarted: number;
  flowsEnded: number;
  drops: number;
}

/** Per second. */
export function ratesOf(record: RunRecord, before: CounterSample, after: CounterSample): Rates {
  const rate = (name: string) => rateOf(name, before, after);
  const sum = (names: readonly string[], what: string) =>
    names.reduce((total, name) => total + rate(`${name}/${what}`), 0);
  const traffic = (names: readonly string[]) => ({
    packets: sum(names, 'out_packets'),
    bits: sum(names, 'out_bytes') * 8,
  });
  const drops = Object.keys(after.values).filter((name) => name.startsWith('drops/'));
  return {
    out: traffic([record.public]),
    in: traffic(record.private),
    flowsStarted: rate('flows_started'),
    flowsEnded: rate('flows_ended'),
    drops: drops.reduce((total, name) => total + rate(name), 0),
  };
}
