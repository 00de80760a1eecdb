/**
 * The state of a gateway in one buffer: header, counters, flow table, datagrams in flight. In the gateway it is a file on a tmpfs that
 * the worker maps and `natgate status` reads; in tests it is an ArrayBuffer.
 *
 *     0      header, int32 words: see S_*, and hash-keys.ts      76 bytes used
 *     4096   counters (engine/counters.ts)               4 KiB
 *     8192   shortages (engine/shortages.ts)           8 KiB
 *     16384  ports by external address (engine/port-gauges.ts)   8 KiB
 *     24576  counters of the firewall's rules (engine/rule-counters.ts)   128 KiB
 *     155648 flow table (conntrack/flow-table.ts)
 *     …      fragmented datagrams (conntrack/fragments.ts)       256 KiB
 *     …      what helpers know of flows (engine/helper-journal.ts)   512 KiB
 *
 * The header's constant words are written once, with a CRC-32 over them, and magic last: a half-made state is no state, and one in which
 * any of them has changed is damaged, not misread. The hash key may change, and has a check of its own. Which boot of which machine made it is among them: times within are of that boot's
 * clock. What follows is looked at by whoever adopts it: records have check words, numbers are asked whether they can be (sanitise.ts).
 */

import { FlowTable } from '../conntrack/flow-table.ts';
import { FRAGMENT_WORDS } from '../conntrack/fragments.ts';
import { crc32 } from '../core/crc32.ts';
import { NatgateError } from '../core/errors.ts';
import { ALL_PORTS, type PortClass } from '../nat/port-class.ts';
import { MAX_COUNTERS } from '../policy/firewall/compile.ts';
import { COUNTER } from '../policy/firewall/program.ts';
import { COUNTERS } from './counters.ts';
import { type HashKeys, HEADER_WORDS, readKeys, writeFirstKey } from './hash-keys.ts';
import { JOURNAL_WORDS } from './helper-journal.ts';
import { PORT_GAUGES_BYTES } from './port-gauges.ts';
import { SHORTAGE_BYTES } from './shortages.ts';

const MAGIC = 0x6e616774;
const VERSION = 7;
const S_MAGIC = 0;
const S_VERSION = 1;
const S_CAPACITY = 2;
/** The first hash key, and for good that of what has no other: identifications, datagrams, port choice, limits. */
const S_SEED = 3;
/** Whose state it is: workers | number << 8; 0 where there is one worker. */
const S_WORKER = 7;
/** Goes up with every exchange, at least once a second. */
export const S_HEARTBEAT = 5;
/** Time of the last exchange, ms of CLOCK_MONOTONIC (int32, wraps). */
export const S_NOW = 6;
/** Whose counters those of the rules are: a hash of their names. */
export const S_RULES = 8;
/** The boot that it belongs to: hash of the boot's id. */
const S_BOOT = 9;
/** When it was begun, seconds since 1970 (modulo 2^32). */
const S_CREATED = 10;
/** CRC-32 of the constant words. */
const S_CHECK = 11;
const CONSTANT = [S_MAGIC, S_VERSION, S_CAPACITY, S_SEED, S_SEED + 1, S_WORKER, S_BOOT, S_CREATED];

const COUNTERS_OFFSET = 4096;
const SHORTAGES_OFFSET = 8192;
const PORTS_OFFSET = SHORTAGES_OFFSET + SHORTAGE_BYTES;
const RULES_OFFSET = PORTS_OFFSET + PORT_GAUGES_BYTES;
/** Header, counters and shortages are before it. */
export const TABLE_OFFSET = RULES_OFFSET + MAX_COUNTERS * COUNTER * 8;

/** Bytes of the state of a gateway with room for `capacity` flows. */
export function stateBytes(capacity: number): number {
  return journalOffset(capacity) + JOURNAL_WORDS * 4;
}

function journalOffset(capacity: number): number {
  return fragmentsOffset(capacity) + FRAGMENT_WORDS * 4;
}

function fragmentsOffset(capacity: number): number {
  return Math.ceil((TABLE_OFFSET + FlowTable.bytes(capacity)) / 64) * 64;
}

/** Where and when a state begins. */
export interface Origin {
  /** Of this boot (gateway/run/boot.ts). */
  boot: number;
  /** Seconds since 1970. */
  created: number;
}

const NOWHERE: Origin = { boot: 0, created: 0 };

/** Makes an all-zero buffer of stateBytes(capacity) a state without flows. */
export function formatState(
  state: ArrayBuffer,
  capacity: number,
  seed: readonly [number, number],
  worker: PortClass = ALL_PORTS,
  { boot, created }: Origin = NOWHERE,
): void {
  const header = new Int32Array(state, 0, HEADER_WORDS);
  header[S_VERSION] = VERSION;
  header[S_CAPACITY] = capacity;
  header[S_SEED] = seed[0];
  header[S_SEED + 1] = seed[1];
  header[S_WORKER] = workerWord(worker);
  header[S_BOOT] = boot;
  header[S_CREATED] = created;
  writeFirstKey(header, seed);
  header[S_CHECK] = headerCheck(header);
  header[S_MAGIC] = MAGIC;
}

/** As it is when all is written. */
function headerCheck(header: Int32Array): number {
  const words = Int32Array.from(CONSTANT, (word) => (word === S_MAGIC ? MAGIC : header[word]!));
  return crc32(new Uint8Array(words.buffer)) | 0;
}

/** Whether a formatted state is that of this worker, of so many. */
export function isStateOf(state: ArrayBuffer, worker: PortClass): boolean {
  return new Int32Array(state, 0, 16)[S_WORKER] === workerWord(worker);
}

/** Whose state it is. */
export function workerOf({ header }: State): PortClass {
  const word = header[S_WORKER]!;
  return word === 0 ? ALL_PORTS : { workers: word & 0xff, number: word >>> 8 };
}

function workerWord({ workers, number }: PortClass): number {
  return workers === 1 ? 0 : workers | (number << 8);
}

export function isFormatted(state: ArrayBuffer): boolean {
  return new Int32Array(state, 0, 1)[0] === MAGIC;
}

/** Nothing was ever written, or whoever formatted it did not come to the end. */
export function isBlank(state: ArrayBuffer): boolean {
  return new Int32Array(state, 0, 1)[0] === 0;
}

export interface State {
  header: Int32Array;
  counters: Float64Array;
  shortages: Int32Array;
  /** Ports in use by external address. */
  ports: Int32Array;
  /** Counters of the firewall's rules. */
  rules: Float64Array;
  /** What is known of datagrams in flight; empty where the buffer is only what comes before the flow table. */
  fragments: Int32Array;
  /** What helpers know of flows; empty where that is. */
  journal: Int32Array;
  capacity: number;
  seed: readonly [number, number];
  /** Of the flow table and the index of mappings; and the one before, where flows may be sealed with it still. */
  keys: HashKeys;
  buffer: ArrayBuffer;
  tableOffset: number;
}

const ANEW = 'remove it with `natgate down` and start anew';

/**
 * Opens a formatted state. `size`: bytes of the whole, where `buffer` is only what comes before the flow table; `boot`: the one that it
 * must be of. Throws NatgateError: `state_foreign` when it is none, or of another version; `state_damaged`, `state_truncated`,
 * `state_other_boot`.
 */
export function openState(buffer: ArrayBuffer, size = buffer.byteLength, boot?: number): State {
  if (buffer.byteLength < TABLE_OFFSET)
    throw truncated(`${size} bytes are less than its header and counters`);
  const header = new Int32Array(buffer, 0, HEADER_WORDS);
  if (isBlank(buffer))
    throw new NatgateError('state_foreign', 'the state is empty: no engine has begun it', ANEW);
  if (!isFormatted(buffer))
    throw new NatgateError('state_foreign', "the state is not one of natgate's", ANEW);
  if (header[S_VERSION] !== VERSION) {
    const what = `the state is of version ${header[S_VERSION]}, this natgate reads version ${VERSION}`;
    throw new NatgateError('state_foreign', what, ANEW);
  }
  const keys = readKeys(header);
  if (header[S_CHECK] !== headerCheck(header) || keys === null) {
    throw new NatgateError(
      'state_damaged',
      'the state is damaged: the checksum of its header is wrong',
      ANEW,
    );
  }
  const capacity = header[S_CAPACITY]!;
  if (size < stateBytes(capacity)) throw truncated(`${size} bytes for ${capacity} flows`);
  if (boot !== undefined && header[S_BOOT] !== boot) {
    const began = new Date((header[S_CREATED]! >>> 0) * 1000).toISOString();
    const what = `the state is of another machine or of an earlier boot: it was begun at ${began}`;
    throw new NatgateError('state_other_boot', what, ANEW);
  }
  const hasTable = buffer.byteLength >= stateBytes(capacity);
  return {
    header,
    counters: new Float64Array(buffer, COUNTERS_OFFSET, COUNTERS),
    shortages: new Int32Array(buffer, SHORTAGES_OFFSET, SHORTAGE_BYTES / 4),
    ports: new Int32Array(buffer, PORTS_OFFSET, PORT_GAUGES_BYTES / 4),
    rules: new Float64Array(buffer, RULES_OFFSET, MAX_COUNTERS * COUNTER),
    fragments: new Int32Array(
      buffer,
      hasTable ? fragmentsOffset(capacity) : 0,
      hasTable ? FRAGMENT_WORDS : 0,
    ),
    journal: new Int32Array(buffer, hasTable ? journalOffset(capacity) : 0, hasTable ? JOURNAL_WORDS : 0),
    capacity,
    seed: [header[S_SEED]!, header[S_SEED + 1]!],
    keys,
    buffer,
    tableOffset: TABLE_OFFSET,
  };
}

/** The flow table of a state, whose records nobody has looked at yet. */
export function flowTableOf({ buffer, tableOffset, capacity, keys }: State): FlowTable {
  return new FlowTable(buffer, tableOffset, capacity, keys.key, keys.former);
}

/** The same, or why not. */
export function tryState(buffer: ArrayBuffer, size = buffer.byteLength, boot?: number): State | NatgateError {
  try {
    return openState(buffer, size, boot);
  } catch (error) {
    if (error instanceof NatgateError) return error;
    throw error;
  }
}

function truncated(what: string): NatgateError {
  return new NatgateError('state_truncated', `the state is truncated: ${what}`, ANEW);
}
