/**
 * Counters: plain numbers in a Float64Array inside the state, which other processes read without asking.
 *
 *     0     drops, by reason (core/reasons.ts)
 *     128   devices, 8 counters each: DEVICE_*
 *     256   the rest, by name
 */
import { endReasonNames } from '../conntrack/end-reasons.ts';
import { reasonNames } from '../core/reasons.ts';

export const COUNTERS = 512;
export const DROPS = 0;
export const DEVICES = 128;
export const DEVICE_COUNTERS = 8;
export const DEVICE_IN_PACKETS = 0;
export const DEVICE_IN_BYTES = 1;
export const DEVICE_OUT_PACKETS = 2;
export const DEVICE_OUT_BYTES = 3;
const REST = 256;

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
/** Of flows, by protocol. */
export const FLOW_GAUGES: readonly number[] = [FLOWS_TCP, FLOWS_UDP, FLOWS_ICMP, FLOWS_OTHER];
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

/** By why they ended: this + END_* (conntrack/end-reasons.ts). */
export const ENDED_BY = REST + NAMES.length;
for (const name of endReasonNames) counter(`flows_ended_by/${name}`);

/**
 * Batches by how many packets they had, without empty ones: bucket n has those of more than 2^(n-1) and at most 2^n, the last is
 * those of 64; and all their packets.
 */
export const BATCH_SIZES = REST + NAMES.length;
export const BATCH_BOUNDS = [1, 2, 4, 8, 16, 32, 64] as const;
for (const bound of BATCH_BOUNDS) counter(`batch_packets/${bound}`);
export const BATCH_PACKETS = counter('batch_packets/sum');

/** Turns of the loop that were timed, one in TURN_SAMPLE, by how long they took: bucket n at most 2^n times 4 µs, the last more; and µs in all. */
export const TURNS = REST + NAMES.length;
export const TURN_SAMPLE = 64;
/** µs. */
export const TURN_BOUNDS = [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384] as const;
for (const bound of TURN_BOUNDS) counter(`turn_us/${bound}`);
counter('turn_us/longer');
export const TURN_TIME = counter('turn_us/sum');
/** Workers that began to forward: more than there are workers once the engine was started again on this state. */
export const ENGINE_STARTS = counter('engine_starts');
/** Times that the hash key was changed, since entries of a hash had been made to collide (engine/rekeying.ts). */
export const HASH_REKEYS = counter('hash_rekeys');

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

/** Over all workers. Gauges add up as well. */
export function sumOfCounters(states: readonly { counters: Float64Array }[]): Float64Array {
  const sums = new Float64Array(COUNTERS);
  for (const { counters } of states) {
    for (let i = 0; i < COUNTERS; i++) sums[i]! += counters[i]!;
  }
  return sums;
}
