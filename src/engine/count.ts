/** What is counted in more than one place of the counters at once. */
import type { PortAllocator } from '../nat/port-allocator.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import {
  BATCH_PACKETS,
  BATCH_SIZES,
  BATCHES,
  ENDED_BY,
  FLOW_GAUGES,
  FLOWS_ENDED,
  FLOWS_ICMP,
  FLOWS_OTHER,
  FLOWS_TCP,
  FLOWS_UDP,
  PORTS_OVERLOADED,
  PORTS_RECYCLED,
  QUARANTINE_CUT,
} from './counters.ts';

/** A flow of this protocol has ended, for a reason END_*. */
export function countEnd(counters: Float64Array, protocol: number, why: number): void {
  counters[flowGauge(protocol)]!--;
  counters[FLOWS_ENDED]!++;
  counters[ENDED_BY + why]!++;
}

/** A batch of so many packets, 0 to 64, is done. */
export function countBatch(counters: Float64Array, packets: number): void {
  counters[BATCHES]!++;
  if (packets === 0) return;
  counters[BATCH_SIZES + 32 - Math.clz32(packets - 1)]!++;
  counters[BATCH_PACKETS]! += packets;
}

/** Ways out of a shortage of ports. */
export function countPorts(
  counters: Float64Array,
  { recycled, quarantineCut, overloaded }: Pick<PortAllocator, 'recycled' | 'quarantineCut' | 'overloaded'>,
): void {
  counters[PORTS_RECYCLED] = recycled;
  counters[QUARANTINE_CUT] = quarantineCut;
  counters[PORTS_OVERLOADED] = overloaded;
}

/** The gauge of live flows of a protocol. */
export function flowGauge(protocol: number): number {
  if (protocol === PROTO_TCP) return FLOWS_TCP;
  if (protocol === PROTO_UDP) return FLOWS_UDP;
  return protocol === PROTO_ICMP ? FLOWS_ICMP : FLOWS_OTHER;
}

/** Before flows are counted anew. */
export function clearFlowGauges(counters: Float64Array): void {
  for (const gauge of FLOW_GAUGES) counters[gauge] = 0;
}
