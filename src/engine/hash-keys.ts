/**
 * The hash key of a state, in its header: two slots, and a word that says which one is current.
 *
 *     S_KEY     0 or 1
 *     S_KEYS    slot 0: key (two words), check
 *               slot 1: the same
 *
 * A change (rekeying.ts) writes the other slot, its check last, then S_KEY in one store; then each flow's check word is made anew, and
 * when that has been done the former slot is wiped. So whoever was killed in between has left a current key that is whole, and
 * flows that are right under it or under the key of the other slot, where that is whole: both are looked at (FlowTable.resealed()).
 * A state outside of a change has one whole slot, and is known by it also when S_KEY is damaged; without any it is damaged.
 *
 * Another process may read these words while they change: S_KEY first, then the slots. What it finds is the key before or after.
 */
import type { HashKey } from '../conntrack/tuple.ts';
import { crc32 } from '../core/crc32.ts';

/** Words of a state's header, S_KEY and the slots the last of those that are used. */
export const HEADER_WORDS = 32;
const S_KEY = 12;
const S_KEYS = 13;
const SLOT = 3;
const CHECK = 2;

export interface HashKeys {
  key: HashKey;
  /** The one before; null: no flow is sealed with it. */
  former: HashKey | null;
}

/** Of a state that nobody has seen yet. */
export function writeFirstKey(header: Int32Array, key: HashKey): void {
  header[S_KEY] = 0;
  writeSlot(header, 0, key);
}

/** Null: the header has no whole key. */
export function readKeys(header: Int32Array): HashKeys | null {
  const current = currentSlot(header);
  if (current < 0) return null;
  const other = 1 - current;
  return {
    key: keyOf(header, current),
    former: isWhole(header, other) ? keyOf(header, other) : null,
  };
}

/** Another key is current from now on; the one before is kept until endChange(). There is none yet from an earlier change. */
export function beginChange(header: Int32Array, key: HashKey): void {
  const other = 1 - currentSlot(header);
  writeSlot(header, other, key);
  header[S_KEY] = other;
}

/** All flows are sealed with the current key: forgets the one before, if there is one. */
export function endChange(header: Int32Array): void {
  const current = currentSlot(header);
  header[S_KEY] = current;
  const at = S_KEYS + (1 - current) * SLOT;
  header[at + CHECK] = 0;
  header[at] = 0;
  header[at + 1] = 0;
}

/** The slot that S_KEY names, or the other one where only that is whole; -1: none is. */
function currentSlot(header: Int32Array): number {
  const said = header[S_KEY]! & 1;
  if (isWhole(header, said)) return said;
  return isWhole(header, 1 - said) ? 1 - said : -1;
}

function writeSlot(header: Int32Array, slot: number, key: HashKey): void {
  const at = S_KEYS + slot * SLOT;
  header[at + CHECK] = 0;
  header[at] = key[0];
  header[at + 1] = key[1];
  header[at + CHECK] = checkOf(slot, key);
}

function keyOf(header: Int32Array, slot: number): HashKey {
  const at = S_KEYS + slot * SLOT;
  return [header[at]!, header[at + 1]!];
}

function isWhole(header: Int32Array, slot: number): boolean {
  return header[S_KEYS + slot * SLOT + CHECK] === checkOf(slot, keyOf(header, slot));
}

/** Never 0, which a slot without a key has. */
function checkOf(slot: number, key: HashKey): number {
  const check = crc32(new Uint8Array(Int32Array.of(slot, ...key).buffer)) | 0;
  return check === 0 ? 1 : check;
}
