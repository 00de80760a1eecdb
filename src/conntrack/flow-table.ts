/**
 * The flow table: fixed-stride records in one ArrayBuffer that the caller owns (plain memory in tests, a mapped
 * file in the gateway, where other processes read it).
 *
 *     hot    64 bytes a flow, one cache line: all that an established packet touches
 *     track  64 bytes a flow, one cache line: what the tracker of TCP or SCTP remembers; others never touch theirs
 *     cold   20 bytes a flow: list links, creation time, mapping, check word (flow-check.ts)
 *     index  one word per direction (TagIndex), load at most one half: 16 to 32 bytes a flow
 *
 * A flow is named by its number; a *handle* is `flow << 1 | direction`, direction 0 original, 1 reply. Each
 * direction has its own index entry, so a packet of either finds its flow by the tuple it carries.
 *
 * Invariants: a live record has both tuples in the index, a dead one neither; no two live records share a tuple.
 * SEQUENCE is odd while a record's identity is being written, and never repeats between two lives of a record:
 * a reader that saw the same even value before and after has read one flow, and (flow, SEQUENCE) names a life. (How another
 * process reads: gateway/observe/flow-reader.ts.) What changes while a flow lives (state and timer in H_STATUS, H_LAST, counters,
 * H_ROUTE) does so word by word, without it; only a byte counter has two words, of which the low one is written first.
 * Records are used for the first time (SEQUENCE is no longer 0) in the order of their numbers, also by whoever adopts them.
 *
 * Whoever adopts the records of a process that was killed relies on this: a signal comes between two instructions, what is before it
 * has happened and what is after it has not, on any processor; and the compiler keeps stores to typed arrays in the order of the
 * program. So the file has a prefix of the stores, and SEQUENCE, odd first and even last, tells whether an identity was
 * among them in part. What a process that *lives* reads of another's stores is weaker (arm may show them in another order); the
 * check word is there for that, and for memory that has been damaged. Dead records have check word 0 and status 0.
 *
 * Limits: capacity fixed at creation, at most 2^26 flows; running out is an outcome (-1), never an exception.
 */

import { NatgateError } from '../core/errors.ts';
import { PROTO_SCTP, PROTO_TCP } from '../wire/ipv4.ts';
import { checkOf } from './flow-check.ts';
import { TagIndex } from './tag-index.ts';
import { type HashKey, hashTuple } from './tuple.ts';

export const ORIGINAL = 0;
export const REPLY = 1;

/** Words of a hot record. Tuples are three words each, original first (H_TUPLE + 3 * direction). */
export const HOT = 16;
export const H_SOURCE = 0;
export const H_DESTINATION = 1;
export const H_PORTS = 2;
export const TUPLE = 3;
/** protocol | state << 8 (4 bits) | timer << TIMER_SHIFT (3 bits) | flags | rule << RULE_SHIFT */
export const H_STATUS = 6;
/** Time of the last packet that refreshed the flow, in ms (int32, wraps). */
export const H_LAST = 7;
/** Checksum deltas of the original direction: addresses | transport << 16 (wire/checksum.ts). */
export const H_DELTAS = 8;
export const H_PACKETS = 9;
export const H_BYTES = 11;
/** High halves of the byte counters: original | reply << 16. */
export const H_BYTES_HIGH = 13;
/** Where each direction goes, cached: epoch << 16 | original class << 8 | reply class (engine/routes.ts). */
export const H_ROUTE = 14;
export const H_SEQUENCE = 15;

/** Words of a cold record. */
export const COLD = 5;
export const C_NEXT = 0;
export const C_PREVIOUS = 1;
/** Time of creation in ms. */
export const C_CREATED = 2;
/** Mapping of the flow (nat/mappings.ts), -1 for none. */
export const C_MAPPING = 3;
/** checkOf() the flow's identity (flow-check.ts); 0: no flow. */
export const C_CHECK = 4;

/** Words of a track record; their meaning is the tracker's (tcp-window.ts, sctp.ts). All zero in a new flow. */
export const TRACK = 16;

/** The state of the protocol's machine, within H_STATUS. */
export const STATE_SHIFT = 8;
export const STATE_MASK = 0xf00;
/** Which timeout holds for the state, within H_STATUS (timeouts.ts, TIMER_*). 0: the state's own. */
export const TIMER_SHIFT = 12;
/** State and timer together: what the timeout depends on. */
export const TIMEOUT_MASK = 0x7f00;

/** Flags, as bits of H_STATUS. CONFIRMED: its first packet has been tracked. */
export const CONFIRMED = 1 << 15;
export const LIVE = 1 << 16;
export const SEEN_REPLY = 1 << 17;
export const ASSURED = 1 << 18;
/** RELATED: an expectation of another flow let it in. */
export const EXPECTED = 1 << 19;
/** A helper reads, and may rewrite, what it carries; or its packets are limited (engine/firewall-gate.ts). Not for the fast path. */
export const HELPED = 1 << 20;
/**
 * On which side of the gateway packets of the original, and of the reply direction arrive: 0 private, 1 public. From inside
 * out they are 0 and 1, of a port forward 1 and 0, of a hairpin 0 and 0.
 */
export const ORIGINAL_SIDE = 1 << 21;
export const REPLY_SIDE = 1 << 22;
/** Position of ORIGINAL_SIDE; the side of a direction is bit SIDE_SHIFT + direction. */
export const SIDE_SHIFT = 21;
/** Number of the NAT rule that the flow was made by (nat/config.ts), 0-511. */
export const RULE_SHIFT = 23;
export const MAX_RULES = 512;

const MAX_FLOWS = 2 ** 26;
const HOT_BYTES = HOT * 4;
const TRACK_BYTES = TRACK * 4;
const COLD_BYTES = COLD * 4;
const RECORD_BYTES = HOT_BYTES + TRACK_BYTES + COLD_BYTES;

export class FlowTable {
  readonly capacity: number;
  readonly hot: Int32Array;
  readonly track: Int32Array;
  readonly cold: Int32Array;
  readonly index: TagIndex;
  /** Live flows. */
  count = 0;
  /** Goes up with every flow made or destroyed: a handle found earlier still holds while it stands. */
  changes = 0;
  private key0: number;
  private key1: number;
  /** The key before, where records of the buffer may be sealed with it still (rekey.ts). */
  private former: HashKey | null;
  private free = -1;
  /** Records from here on were never used. */
  fresh = 0;
  private readonly hashOf: (handle: number) => number;

  /** Bytes that a table of `capacity` flows needs. Throws NatgateError `bad_capacity`. */
  static bytes(capacity: number): number {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_FLOWS) {
      throw new NatgateError('bad_capacity', `no table of ${capacity} flows`, `1 to ${MAX_FLOWS} fit`);
    }
    return capacity * RECORD_BYTES + TagIndex.slots(capacity * 2) * 4;
  }

  /** Where the cold records of a table of `capacity` flows begin; the hot ones are at its beginning. */
  static coldOffset(capacity: number): number {
    return capacity * (HOT_BYTES + TRACK_BYTES);
  }

  /** Where the records of the trackers begin. */
  static trackOffset(capacity: number): number {
    return capacity * HOT_BYTES;
  }

  /**
   * `buffer` from `offset` (64-aligned) is all zero, or holds a table of the same capacity: then call adoptRecords(). `former`: the
   * key before `key`, where its engine may have died while it changed it.
   */
  constructor(
    buffer: ArrayBuffer,
    offset: number,
    capacity: number,
    key: HashKey,
    former: HashKey | null = null,
  ) {
    this.capacity = capacity;
    this.hot = new Int32Array(buffer, offset, capacity * HOT);
    this.track = new Int32Array(buffer, offset + capacity * HOT_BYTES, capacity * TRACK);
    this.cold = new Int32Array(buffer, offset + FlowTable.coldOffset(capacity), capacity * COLD);
    this.index = new TagIndex(
      new Int32Array(buffer, offset + capacity * RECORD_BYTES, TagIndex.slots(capacity * 2)),
      capacity * 2,
    );
    this.key0 = key[0];
    this.key1 = key[1];
    this.former = former;
    this.hashOf = (handle) => this.hashOfHandle(handle);
  }

  hash(source: number, destination: number, ports: number, protocol: number): number {
    return hashTuple(source, destination, ports, protocol, this.key0, this.key1);
  }

  /**
   * The handle whose tuple this is, or -1 - the slot of the index where it would be. `hash` as given by hash() for the same four.
   */
  find(source: number, destination: number, ports: number, protocol: number, hash: number): number {
    const index = this.index;
    const hot = this.hot;
    let slot = index.seek(hash, hash);
    while (slot >= 0) {
      const handle = index.valueAt(slot);
      const record = (handle >> 1) * HOT;
      const tuple = record + (handle & 1) * TUPLE;
      if (
        hot[tuple]! === source &&
        hot[tuple + H_DESTINATION]! === destination &&
        hot[tuple + H_PORTS]! === ports &&
        (hot[record + H_STATUS]! & 0xff) === protocol
      ) {
        return handle;
      }
      slot = index.seek(hash, slot + 1);
    }
    return slot;
  }

  /** The handle, or -1; for the cold path: hashes by itself. */
  lookup(source: number, destination: number, ports: number, protocol: number): number {
    const hash = this.hash(source, destination, ports, protocol);
    return Math.max(this.find(source, destination, ports, protocol, hash), -1);
  }

  /**
   * Makes a flow. The caller has made sure that neither tuple is in the table. `flags`: bits of H_STATUS (sides, rule, state).
   * Returns its number, or -1 when the table is full.
   */
  create(
    protocol: number,
    source: number,
    destination: number,
    ports: number,
    replySource: number,
    replyDestination: number,
    replyPorts: number,
    flags: number,
    now: number,
  ): number {
    const { hot, cold } = this;
    let flow = this.free;
    if (flow >= 0) this.free = cold[flow * COLD + C_NEXT]!;
    else if (this.fresh < this.capacity) flow = this.fresh++;
    else return -1;
    const h = flow * HOT;
    const original = this.hash(source, destination, ports, protocol);
    const reply = this.hash(replySource, replyDestination, replyPorts, protocol);
    const sequence = hot[h + H_SEQUENCE]!;
    hot[h + H_SEQUENCE] = sequence + 1;
    hot[h] = source;
    hot[h + H_DESTINATION] = destination;
    hot[h + H_PORTS] = ports;
    hot[h + TUPLE] = replySource;
    hot[h + TUPLE + H_DESTINATION] = replyDestination;
    hot[h + TUPLE + H_PORTS] = replyPorts;
    hot[h + H_STATUS] = protocol | LIVE | flags;
    hot[h + H_LAST] = now;
    hot[h + H_DELTAS] = 0;
    for (let i = H_PACKETS; i <= H_ROUTE; i++) hot[h + i] = 0;
    if (protocol === PROTO_TCP || protocol === PROTO_SCTP) {
      this.track.fill(0, flow * TRACK, flow * TRACK + TRACK);
    }
    const c = flow * COLD;
    cold[c + C_NEXT] = -1;
    cold[c + C_PREVIOUS] = -1;
    cold[c + C_CREATED] = now;
    cold[c + C_MAPPING] = -1;
    cold[c + C_CHECK] = checkOf(original, reply, protocol | LIVE | flags, now, (sequence + 2) | 0);
    hot[h + H_SEQUENCE] = sequence + 2;
    this.index.insert(original, flow << 1);
    this.index.insert(reply, (flow << 1) | 1);
    this.count++;
    this.changes++;
    return flow;
  }

  /**
   * Gives one direction of a live flow another tuple; the caller has made sure that no flow has it. What names the flow by (flow,
   * SEQUENCE) takes it for another one from now on.
   */
  retuple(handle: number, source: number, destination: number, ports: number): void {
    const { hot, index } = this;
    const h = (handle >> 1) * HOT;
    const t = h + (handle & 1) * TUPLE;
    index.remove(this.hashOfHandle(handle), handle, this.hashOf);
    hot[h + H_SEQUENCE] = hot[h + H_SEQUENCE]! + 1;
    hot[t] = source;
    hot[t + H_DESTINATION] = destination;
    hot[t + H_PORTS] = ports;
    this.seal(handle >> 1, (hot[h + H_SEQUENCE]! + 1) | 0);
    hot[h + H_SEQUENCE] = hot[h + H_SEQUENCE]! + 1;
    index.insert(this.hashOfHandle(handle), handle);
    this.changes++;
  }

  /** Frees a live flow. It is on no list any more. */
  destroy(flow: number): void {
    const h = flow * HOT;
    const { hot, index } = this;
    index.remove(this.hashOfHandle(flow << 1), flow << 1, this.hashOf);
    index.remove(this.hashOfHandle((flow << 1) | 1), (flow << 1) | 1, this.hashOf);
    hot[h + H_SEQUENCE] = hot[h + H_SEQUENCE]! + 1;
    hot[h + H_STATUS] = 0;
    this.cold[flow * COLD + C_CHECK] = 0;
    hot[h + H_SEQUENCE] = hot[h + H_SEQUENCE]! + 1;
    this.cold[flow * COLD + C_NEXT] = this.free;
    this.free = flow;
    this.count--;
    this.changes++;
  }

  /** The side of the gateway on which packets of this direction arrive: 0 private, 1 public. */
  sideOf(handle: number): number {
    return this.hot[(handle >> 1) * HOT + H_STATUS]! & (ORIGINAL_SIDE << (handle & 1)) ? 1 : 0;
  }

  isLive(flow: number): boolean {
    return (this.hot[flow * HOT + H_STATUS]! & LIVE) !== 0;
  }

  /** Writes the check word of a record whose identity is there, and whose SEQUENCE is or will be `sequence`. */
  seal(flow: number, sequence: number): void {
    const { hot, cold } = this;
    const original = this.hashOfHandle(flow << 1);
    const reply = this.hashOfHandle((flow << 1) | 1);
    const created = cold[flow * COLD + C_CREATED]!;
    cold[flow * COLD + C_CHECK] = checkOf(original, reply, hot[flow * HOT + H_STATUS]!, created, sequence);
  }

  /** Hashes with another key from now on, and finds nothing: rekeyTable() goes on from here. */
  setKey(key: HashKey): void {
    this.key0 = key[0];
    this.key1 = key[1];
    this.former = null;
    this.index.clear();
    this.changes++;
  }

  /** Seals a record whose check word is right under the former key; else returns false. */
  resealed(flow: number): boolean {
    const { hot, cold, former } = this;
    if (former === null) return false;
    const h = flow * HOT;
    const t = h + TUPLE;
    const status = hot[h + H_STATUS]!;
    const protocol = status & 0xff;
    const original = hashTuple(hot[h]!, hot[h + H_DESTINATION]!, hot[h + H_PORTS]!, protocol, ...former);
    const reply = hashTuple(hot[t]!, hot[t + H_DESTINATION]!, hot[t + H_PORTS]!, protocol, ...former);
    const created = cold[flow * COLD + C_CREATED]!;
    const sequence = hot[h + H_SEQUENCE]!;
    if (cold[flow * COLD + C_CHECK] !== checkOf(original, reply, status, created, sequence)) return false;
    this.seal(flow, sequence);
    return true;
  }

  /** Begins to take over the records that are in the buffer, of which those from `used` on were never used (flow-adoption.ts). */
  beginAdoption(used: number): void {
    this.index.clear();
    this.count = 0;
    this.free = -1;
    this.fresh = used;
  }

  /** find(), of the tuple of `handle`. */
  rivalOf(handle: number, hash: number): number {
    const { hot } = this;
    const h = (handle >> 1) * HOT;
    const t = h + (handle & 1) * TUPLE;
    return this.find(hot[t]!, hot[t + H_DESTINATION]!, hot[t + H_PORTS]!, hot[h + H_STATUS]! & 0xff, hash);
  }

  /** A record of the buffer is a live flow. `original`, `reply`: its hashes, and for each what rivalOf() said: nobody, and a slot. */
  takeOver(flow: number, original: number, reply: number, originalEnd: number, replyEnd: number): void {
    const { index } = this;
    const c = flow * COLD;
    this.cold[c + C_NEXT] = -1;
    this.cold[c + C_PREVIOUS] = -1;
    index.put(-1 - originalEnd, original, flow << 1);
    if (replyEnd !== originalEnd) index.put(-1 - replyEnd, reply, (flow << 1) | 1);
    else index.insert(reply, (flow << 1) | 1);
    this.count++;
  }

  /** A record of the buffer is no flow, or none that can live on. */
  discard(flow: number): void {
    const { hot, cold } = this;
    const h = flow * HOT;
    hot[h + H_STATUS] = 0;
    hot[h + H_SEQUENCE] = (hot[h + H_SEQUENCE]! + 1) & ~1;
    cold[flow * COLD + C_CHECK] = 0;
    cold[flow * COLD + C_NEXT] = this.free;
    this.free = flow;
  }

  hashOfHandle(handle: number): number {
    const h = (handle >> 1) * HOT;
    const t = h + (handle & 1) * TUPLE;
    const hot = this.hot;
    return this.hash(hot[t]!, hot[t + H_DESTINATION]!, hot[t + H_PORTS]!, hot[h + H_STATUS]! & 0xff);
  }
}
