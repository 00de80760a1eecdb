/**
 * Ways to break a packet, in place: bits, bytes, fields at their boundaries, lengths that lie, cuts, insertions, options, vnet
 * headers. And how to mend its IPv4 header afterwards, so that a mutant gets past the first check.
 *
 * A packet here looks like a slot of the arena: 2 bytes of padding, 10 of virtio_net_hdr, the packet from byte 12 on.
 */
import type { Dice } from './dice.ts';

export const AT = 12;
export const MAX_LENGTH = 65_535;
const VNET = 2;

const BYTES = [0, 1, 2, 4, 5, 7, 8, 0x0f, 0x40, 0x45, 0x46, 0x4f, 0x7f, 0x80, 0xfe, 0xff];
const WORDS = [
  0, 1, 7, 8, 19, 20, 21, 28, 576, 1499, 1500, 0x1fff, 0x2000, 0x4000, 0x7fff, 0x8000, 0xfffe, 0xffff,
];
/** Offsets of 16-bit fields: of IPv4, then of a transport header behind 20 bytes, then of a quote behind 28. */
const FIELDS = [0, 2, 4, 6, 8, 10, 20, 22, 24, 26, 28, 30, 32, 34, 36, 40, 44, 48, 50, 52, 56, 60];
const GSO = [0, 1, 3, 4, 5, 0x81, 0x85, 0xff];

export class Packet {
  readonly u8 = new Uint8Array(new ArrayBuffer(AT + MAX_LENGTH + 257));
  readonly u16 = new Uint16Array(this.u8.buffer);
  readonly i32 = new Int32Array(this.u8.buffer);
  length = 0;

  load(packet: Uint8Array, length: number): void {
    this.length = length;
    const { u8 } = this;
    if (length <= 256) for (let i = 0; i < length; i++) u8[AT + i] = packet[i]!;
    else u8.set(packet.subarray(0, length), AT);
    u8.fill(0, VNET, AT);
  }

  get header(): number {
    return (this.u8[AT]! & 15) << 2;
  }

  get protocol(): number {
    return this.u8[AT + 9]!;
  }

  put16(offset: number, value: number): void {
    this.u8[AT + offset] = value >>> 8;
    this.u8[AT + offset + 1] = value;
  }

  get16(offset: number): number {
    return (this.u8[AT + offset]! << 8) | this.u8[AT + offset + 1]!;
  }

  /** Sum of 16-bit words in wire order, folded; an odd last byte counts as if padded. */
  sum(start: number, length: number): number {
    const { u8, u16 } = this;
    let sum = 0;
    const end = start + (length & ~1);
    for (let i = start; i < end; i += 2) sum += u16[(AT + i) >> 1]!;
    if ((length & 1) !== 0) sum += u8[AT + end]!;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    return sum;
  }

  mendLength(): void {
    if (this.length >= 20) this.put16(2, this.length);
  }

  mendHeader(): void {
    const { header, u16 } = this;
    if (header < 20 || header > this.length) return;
    u16[(AT + 10) >> 1] = 0;
    u16[(AT + 10) >> 1] = this.sum(0, header) ^ 0xffff;
  }

  mendIcmp(): void {
    const { header, u16, length } = this;
    if (this.protocol !== 1 || header < 20 || length < header + 8) return;
    const at = (AT + header + 2) >> 1;
    u16[at] = 0;
    u16[at] = this.sum(header, length - header) ^ 0xffff;
  }
}

export function mutate(packet: Packet, dice: Dice): void {
  const { u8 } = packet;
  if (packet.length === 0) return;
  // Headers are where it hurts.
  const span = Math.min(packet.length, dice.chance(200) ? 64 : 2100);
  const at = AT + dice.below(span);
  switch (dice.below(16)) {
    case 0:
    case 1:
    case 2:
      u8[at] = u8[at]! ^ (1 << dice.below(8));
      break;
    case 3:
      u8[at] = dice.below(256);
      break;
    case 4:
      u8[at] = dice.one(BYTES);
      break;
    case 5:
    case 6:
      packet.put16(dice.one(FIELDS), dice.one(WORDS));
      break;
    case 7: {
      // A number next to what it was: sequence numbers, lengths, ports.
      const field = dice.one(FIELDS);
      packet.put16(field, (packet.get16(field) + dice.below(5) - 2) & 0xffff);
      break;
    }
    case 8:
      packet.length = dice.below(packet.length + 1);
      break;
    case 9:
      packet.length = Math.min(packet.length + dice.below(40), MAX_LENGTH);
      break;
    case 10:
      insert(packet, at, 4 * (1 + dice.below(10)), dice);
      break;
    case 11:
      options(packet, dice);
      break;
    case 12:
      u8[AT + packet.header + 13] = dice.below(256);
      break;
    case 13:
      // The transport's own lengths: UDP length, TCP data offset.
      if (packet.protocol === 17) packet.put16(packet.header + 4, dice.one(WORDS));
      else u8[AT + packet.header + 12] = dice.below(256);
      break;
    case 14:
      // A stretch of the packet over another one.
      u8.copyWithin(at, AT + dice.below(span), AT + dice.below(span) + 8);
      break;
    default:
      vnet(packet, dice);
  }
}

function insert(packet: Packet, at: number, bytes: number, dice: Dice): void {
  if (packet.length + bytes > MAX_LENGTH) return;
  packet.u8.copyWithin(at + bytes, at, AT + packet.length);
  for (let i = 0; i < bytes; i++) packet.u8[at + i] = dice.below(256);
  packet.length += bytes;
}

/** IPv4 or TCP options, sound ones or not. */
function options(packet: Packet, dice: Dice): void {
  const { header, length, u8 } = packet;
  if (header < 20 || length < header) return;
  const words = 1 + dice.below(10);
  if (dice.chance(128) && packet.protocol === 6 && length >= header + 20) {
    const tcp = (u8[AT + header + 12]! >> 4) << 2;
    if (tcp < 20 || header + tcp > length || tcp + words * 4 > 60) return;
    insert(packet, AT + header + 20, words * 4, dice);
    u8[AT + header + 12] = (((tcp >> 2) + words) << 4) | (u8[AT + header + 12]! & 15);
    optionBytes(packet, AT + header + 20, words * 4, dice, [1, 2, 3, 4, 5, 8, 0, 30]);
  } else if (header + words * 4 <= 60) {
    insert(packet, AT + 20, words * 4, dice);
    u8[AT] = (u8[AT]! & 0xf0) | ((header >> 2) + words);
    optionBytes(packet, AT + 20, words * 4, dice, [1, 7, 68, 130, 131, 137, 148, 0]);
  }
}

function optionBytes(packet: Packet, start: number, bytes: number, dice: Dice, kinds: number[]): void {
  if (dice.chance(60)) return;
  for (let at = start; at < start + bytes; ) {
    const left = start + bytes - at;
    const kind = dice.one(kinds);
    packet.u8[at] = kind;
    if (kind < 2 || left < 2) {
      at++;
      continue;
    }
    const length = dice.chance(230) ? Math.min(2 + dice.below(9), left) : dice.below(16);
    packet.u8[at + 1] = length;
    at += Math.max(length, 2);
  }
}

function vnet(packet: Packet, dice: Dice): void {
  const { u8, u16, header, protocol } = packet;
  if (dice.chance(60)) {
    for (let i = VNET; i < AT; i++) u8[i] = dice.chance(100) ? dice.below(256) : 0;
    return;
  }
  u8[VNET] = dice.chance(220) ? 1 : dice.below(8);
  u8[VNET + 1] = dice.chance(128) ? (protocol === 6 ? 1 : 5) : dice.one(GSO);
  u16[(VNET + 2) >> 1] = dice.below(200);
  u16[(VNET + 4) >> 1] = dice.chance(128) ? 1 + dice.below(1500) : dice.one(WORDS);
  u16[(VNET + 6) >> 1] = dice.chance(220) ? header : dice.one(WORDS);
  u16[(VNET + 8) >> 1] = dice.chance(220) ? (protocol === 6 ? 16 : 6) : dice.one(WORDS);
}
