/**
 * The flows of a table as bytes, to be kept in a file or sent elsewhere, and back.
 *
 *     word 0      magic `NGCT`
 *     word 1      version
 *     word 2      number of flows
 *     word 3      the tracker's own time, int32 ms: what the times within the flows are relative to
 *     word 4, 5   the caller's time, float64 ms
 *     then        30 words a flow: identity and status, last packet, counters, creation, the tracker's memory
 *     last word   CRC-32 of all before
 *
 * Little-endian. Reading trusts nothing: damage is found by the checksum, and what a wrong writer might have produced with
 * a right one (an impossible state, two flows with one tuple) by looking. Not in it: fragments in flight, which live for
 * seconds only.
 */
import { crc32 } from '../core/crc32.ts';
import { NatgateError } from '../core/errors.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import {
  ASSURED,
  C_CREATED,
  C_MAPPING,
  COLD,
  CONFIRMED,
  EXPECTED,
  type FlowTable,
  H_BYTES_HIGH,
  H_DELTAS,
  H_DESTINATION,
  H_LAST,
  H_PACKETS,
  H_PORTS,
  H_ROUTE,
  H_SEQUENCE,
  H_STATUS,
  HELPED,
  HOT,
  LIVE,
  SEEN_REPLY,
  STATE_MASK,
  STATE_SHIFT,
  TIMEOUT_MASK,
  TRACK,
  TUPLE,
} from './flow-table.ts';
import { tcpStateNames } from './tcp-states.ts';
import { UDP_DNS } from './timeouts.ts';
import type { Tracker } from './tracker.ts';
import { invertPorts } from './tuple.ts';

const MAGIC = 0x5443474e;
const VERSION = 1;
/** ms. No timeout is longer (timeouts.ts), and the sum of two times must not wrap. */
const MAX_ELAPSED = 2_000_000_000;
const HEADER = 6;
const S_MAGIC = 0;
const S_VERSION = 1;
const S_COUNT = 2;
const S_TICKS = 3;
const S_TIME = 4;

/** Words of a record: those of the hot record that are not a cache, then creation time and track record. */
const KEPT = [...range(0, H_LAST), ...range(H_PACKETS, H_BYTES_HIGH)];
const R_CREATED = KEPT.length;
const R_TRACK = R_CREATED + 1;
const RECORD = R_TRACK + TRACK;

const STATUS_BITS = 0xff | TIMEOUT_MASK | CONFIRMED | LIVE | SEEN_REPLY | ASSURED | EXPECTED | HELPED;

const ANEW = 'start without it: connections that live are picked up from their next packets';

export interface Snapshot {
  /** By the caller's clock, ms. */
  time: number;
  /** By the tracker's own, int32 ms. */
  ticks: number;
  /** Number of flows. */
  count: number;
  words: Int32Array;
}

export function writeSnapshot(table: FlowTable, time: number, ticks: number): Uint8Array {
  const words = new Int32Array(HEADER + table.count * RECORD + 1);
  words[S_MAGIC] = MAGIC;
  words[S_VERSION] = VERSION;
  words[S_COUNT] = table.count;
  words[S_TICKS] = ticks;
  new Float64Array(words.buffer, S_TIME * 4, 1)[0] = time;
  let at = HEADER;
  for (let flow = 0; flow < table.capacity; flow++) {
    if (!table.isLive(flow)) continue;
    for (const word of KEPT) words[at++] = table.hot[flow * HOT + word]!;
    words[at++] = table.cold[flow * COLD + C_CREATED]!;
    words.set(table.track.subarray(flow * TRACK, (flow + 1) * TRACK), at);
    at += TRACK;
  }
  const bytes = new Uint8Array(words.buffer);
  words[at] = crc32(bytes, 0, at * 4);
  return bytes;
}

/**
 * Throws NatgateError `snapshot_truncated`, `snapshot_foreign`, `snapshot_version` or `snapshot_damaged`. The flows are
 * looked at by fillTable().
 */
export function readSnapshot(bytes: Uint8Array): Snapshot {
  if (bytes.length < (HEADER + 1) * 4 || bytes.length % 4 !== 0) throw truncated(bytes.length);
  const words = new Int32Array(bytes.length / 4);
  const copy = new Uint8Array(words.buffer);
  copy.set(bytes);
  if (words[S_MAGIC] !== MAGIC) {
    const what = 'these bytes are no snapshot of a Conntrack';
    throw new NatgateError('snapshot_foreign', what, 'pass what snapshot() returned');
  }
  if (words[S_VERSION] !== VERSION) {
    const what = `the snapshot has version ${words[S_VERSION]}, this natgate reads version ${VERSION}`;
    throw new NatgateError('snapshot_version', what, `restore it with the natgate that made it, or ${ANEW}`);
  }
  const count = words[S_COUNT]!;
  if (words.length < HEADER + count * RECORD + 1) throw truncated(bytes.length, count);
  const last = words.length - 1;
  if (words[last] !== (crc32(copy, 0, last * 4) | 0)) throw damaged('its checksum is wrong');
  const time = new Float64Array(words.buffer, S_TIME * 4, 1)[0]!;
  if (count < 0 || last !== HEADER + count * RECORD) throw damaged(`it is too long for ${count} flows`);
  if (!Number.isFinite(time)) throw damaged(`its time is ${time}`);
  return { time, ticks: words[S_TICKS]!, count, words };
}

/** The time, as the tracker has it, of a tracker that goes on `elapsed` ms after a snapshot. */
export function startOf(ticks: number, elapsed: number): number {
  return (ticks + Math.min(elapsed, MAX_ELAPSED)) | 0;
}

/**
 * Gives the flows of a snapshot to a tracker without flows, made at startOf() with room for all. Those whose time is up are
 * left out. Throws NatgateError `snapshot_damaged`.
 */
export function adoptSnapshot(snapshot: Snapshot, tracker: Tracker, elapsed: number): void {
  const now = startOf(snapshot.ticks, elapsed);
  fillTable(snapshot, tracker.table);
  let late = 0;
  const { cleared } = tracker.adopt(now, (flow) => {
    const lives = elapsed <= MAX_ELAPSED && tracker.remaining(flow, now) > 0;
    if (!lives) late++;
    return lives;
  });
  if (cleared !== late) throw damaged('two of its flows have the same tuple');
}

/** Writes the flows into the first records of an empty table. */
function fillTable({ count, words }: Snapshot, table: FlowTable): void {
  for (let flow = 0; flow < count; flow++) {
    const at = HEADER + flow * RECORD;
    const h = flow * HOT;
    for (let i = 0; i < KEPT.length; i++) table.hot[h + KEPT[i]!] = words[at + i]!;
    table.hot[h + H_DELTAS] = 0;
    table.hot[h + H_ROUTE] = 0;
    table.hot[h + H_SEQUENCE] = 2;
    if (!isPossible(table.hot, h)) throw damaged(`its flow ${flow} cannot be`);
    table.cold[flow * COLD + C_CREATED] = words[at + R_CREATED]!;
    table.cold[flow * COLD + C_MAPPING] = -1;
    table.seal(flow, 2);
    table.track.set(words.subarray(at + R_TRACK, at + RECORD), flow * TRACK);
  }
}

/** Whether a record is a flow that a tracker without NAT could have made. */
function isPossible(hot: Int32Array, h: number): boolean {
  const status = hot[h + H_STATUS]!;
  const protocol = status & 0xff;
  const state = (status & STATE_MASK) >>> STATE_SHIFT;
  if ((status & LIVE) === 0 || (status & ~STATUS_BITS) !== 0) return false;
  if (protocol === PROTO_TCP && (state === 0 || state >= tcpStateNames.length)) return false;
  if (protocol === PROTO_UDP && state > UDP_DNS) return false;
  return (
    hot[h + TUPLE] === hot[h + H_DESTINATION] &&
    hot[h + TUPLE + H_DESTINATION] === hot[h] &&
    hot[h + TUPLE + H_PORTS] === invertPorts(protocol, hot[h + H_PORTS]!)
  );
}

function damaged(how: string): NatgateError {
  const hint = `restore another copy, or ${ANEW}`;
  return new NatgateError('snapshot_damaged', `the snapshot is damaged: ${how}`, hint);
}

function truncated(length: number, count?: number): NatgateError {
  const what = `the snapshot is truncated: ${length} bytes${count === undefined ? '' : ` for ${count} flows`}`;
  return new NatgateError('snapshot_truncated', what, `restore another copy, or ${ANEW}`);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
