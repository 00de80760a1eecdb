/**
 * Connection tracking for embedding: bytes in, verdict and state out. No I/O and no clock of its own: every call says what
 * time it is, so a test can let a day pass in one line.
 *
 *     const conntrack = new Conntrack({ now: 0 });
 *     conntrack.track(synBytes, 0).state        // 'NEW'
 *     conntrack.track(synAckBytes, 12).state    // 'ESTABLISHED'
 *
 * It is the tracker that the gateway runs, without NAT: the reply of a flow is the inverse of its original tuple. A
 * packet is copied to aligned memory first; nothing of it is kept.
 */
import { randomSeed } from '../core/random.ts';
import {
  BAD_ICMP_CHECKSUM,
  FRAGMENT_FIRST_MISSING,
  FRAGMENT_OVERLAP,
  NO_RELATED,
  OK,
  reasonNames,
  TABLE_FULL,
} from '../core/reasons.ts';
import { Bytes, be16 } from '../wire/bytes.ts';
import { fold, sumBytes } from '../wire/checksum.ts';
import { FRAGMENT_OFFSET, IP_ID, MORE_FRAGMENTS } from '../wire/ipv4.ts';
import {
  KIND_ERROR,
  KIND_FRAGMENT,
  M_DESTINATION,
  M_FRAGMENT,
  M_KIND,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PORTS,
  M_PROTOCOL,
  M_SOURCE,
  META,
  parsePacket,
  parseQuote,
} from '../wire/parse.ts';
import { END_REUSED } from './end-reasons.ts';
import { type FlowInfo, listFlows, readFlow } from './flow-info.ts';
import { FlowTable, H_DESTINATION, H_SEQUENCE, HOT, TUPLE } from './flow-table.ts';
import { DROPPED, FRESH, Fragments, fragmentKey, OVERLAP, UNKNOWN } from './fragments.ts';
import { INVALID } from './tcp-states.ts';
import type { TcpOptions } from './tcp-tracker.ts';
import { defaultTimeouts, type Timeouts, TimeoutTable } from './timeouts.ts';
import { FULL, REOPEN, refusal, Tracker } from './tracker.ts';
import { invertPorts } from './tuple.ts';

export interface ConntrackOptions {
  /** Flows that fit, default 4096. Memory is taken at once: 160 to 176 bytes a flow. */
  capacity?: number;
  /** The present, in ms; any origin. */
  now: number;
  /** Seconds of silence, where they shall differ from netfilter's. */
  timeouts?: Partial<Timeouts>;
  /** How strict TCP is taken; liberal off and loose on, as netfilter, when absent. */
  tcp?: TcpOptions;
  /** Keys of the hash; random when absent. Nothing observable depends on them. */
  seed?: readonly [number, number];
}

export type ConntrackState = 'NEW' | 'ESTABLISHED' | 'RELATED' | 'INVALID';

export interface Verdict {
  state: ConntrackState;
  /** Why it is INVALID: a drop reason (`invalid_tcp`, `bad_udp`, `table_full`, ...); empty otherwise. */
  reason: string;
  /** 'original' or 'reply', as the packet travels in its flow (an error: against the packet it quotes); empty when INVALID. */
  direction: 'original' | 'reply' | '';
  /** The flow as it is after the packet; null when INVALID. */
  flow: FlowInfo | null;
}

const MAX_PACKET = 65536;

export class Conntrack {
  private readonly bytes = new Bytes(new ArrayBuffer(MAX_PACKET));
  private readonly meta = new Int32Array(2 * META);
  private readonly table: FlowTable;
  private readonly tracker: Tracker;
  private readonly fragments: Fragments;

  constructor(options: ConntrackOptions) {
    const capacity = options.capacity ?? 4096;
    const seed = options.seed ?? randomSeed();
    this.table = new FlowTable(new ArrayBuffer(FlowTable.bytes(capacity)), 0, capacity, seed);
    const timeouts = new TimeoutTable({ ...defaultTimeouts, ...options.timeouts });
    this.tracker = new Tracker(this.table, timeouts, options.now | 0, options.tcp);
    this.fragments = new Fragments(seed);
  }

  /** Live flows. */
  get size(): number {
    return this.table.count;
  }

  /** Tracks one IPv4 packet (without link-layer header) that is seen at time `now` (ms). */
  track(packet: Uint8Array, now: number): Verdict {
    const time = now | 0;
    this.expire(time);
    const length = Math.min(packet.length, MAX_PACKET);
    this.bytes.u8.set(packet.length > MAX_PACKET ? packet.subarray(0, MAX_PACKET) : packet);
    const bad = parsePacket(this.bytes, 0, length, false, this.meta, 0);
    if (bad !== OK) return invalid(bad);
    const kind = this.meta[M_KIND]!;
    if (kind === KIND_ERROR) return this.trackError(time);
    if (kind === KIND_FRAGMENT) return this.trackFragment(time);
    return this.trackFlow(time);
  }

  /** Ends the flows whose time is up at `now` (ms), as track() does before it looks at its packet. */
  expire(now: number): void {
    // The tracker bounds the work of one call; here all of it is wanted.
    while (!this.tracker.expire(now | 0));
  }

  /** The live flows. */
  flows(now: number): Generator<FlowInfo> {
    return listFlows(this.table, this.tracker.timeouts, now | 0);
  }

  private trackFlow(now: number): Verdict {
    const { meta, table, tracker, bytes } = this;
    const protocol = meta[M_PROTOCOL]!;
    let handle = table.lookup(meta[M_SOURCE]!, meta[M_DESTINATION]!, meta[M_PORTS]!, protocol);
    let verdict = handle < 0 ? REOPEN : tracker.update(handle, bytes, meta, 0, now);
    const isNew = verdict === REOPEN;
    if (isNew) {
      if (handle >= 0) tracker.close(handle >> 1, END_REUSED);
      const state = tracker.firstState(bytes, meta, 0);
      if (state === INVALID) return invalid(refusal(protocol));
      const flow = tracker.open(
        meta,
        0,
        state,
        meta[M_DESTINATION]!,
        meta[M_SOURCE]!,
        invertPorts(protocol, meta[M_PORTS]!),
        0,
        now,
      );
      if (flow === FULL) return invalid(TABLE_FULL);
      handle = flow << 1;
      verdict = tracker.update(handle, bytes, meta, 0, now);
    }
    if (verdict !== OK) return invalid(verdict);
    if (meta[M_FRAGMENT] !== 0) {
      const sequence = table.hot[(handle >> 1) * HOT + H_SEQUENCE]!;
      const key = fragmentKey(protocol, be16(bytes.u8, IP_ID), 0);
      const datagram = this.fragments.open(meta[M_SOURCE]!, meta[M_DESTINATION]!, key, now);
      const bad = this.addFragment(datagram);
      if (bad !== OK) return invalid(bad);
      this.fragments.decide(datagram, handle, sequence);
    }
    // netfilter calls a flow ESTABLISHED once packets were seen both ways.
    const flow = this.describe(handle, now);
    return this.verdict(flow?.unreplied === false ? 'ESTABLISHED' : 'NEW', handle, flow);
  }

  private trackFragment(now: number): Verdict {
    const { meta, table } = this;
    const key = fragmentKey(meta[M_PROTOCOL]!, be16(this.bytes.u8, IP_ID), 0);
    const datagram = this.fragments.find(meta[M_SOURCE]!, meta[M_DESTINATION]!, key, now);
    if (datagram === UNKNOWN) return invalid(FRAGMENT_FIRST_MISSING);
    const bad = this.addFragment(datagram);
    if (bad !== OK) return invalid(bad);
    const handle = this.fragments.verdict(datagram);
    const h = (handle >> 1) * HOT;
    if (table.hot[h + H_SEQUENCE] !== this.fragments.sequence(datagram)) {
      return invalid(FRAGMENT_FIRST_MISSING);
    }
    this.tracker.touch(h, handle & 1, meta[M_LENGTH]!, now);
    const flow = this.describe(handle, now);
    return this.verdict(flow?.unreplied === false ? 'ESTABLISHED' : 'NEW', handle, flow);
  }

  /** Adds a fragment to its datagram: OK, also for one that came before, or why the datagram is of no use. */
  private addFragment(datagram: number): number {
    const { meta, fragments } = this;
    if (fragments.verdict(datagram) === DROPPED) return fragments.sequence(datagram);
    const field = meta[M_FRAGMENT]!;
    const header = meta[M_L4]! - meta[M_OFFSET]!;
    const start = (field & FRAGMENT_OFFSET) << 3;
    const end = start + meta[M_LENGTH]! - header;
    const more = (field & MORE_FRAGMENTS) !== 0;
    const relation = fragments.examine(datagram, start, end, more, header);
    if (relation === OVERLAP) {
      fragments.decide(datagram, DROPPED, FRAGMENT_OVERLAP);
      return FRAGMENT_OVERLAP;
    }
    if (relation === FRESH && fragments.cover(datagram, start, end, more, header)) fragments.free(datagram);
    return OK;
  }

  private trackError(now: number): Verdict {
    const { meta, table, bytes } = this;
    const l4 = meta[M_L4]!;
    const length = meta[M_LENGTH]! - (l4 - meta[M_OFFSET]!);
    if (fold(sumBytes(bytes.u8, bytes.u16, l4, length)) !== 0xffff) {
      return invalid(BAD_ICMP_CHECKSUM);
    }
    const bad = parseQuote(bytes, l4, length, meta, META);
    if (bad !== OK) return invalid(bad);
    const protocol = meta[META + M_PROTOCOL]!;
    const handle = table.lookup(
      meta[META + M_DESTINATION]!,
      meta[META + M_SOURCE]!,
      invertPorts(protocol, meta[META + M_PORTS]!),
      protocol,
    );
    const tuple = (handle >> 1) * HOT + (handle & 1) * TUPLE;
    if (handle < 0 || table.hot[tuple + H_DESTINATION] !== meta[M_DESTINATION]) {
      return invalid(NO_RELATED);
    }
    return this.verdict('RELATED', handle, this.describe(handle, now));
  }

  private describe(handle: number, now: number): FlowInfo | null {
    return readFlow(this.table.hot, handle >> 1, this.tracker.timeouts, now);
  }

  private verdict(state: ConntrackState, handle: number, flow: FlowInfo | null): Verdict {
    return { state, reason: '', direction: (handle & 1) === 0 ? 'original' : 'reply', flow };
  }
}

function invalid(reason: number): Verdict {
  return { state: 'INVALID', reason: reasonNames[reason]!, direction: '', flow: null };
}
