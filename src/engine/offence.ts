/**
 * Which packet an engine was at when it threw or got stuck: read from the arena, where the packet still lies, by the thread itself or, when
 * that one does not answer any more, by another one through copies of the arena.
 *
 * Where the engine was looking up a whole batch, it may have been any of its packets: then all are given, as suspects. The packet may have
 * been rewritten by then; an engine that can still be asked knows the tuple with which it came (the packet's row).
 */

import {
  headerLength,
  IP_DESTINATION,
  IP_HEADER,
  IP_PROTOCOL,
  IP_SOURCE,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { KIND_FLOW, M_DESTINATION, M_KIND, M_PORTS, M_REASON, M_SOURCE, META } from '../wire/parse.ts';
import { VNET_HEADER } from '../wire/vnet.ts';
import {
  BATCH,
  CONTROL,
  HANDLING,
  IN_LIST,
  LINEAR_BYTES,
  LOOKING_UP,
  overflowOffset,
  packetOffset,
} from './arena.ts';
import { isRead } from './tap-facts.ts';

export interface Offender {
  /** Index of the device by which it came. */
  device: number;
  /** From the IPv4 header on. */
  bytes: Uint8Array;
  /** The 10 bytes of virtio_net_hdr it came with. */
  vnet: Uint8Array;
}

export interface Offence {
  /** One of them it is: the only one, or it is not known which. None: what the engine did was about no packet. */
  packets: Offender[];
}

/** Gives `bytes` of the arena from `offset` on: a view or a copy. */
export type ReadArena = (offset: number, bytes: number) => Uint8Array;

/** Of an engine that is at a batch. */
export function offenceIn(read: ReadArena): Offence {
  const slot = wordOf(read, CONTROL + HANDLING * 4);
  const packets: Offender[] = [];
  const [first, end] = slot <= LOOKING_UP ? [0, LOOKING_UP - slot] : [slot, slot + 1];
  for (let i = Math.max(0, first); i < Math.min(BATCH, end); i++) {
    const packet = packetIn(read, i);
    if (packet !== null) packets.push(packet);
  }
  return { packets };
}

/** As it came, as far as the packet's row says: `meta` of the engine that was at it. */
export function untranslated(offence: Offence, slot: number, meta: Int32Array): Offence {
  const [one] = offence.packets;
  const m = slot * META;
  if (one === undefined || offence.packets.length !== 1 || slot < 0 || slot >= BATCH) return offence;
  if (!isRead(meta[m + M_REASON]!)) return offence;
  const bytes = Uint8Array.from(one.bytes);
  putWord(bytes, IP_SOURCE, meta[m + M_SOURCE]!);
  putWord(bytes, IP_DESTINATION, meta[m + M_DESTINATION]!);
  const protocol = bytes[IP_PROTOCOL]!;
  const l4 = headerLength(bytes, 0);
  const hasPorts = meta[m + M_KIND] === KIND_FLOW && (protocol === PROTO_TCP || protocol === PROTO_UDP);
  if (hasPorts && l4 + 4 <= bytes.length) putWord(bytes, l4, meta[m + M_PORTS]!);
  return { packets: [{ ...one, bytes }] };
}

function packetIn(read: ReadArena, slot: number): Offender | null {
  const entry = IN_LIST + slot * 8;
  const length = wordOf(read, entry + 4);
  if (length < IP_HEADER || length > 0xffff) return null;
  const at = packetOffset(slot);
  const bytes = new Uint8Array(length);
  bytes.set(read(at, Math.min(length, LINEAR_BYTES)));
  if (length > LINEAR_BYTES) bytes.set(read(overflowOffset(slot), length - LINEAR_BYTES), LINEAR_BYTES);
  return { device: wordOf(read, entry), bytes, vnet: Uint8Array.from(read(at - VNET_HEADER, VNET_HEADER)) };
}

function wordOf(read: ReadArena, offset: number): number {
  const [a, b, c, d] = read(offset, 4);
  return a! | (b! << 8) | (c! << 16) | (d! << 24);
}

function putWord(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = value >>> (8 * i);
}
