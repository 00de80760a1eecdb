/**
 * Connection tracking for embedding: bytes in, verdict and state out. No I/O and no clock of its own: every call says what
 * time it is, so a test can let a day pass in one line.
 *
 *     const conntrack = new Conntrack({ now: 0 });
 *     conntrack.on('destroy', ({ flow, reason }) => log(formatFlow(flow), reason));
 *     conntrack.track(synBytes, 0).state        // 'NEW'
 *     conntrack.track(synAckBytes, 12).state    // 'ESTABLISHED'
 *
 * It is the tracker that the gateway runs, without NAT: the reply of a flow is the inverse of its original tuple. A
 * packet is copied to aligned memory first; nothing of it is kept.
 *
 * The tracker's own time is int32 and wraps; it is the caller's less `epoch`. A restored tracker goes on with the time of the
 * one that made the snapshot, so no time within a flow has to be changed, whatever clock its new owner has.
 */
import { NatgateError } from '../core/errors.ts';
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
import { parseAddress } from '../wire/address.ts';
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
import type {
  ConntrackOptions,
  ConntrackState,
  FlowFilter,
  RestoreOptions,
  TupleLike,
  Verdict,
} from './conntrack-types.ts';
import { END_DELETED, END_REUSED, endReasonNames } from './end-reasons.ts';
import { FlowEvents, type FlowEventType, type FlowListener } from './flow-events.ts';
import { type FlowInfo, readFlow } from './flow-info.ts';
import { FlowTable, H_DESTINATION, H_SEQUENCE, HOT, TUPLE } from './flow-table.ts';
import { DROPPED, FRESH, Fragments, fragmentKey, OVERLAP, UNKNOWN } from './fragments.ts';
import { adoptSnapshot, readSnapshot, startOf, writeSnapshot } from './snapshot.ts';
import { INVALID } from './tcp-states.ts';
import { defaultTimeouts, TimeoutTable } from './timeouts.ts';
import { FULL, REOPEN, refusal, Tracker } from './tracker.ts';
import { invertPorts, portsWord } from './tuple.ts';

const MAX_PACKET = 65536;
const NONE = -1;

const all: FlowFilter = () => true;

/** A connection tracker: IPv4 packets in, verdicts, flows and events out. */
export class Conntrack {
  private readonly bytes = new Bytes(new ArrayBuffer(MAX_PACKET));
  private readonly meta = new Int32Array(2 * META);
  private readonly table: FlowTable;
  private readonly tracker: Tracker;
  private readonly fragments: Fragments;
  private readonly events = new FlowEvents();
  /** What the caller's clock is ahead of the tracker's. */
  private epoch = 0;
  /** The caller's time of the call under way. */
  private now: number;
  /** The flow that the packet under way has made, or changed. */
  private opened = NONE;
  private updated = NONE;

  /** Throws NatgateError `bad_capacity` or `bad_timeout`. */
  constructor(options: ConntrackOptions) {
    const capacity = options.capacity ?? 4096;
    const seed = options.seed ?? randomSeed();
    this.now = options.now;
    this.table = new FlowTable(new ArrayBuffer(FlowTable.bytes(capacity)), 0, capacity, seed);
    const timeouts = new TimeoutTable({ ...defaultTimeouts, ...options.timeouts });
    this.tracker = new Tracker(this.table, timeouts, options.now | 0, options.tcp);
    this.fragments = new Fragments(seed);
    this.tracker.onOpen = (flow) => {
      this.opened = flow;
    };
    this.tracker.onUpdate = (flow) => {
      this.updated = flow;
    };
    this.tracker.onClose = (flow, why) => {
      if (flow === this.opened || flow === this.updated) this.opened = this.updated = NONE;
      this.tell('destroy', flow, endReasonNames[why]!);
    };
  }

  /**
   * A tracker with the flows of a snapshot. What it was set to otherwise (timeouts, listeners) is not in the snapshot.
   *
   * Throws NatgateError: `snapshot_truncated`, `snapshot_damaged`, `snapshot_foreign` (no snapshot), `snapshot_version`,
   * `snapshot_capacity` (more flows than `capacity`), `snapshot_time` (from the future).
   */
  static restore(bytes: Uint8Array, options: RestoreOptions): Conntrack {
    const snapshot = readSnapshot(bytes);
    const { count, time, ticks } = snapshot;
    const capacity = options.capacity ?? Math.max(count, 4096);
    if (count > capacity) {
      const what = `the snapshot has ${count} flows, and the table room for ${capacity}`;
      throw new NatgateError('snapshot_capacity', what, `give it a capacity of ${count} or more`);
    }
    const elapsed = Math.trunc(options.elapsed ?? options.now - time);
    if (!(elapsed >= 0)) {
      const what = `the snapshot was made at ${time} ms, and now is ${options.now} ms`;
      throw new NatgateError('snapshot_time', what, 'say how long ago that is with `elapsed`');
    }
    const start = startOf(ticks, elapsed);
    const conntrack = new Conntrack({ ...options, capacity, now: start });
    conntrack.epoch = Math.trunc(options.now) - start;
    conntrack.now = options.now;
    adoptSnapshot(snapshot, conntrack.tracker, elapsed);
    return conntrack;
  }

  /** Live flows. */
  get size(): number {
    return this.table.count;
  }

  /** Tracks one IPv4 packet (without link-layer header) that is seen at time `now` (ms). */
  track(packet: Uint8Array, now: number): Verdict {
    const time = this.passTo(now);
    const length = Math.min(packet.length, MAX_PACKET);
    this.bytes.u8.set(packet.length > MAX_PACKET ? packet.subarray(0, MAX_PACKET) : packet);
    this.opened = this.updated = NONE;
    const verdict = this.classify(length, time);
    if (this.opened !== NONE) this.tell('new', this.opened);
    else if (this.updated !== NONE) this.tell('update', this.updated);
    this.opened = this.updated = NONE;
    this.events.deliver();
    return verdict;
  }

  /** Ends the flows whose time is up at `now` (ms), as every call that says what time it is does before all else. */
  expire(now: number): void {
    this.passTo(now);
    this.events.deliver();
  }

  /**
   * The live flows that `filter` chooses, all without one. Flows that begin or end while you walk may be among them or not;
   * each is as it is when you come to it.
   */
  *flows(now: number, filter: FlowFilter = all): Generator<FlowInfo> {
    this.expire(now);
    const time = this.ticks(now);
    for (let flow = 0; flow < this.table.capacity; flow++) {
      const info = readFlow(this.table.hot, flow, this.tracker.timeouts, time);
      if (info !== null && filter(info)) yield info;
    }
  }

  /** How many live flows `filter` chooses. */
  count(now: number, filter: FlowFilter = all): number {
    let count = 0;
    for (const _ of this.flows(now, filter)) count++;
    return count;
  }

  /** The flow one of whose tuples this is, original or reply, or null. `protocol`: 6 TCP, 17 UDP, 1 ICMP, ... */
  find(protocol: number, tuple: TupleLike, now: number): FlowInfo | null {
    this.expire(now);
    const handle = this.handleOf(protocol, tuple);
    return handle < 0 ? null : this.describe(handle, this.ticks(now));
  }

  /** Ends the flow one of whose tuples this is, with reason `deleted`. False when there is none. */
  delete(protocol: number, tuple: TupleLike, now: number): boolean {
    this.passTo(now);
    const handle = this.handleOf(protocol, tuple);
    if (handle >= 0) this.tracker.close(handle >> 1, END_DELETED);
    this.events.deliver();
    return handle >= 0;
  }

  /** Ends all flows that `filter` chooses, with reason `deleted`. Returns how many there were. */
  flush(now: number, filter: FlowFilter = all): number {
    const time = this.passTo(now);
    const { table, tracker } = this;
    const before = table.count;
    for (let flow = 0; flow < table.capacity; flow++) {
      const info = readFlow(table.hot, flow, tracker.timeouts, time);
      if (info !== null && filter(info)) tracker.close(flow, END_DELETED);
    }
    const ended = before - table.count;
    this.events.deliver();
    return ended;
  }

  /**
   * Subscribes to events: `new` behind a flow's first packet, `update` when its state or flags change, `destroy` with the
   * reason. They are delivered before the call that caused them returns; what a listener throws, that call throws, when
   * all others have been told. Listeners may call the tracker. Returns what ends the subscription.
   */
  on(type: FlowEventType, listener: FlowListener): () => void {
    return this.events.on(type, listener);
  }

  /** The live flows and the time as bytes with version and checksum, for `Conntrack.restore`. */
  snapshot(now: number): Uint8Array {
    this.expire(now);
    return writeSnapshot(this.table, now, this.ticks(now));
  }

  /** The tracker's time of a caller's time. */
  private ticks(now: number): number {
    return (Math.trunc(now) - this.epoch) | 0;
  }

  /** Begins every call: lets time pass. Returns the tracker's time. */
  private passTo(now: number): number {
    this.now = now;
    const time = this.ticks(now);
    // The tracker bounds the work of one call; here all of it is wanted.
    while (!this.tracker.expire(time));
    return time;
  }

  private tell(type: FlowEventType, number: number, reason = ''): void {
    if (!this.events.wants(type)) return;
    const { table, tracker, now } = this;
    const flow = readFlow(table.hot, number, tracker.timeouts, this.ticks(now));
    if (flow !== null) this.events.push({ type, flow, now, reason });
  }

  private handleOf(protocol: number, tuple: TupleLike): number {
    return this.table.lookup(
      addressOf(tuple.src),
      addressOf(tuple.dst),
      portsWord(protocol, tuple),
      protocol,
    );
  }

  private classify(length: number, now: number): Verdict {
    const bad = parsePacket(this.bytes, 0, length, false, this.meta, 0);
    if (bad !== OK) return invalid(bad);
    const kind = this.meta[M_KIND]!;
    if (kind === KIND_ERROR) return this.trackError(now);
    if (kind === KIND_FRAGMENT) return this.trackFragment(now);
    return this.trackFlow(now);
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

function addressOf(address: string | number): number {
  const word = typeof address === 'number' ? address | 0 : parseAddress(address);
  if (word === null) {
    throw new NatgateError('bad_address', `not an IPv4 address: ${address}`, 'write it as in 10.0.0.2');
  }
  return word;
}
