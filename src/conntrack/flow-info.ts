/**
 * Flows for people and programs: a copy of a record as an object, for listings, tests and events. Not for the hot path.
 */
import { swap16 } from '../wire/bytes.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP } from '../wire/ipv4.ts';
import {
  ASSURED,
  EXPECTED,
  type FlowTable,
  H_BYTES,
  H_BYTES_HIGH,
  H_DESTINATION,
  H_LAST,
  H_PACKETS,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  LIVE,
  SEEN_REPLY,
  STATE_MASK,
  STATE_SHIFT,
  TUPLE,
} from './flow-table.ts';
import { sctpStateNames } from './sctp-states.ts';
import { tcpStateNames } from './tcp-states.ts';
import type { TimeoutTable } from './timeouts.ts';

/** Who sends to whom, in one direction of a flow. */
export interface FlowTuple {
  /** Source address, wire order (`formatAddress`). */
  src: number;
  /** Destination address, wire order. */
  dst: number;
  /** Source port, host order; of ICMP queries the id; 0 for protocols without. */
  sport: number;
  /** Destination port, likewise. */
  dport: number;
  /** ICMP queries only: type. */
  icmpType?: number;
  /** ICMP queries only: code. */
  icmpCode?: number;
}

/** A flow as it was when it was read. */
export interface FlowInfo {
  /** IP protocol number: 6 TCP, 17 UDP, 1 ICMP. */
  protocol: number;
  /** Name of the TCP or SCTP state; empty for protocols without states. */
  state: string;
  /** As the packets of the side that began it look. */
  original: FlowTuple;
  /** As the packets that answer look. */
  reply: FlowTuple;
  /** Packets in the original direction. */
  originalPackets: number;
  /** Bytes of IPv4 packets in the original direction. */
  originalBytes: number;
  /** Packets in the reply direction. */
  replyPackets: number;
  /** Bytes of IPv4 packets in the reply direction. */
  replyBytes: number;
  /** Until the flow is forgotten when no packet comes. */
  timeoutSeconds: number;
  /** It is known to be in use both ways. */
  assured: boolean;
  /** No packet has come back yet. */
  unreplied: boolean;
  /** RELATED: another flow announced it to a helper. */
  related: boolean;
}

/**
 * Reads record `flow` of the hot records; null when it is dead or was being written while it was read (by another
 * process: FlowTable's SEQUENCE).
 */
export function readFlow(
  hot: Int32Array,
  flow: number,
  timeouts: TimeoutTable,
  now: number,
): FlowInfo | null {
  const h = flow * HOT;
  const sequence = hot[h + H_SEQUENCE]!;
  const status = hot[h + H_STATUS]!;
  if ((status & LIVE) === 0 || (sequence & 1) !== 0) return null;
  const protocol = status & 0xff;
  const state = (status & STATE_MASK) >>> STATE_SHIFT;
  const high = hot[h + H_BYTES_HIGH]!;
  const left = (hot[h + H_LAST]! + timeouts.ofStatus(status) - now) | 0;
  const info: FlowInfo = {
    protocol,
    state: stateName(protocol, state),
    original: readTuple(hot, h, protocol),
    reply: readTuple(hot, h + TUPLE, protocol),
    originalPackets: hot[h + H_PACKETS]! >>> 0,
    originalBytes: (hot[h + H_BYTES]! >>> 0) + (high & 0xffff) * 2 ** 32,
    replyPackets: hot[h + H_PACKETS + 1]! >>> 0,
    replyBytes: (hot[h + H_BYTES + 1]! >>> 0) + (high >>> 16) * 2 ** 32,
    timeoutSeconds: Math.max(Math.ceil(left / 1000), 0),
    assured: (status & ASSURED) !== 0,
    unreplied: (status & SEEN_REPLY) === 0,
    related: (status & EXPECTED) !== 0,
  };
  return hot[h + H_SEQUENCE] === sequence ? info : null;
}

function stateName(protocol: number, state: number): string {
  if (protocol === PROTO_TCP) return tcpStateNames[state] ?? '';
  return protocol === PROTO_SCTP ? (sctpStateNames[state] ?? '') : '';
}

/** The tuple at word `t`. */
export function readTuple(hot: Int32Array, t: number, protocol: number): FlowTuple {
  const ports = hot[t + H_PORTS]!;
  const low = swap16(ports & 0xffff);
  const tuple: FlowTuple = {
    src: hot[t]!,
    dst: hot[t + H_DESTINATION]!,
    sport: low,
    dport: swap16(ports >>> 16),
  };
  if (protocol !== PROTO_ICMP) return tuple;
  return { ...tuple, dport: low, icmpType: (ports >>> 16) & 0xff, icmpCode: ports >>> 24 };
}

/** All live flows of a table. */
export function* listFlows(table: FlowTable, timeouts: TimeoutTable, now: number): Generator<FlowInfo> {
  for (let flow = 0; flow < table.capacity; flow++) {
    const info = readFlow(table.hot, flow, timeouts, now);
    if (info !== null) yield info;
  }
}
