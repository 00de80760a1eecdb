/**
 * The state of a gateway in one buffer: header, counters, flow table. In the gateway it is a file on a tmpfs that the
 * worker maps and `natgate status` reads; in tests it is an ArrayBuffer.
 *
 *     0      header, int32 words: see S_*                64 bytes used
 *     4096   counters (engine/counters.ts)               4 KiB
 *     8192   shortages (engine/shortages.ts)           8 KiB
 *     16384  ports by external address (engine/port-gauges.ts)   8 KiB
 *     24576  counters of the firewall's rules (engine/rule-counters.ts)   128 KiB
 *     155648 flow table (conntrack/flow-table.ts)
 *
 * The header is written once, magic last, so that a half-made state is no state.
 */

import { FlowTable } from '../conntrack/flow-table.ts';
import { NatgateError } from '../core/errors.ts';
import { ALL_PORTS, type PortClass } from '../nat/port-class.ts';
import { MAX_COUNTERS } from '../policy/firewall/compile.ts';
import { COUNTER } from '../policy/firewall/program.ts';
import { COUNTERS } from './counters.ts';
import { PORT_GAUGES_BYTES } from './port-gauges.ts';
import { SHORTAGE_BYTES } from './shortages.ts';

const MAGIC = 0x6e616774;
const VERSION = 4;
const S_MAGIC = 0;
const S_VERSION = 1;
const S_CAPACITY = 2;
/** The hash key, kept so that an index survives its process. */
const S_SEED = 3;
/** Whose state it is: workers | number << 8; 0 where there is one worker. */
const S_WORKER = 7;
/** Goes up with every exchange, at least once a second. */
export const S_HEARTBEAT = 5;
/** Time of the last exchange, ms of CLOCK_MONOTONIC (int32, wraps). */
export const S_NOW = 6;
/** Whose counters those of the rules are: a hash of their names. */
export const S_RULES = 8;

const COUNTERS_OFFSET = 4096;
const SHORTAGES_OFFSET = 8192;
const PORTS_OFFSET = SHORTAGES_OFFSET + SHORTAGE_BYTES;
const RULES_OFFSET = PORTS_OFFSET + PORT_GAUGES_BYTES;
/** Header, counters and shortages are before it. */
export const TABLE_OFFSET = RULES_OFFSET + MAX_COUNTERS * COUNTER * 8;

/** Bytes of the state of a gateway with room for `capacity` flows. */
export function stateBytes(capacity: number): number {
  return TABLE_OFFSET + FlowTable.bytes(capacity);
}

/** Makes an all-zero buffer of stateBytes(capacity) a state without flows. */
export function formatState(
  state: ArrayBuffer,
  capacity: number,
  seed: readonly [number, number],
  worker: PortClass = ALL_PORTS,
): void {
  const header = new Int32Array(state, 0, 16);
  header[S_VERSION] = VERSION;
  header[S_CAPACITY] = capacity;
  header[S_SEED] = seed[0];
  header[S_SEED + 1] = seed[1];
  header[S_WORKER] = workerWord(worker);
  header[S_MAGIC] = MAGIC;
}

/** Whether a formatted state is that of this worker, of so many. */
export function isStateOf(state: ArrayBuffer, worker: PortClass): boolean {
  return new Int32Array(state, 0, 16)[S_WORKER] === workerWord(worker);
}

function workerWord({ workers, number }: PortClass): number {
  return workers === 1 ? 0 : workers | (number << 8);
}

export function isFormatted(state: ArrayBuffer): boolean {
  return new Int32Array(state, 0, 1)[0] === MAGIC;
}

export interface State {
  header: Int32Array;
  counters: Float64Array;
  shortages: Int32Array;
  /** Ports in use by external address. */
  ports: Int32Array;
  /** Counters of the firewall's rules. */
  rules: Float64Array;
  capacity: number;
  seed: readonly [number, number];
  buffer: ArrayBuffer;
  tableOffset: number;
}

/**
 * Opens a formatted state. `size`: bytes of the whole, where `buffer` is only what comes before the flow table. Throws NatgateError
 * `state_foreign` when it is none, or of another version.
 */
export function openState(buffer: ArrayBuffer, size = buffer.byteLength): State {
  const header = new Int32Array(buffer, 0, 16);
  if (!isFormatted(buffer) || header[S_VERSION] !== VERSION) {
    throw new NatgateError(
      'state_foreign',
      `the state is not one of natgate's, or of another version (this one reads version ${VERSION})`,
      'remove it with `natgate down` and start anew',
    );
  }
  const capacity = header[S_CAPACITY]!;
  if (capacity <= 0 || size < stateBytes(capacity)) {
    throw new NatgateError(
      'state_truncated',
      `the state is truncated: ${size} bytes for ${capacity} flows`,
      'remove it with `natgate down` and start anew',
    );
  }
  return {
    header,
    counters: new Float64Array(buffer, COUNTERS_OFFSET, COUNTERS),
    shortages: new Int32Array(buffer, SHORTAGES_OFFSET, SHORTAGE_BYTES / 4),
    ports: new Int32Array(buffer, PORTS_OFFSET, PORT_GAUGES_BYTES / 4),
    rules: new Float64Array(buffer, RULES_OFFSET, MAX_COUNTERS * COUNTER),
    capacity,
    seed: [header[S_SEED]!, header[S_SEED + 1]!],
    buffer,
    tableOffset: TABLE_OFFSET,
  };
}
