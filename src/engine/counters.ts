/**
 * Counters: plain numbers in a Float64Array inside the state, which other processes read without asking.
 *
 *     0     drops, by reason (core/reasons.ts)
 *     128   devices, 8 counters each: DEVICE_*
 *     256   the rest, by name
 *     384   flows that ended, by reason (conntrack/end-reasons.ts)
 *     416   batches by packets: 1, 2, 3-4, 5-8, … 33-64
 *     424   turns of the engine by duration: below 1 µs, 2, 4, … 16 ms, longer; then their sum, µs
 */
import { endReasonNames } from '../conntrack/end-reasons.ts';
import { reasonNames } from '../core/reasons.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';

export const COUNTERS = 512;
export const DROPS = 0;
export const DEVICES = 128;
export const DEVICE_COUNTERS = 8;
export const DEVICE_IN_PACKETS = 0;
export const DEVICE_IN_BYTES = 1;
export const DEVICE_OUT_PACKETS = 2;
export const DEVICE_OUT_BYTES = 3;
const REST = 256;
export const ENDS = 384;
export const BATCH_SIZES = 416;
export const BATCH_SIZE_CLASSES = 7;
export const TURN_TIMES = 424;
/** The last one has no upper bound. */
export const TURN_TIME_CLASSES = 16;
export const TURN_TIME_SUM = TURN_TIMES + TURN_TIME_CLASSES;

const NAMES: string[] = [];
function counter(name: string): number {
  return REST + NAMES.push(name) - 1;
}

export const FLOWS_STARTED = counter('flows_started');
export const FLOWS_ENDED = counter('flows_ended');
export const FLOWS_LOST = counter('flows_lost_at_restart');
export const ICMP_SENT = counter('icmp_errors_sent');
export const ICMP_SUPPRESSED = counter('icmp_errors_suppressed');
export const ICMP_TRANSLATED = counter('icmp_errors_translated');
export const HANDED_BACK = counter('handed_back');
export const FRAGMENTED = counter('fragmented');
/** Packets sent towards a next hop that does not answer ARP; their senders are told, the kernel drops them if it stays so. */
export const NEIGHBOUR_FAILED = counter('neighbour_failed');
export const BATCHES = counter('batches');
/** Ways out of a shortage of ports (nat/port-allocator.ts). */
export const PORTS_RECYCLED = counter('ports_recycled');
export const QUARANTINE_CUT = counter('ports_quarantine_cut');
export const PORTS_OVERLOADED = counter('ports_overloaded');
/** Flows that made room for others, where the operator allows it. */
export const FLOWS_EVICTED = counter('flows_evicted');

/** Gauges. */
export const FLOWS_TCP = counter('flows_tcp');
export const FLOWS_UDP = counter('flows_udp');
export const FLOWS_ICMP = counter('flows_icmp');
export const FLOWS_OTHER = counter('flows_other');
export const PORTS_TCP = counter('ports_tcp');
export const PORTS_UDP = counter('ports_udp');
export const IDS_ICMP = counter('ids_icmp');
/** Fragments that wait for the first one of their datagram. */
export const FRAGMENTS_HELD = counter('fragments_held');
/** Packets that one worker gave to another. */
export const HANDED_OFF = counter('handed_off');
/** TCP resets of the firewall's, and those that say that a flow has ended with its external address. */
export const RESETS_SENT = counter('resets_sent');
/** Flows that ended because the public interface lost their external address, and those that went on from another one. */
export const FLOWS_ADDRESS_GONE = counter('flows_address_gone');
export const FLOWS_REMAPPED = counter('flows_remapped');

/** What was written as super-packets that were not read as such: how many, and of how many packets. */
export const SUPER_PACKETS_MADE = counter('super_packets_made');
export const PACKETS_COALESCED = counter('packets_coalesced');

export const FLOW_GAUGES: readonly number[] = [FLOWS_TCP, FLOWS_UDP, FLOWS_ICMP, FLOWS_OTHER];

/** Which of FLOW_GAUGES counts the flows of a protocol. */
export function flowGauge(protocol: number): number {
  if (protocol === PROTO_TCP) return FLOWS_TCP;
  if (protocol === PROTO_UDP) return FLOWS_UDP;
  return protocol === PROTO_ICMP ? FLOWS_ICMP : FLOWS_OTHER;
}

/** The counters of a state by name; drops without those that are zero as `drops`. */
export function readCounters(counters: Float64Array): {
  drops: Record<string, number>;
  totals: Record<string, number>;
} {
  const drops: Record<string, number> = {};
  for (const [i, name] of reasonNames.entries()) {
    if (counters[DROPS + i]! > 0) drops[name] = counters[DROPS + i]!;
  }
  const totals: Record<string, number> = {};
  for (const [i, name] of NAMES.entries()) totals[name] = counters[REST + i]!;
  return { drops, totals };
}

/** Flows that ended, by reason. */
export function readEnds(counters: Float64Array): Record<string, number> {
  return Object.fromEntries(endReasonNames.map((name, i) => [name, counters[ENDS + i]!]));
}

/** How many there were up to each upper bound, each class for itself; `sum` of all values. */
export interface Classes {
  /** Upper bounds, inclusive; the last one may be infinite. */
  bounds: number[];
  counts: number[];
  sum: number;
}

/** Packets of a batch. */
export function readBatchSizes(counters: Float64Array): Classes {
  const at = (device: number) => counters[DEVICES + device * DEVICE_COUNTERS + DEVICE_IN_PACKETS]!;
  const devices = Array.from({ length: (REST - DEVICES) / DEVICE_COUNTERS }, (_, device) => at(device));
  return {
    bounds: Array.from({ length: BATCH_SIZE_CLASSES }, (_, i) => 2 ** i),
    counts: [...counters.subarray(BATCH_SIZES, BATCH_SIZES + BATCH_SIZE_CLASSES)],
    sum: devices.reduce((sum, packets) => sum + packets, 0),
  };
}

/** Seconds of a turn (turns.ts). */
export function readTurnTimes(counters: Float64Array): Classes {
  const bound = (i: number) => (i === TURN_TIME_CLASSES - 1 ? Number.POSITIVE_INFINITY : 2 ** i / 1e6);
  return {
    bounds: Array.from({ length: TURN_TIME_CLASSES }, (_, i) => bound(i)),
    counts: [...counters.subarray(TURN_TIMES, TURN_TIMES + TURN_TIME_CLASSES)],
    sum: counters[TURN_TIME_SUM]! / 1e6,
  };
}

/** Over all workers. Gauges add up as well. */
export function sumOfCounters(states: readonly { counters: Float64Array }[]): Float64Array {
  const sums = new Float64Array(COUNTERS);
  for (const { counters } of states) {
    for (let i = 0; i < COUNTERS; i++) sums[i]! += counters[i]!;
  }
  return sums;
}
