/**
 * Messages from the engine, looked at before anybody believes them. The engine handles what strangers send; whoever took it over
 * would write to the supervisor, which is root. So each kind has a check of all its fields here: types, lengths, ranges. What
 * fails it is no message (engine-voice.ts says so once, and counts).
 *
 * Values come from a structured clone: of plain objects, arrays, maps, typed arrays and so on, without getters and functions, so
 * a check may read any property. It must not depend on what it has not read.
 */
import { BATCH } from '../../engine/arena.ts';
import { VNET_HEADER } from '../../wire/vnet.ts';
import type { FromEngine } from './messages.ts';

/** Flows between two batches, at most: a packet waits half a millisecond for them. */
export const DELETED_AT_ONCE = 512;

/** Characters, of which what is said is fewer still (engine-voice.ts); bytes of a packet. */
const MOST_TEXT = 65_536;
/** Kinds and names of flows that a reconfiguration ended: more than any configuration has. */
const MOST_ENDED = 65_536;
/** Linux has errnos up to this. */
const MOST_ERRNO = 4095;

type Fields = Record<string, unknown>;

const CHECKS: Record<FromEngine['type'], (message: Fields) => boolean> = {
  loaded: () => true,
  standby: () => true,
  ready: () => true,
  failed: ({ message, errno }) => isText(message) && (errno === undefined || isCount(errno, MOST_ERRNO)),
  log: ({ line }) => isText(line),
  reconfigured: ({ id, result }) => isId(id) && isReconfigured(result),
  deletedFlows: ({ id, count }) => isId(id) && isCount(count, DELETED_AT_ONCE),
  tapped: ({ id }) => isId(id),
  // Whether they can be packets of this gateway, quarantine.ts looks.
  quarantine: ({ worker, reason, packets }) =>
    isCount(worker) && isText(reason) && isList(packets, BATCH) && packets.every(isOffender),
};

/** `type`: of the message. */
export function isSound(type: string, message: unknown): boolean {
  return Object.hasOwn(CHECKS, type) && CHECKS[type as FromEngine['type']](message as Fields);
}

function isReconfigured(result: unknown): boolean {
  if (!isRecord(result)) return false;
  const { ended, kept } = result;
  return isCount(kept) && isList(ended, MOST_ENDED) && ended.every(isEnded);
}

function isEnded(one: unknown): boolean {
  return isRecord(one) && isText(one['kind']) && isText(one['name']) && isCount(one['count']);
}

function isOffender(one: unknown): boolean {
  if (!isRecord(one) || !isCount(one['device'])) return false;
  return isBytes(one['bytes'], MOST_TEXT) && isBytes(one['vnet'], VNET_HEADER);
}

function isBytes(value: unknown, most: number): boolean {
  return value instanceof Uint8Array && value.length <= most;
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

/** `every` passes over holes, so a list with holes is none. */
function isList(value: unknown, most: number): value is unknown[] {
  return Array.isArray(value) && value.length <= most && Object.keys(value).length === value.length;
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length <= MOST_TEXT;
}

function isId(value: unknown): boolean {
  return isCount(value) && (value as number) > 0;
}

function isCount(value: unknown, most = Number.MAX_SAFE_INTEGER): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
}
