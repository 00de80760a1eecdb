/**
 * What is looked at in every packet that an engine sends, cheaply, by arithmetic of its own (none of src/wire).
 *
 *     form       the slot is one that may be sent, once; IPv4 header, lengths, MTU, virtio_net_hdr
 *     sides      towards the internet nothing has a private source, destination, or quoted address;
 *                towards private hosts nothing goes that is not theirs
 *     flow       the packet's inverse is a tuple of a live flow, of the direction that arrives where it went
 *     checksum   a transport checksum is as right, or as wrong, as it was when the packet came
 *
 * Packets that are handed back to the host leave as they came.
 */
import { invertPorts } from '../../src/conntrack/tuple.ts';
import {
  BATCH,
  HEADERS,
  LINEAR_BYTES,
  OUT_LIST,
  OVERFLOW,
  OVERFLOW_BYTES,
  packetOffset,
  SLOTS,
} from '../../src/engine/arena.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { formatAddress } from '../../src/wire/address.ts';
import type { Bytes } from '../../src/wire/bytes.ts';
import { Broken } from '../engine/invariants.ts';
import { PRIVATE, PUBLIC } from './configurations.ts';

/** Bytes of each arriving packet that are kept for comparison, vnet header and all. */
export const KEPT = 128;
const UNKNOWN_SUM = -1;
/** A UDP packet without a checksum (0). */
const NO_SUM = -2;

const ICMP = 1;
const TCP = 6;
const UDP = 17;
const GRE = 47;
const SCTP = 132;

/** Where private hosts are: 10.77.0.0/24. */
export function isPrivate(address: number): boolean {
  return (address & 0xffffff) === 0x00004d0a;
}

function isError(type: number): boolean {
  return type === 3 || type === 4 || type === 11 || type === 12;
}

export class Checks {
  /** Of each slot of the batch: device, length, residue of its checksum. */
  readonly device = new Int32Array(BATCH);
  private readonly length = new Int32Array(BATCH);
  private readonly residue = new Int32Array(BATCH);
  private readonly kept = new Uint8Array(BATCH * KEPT);
  private readonly sentAt = new Int32Array(SLOTS);
  private stamp = 0;
  private readonly u8: Uint8Array;
  private readonly u16: Uint16Array;
  private readonly i32: Int32Array;
  /** The one that sends now. */
  engine: Engine;
  /** As the engine was told. */
  readonly mtu: number[];
  external: number;
  readonly gateway: number;
  private counter = 0;
  /** One packet in so many has its transport checksum summed. */
  sumEvery = 8;

  constructor(bytes: Bytes, engine: Engine, mtu: readonly number[], gateway: number, external: number) {
    this.u8 = bytes.u8;
    this.u16 = bytes.u16;
    this.i32 = bytes.i32;
    this.engine = engine;
    this.mtu = [...mtu];
    this.gateway = gateway;
    this.external = external;
  }

  /** A packet was put into `slot`. */
  arrived(slot: number, device: number, length: number): void {
    this.device[slot] = device;
    this.length[slot] = length;
    const from = packetOffset(slot) - 12;
    const to = slot * KEPT;
    const end = Math.min(KEPT, length + 12);
    for (let i = 0; i < end; i++) this.kept[to + i] = this.u8[from + i]!;
    this.residue[slot] = this.counter++ % this.sumEvery === 0 ? this.residueOf(slot, length) : UNKNOWN_SUM;
  }

  /**
   * Looks at the `count` entries of the out list that came of the packets [from, to) of the batch. `ended`: whether flows
   * ended meanwhile, so that a sent packet's flow may be gone already.
   */
  sent(count: number, to: number, ended: boolean): void {
    this.stamp++;
    for (let i = 0; i < count; i++) {
      const entry = this.i32[(OUT_LIST >> 2) + i * 2]!;
      const slot = entry & 0xffff;
      if (slot >= SLOTS || (slot < BATCH && slot >= to)) throw new Broken('slot', `${slot} was sent`);
      if (this.sentAt[slot] === this.stamp) throw new Broken('slot-twice', `${slot} was sent twice`);
      this.sentAt[slot] = this.stamp;
      this.one(entry >>> 16, slot, this.i32[(OUT_LIST >> 2) + i * 2 + 1]!, ended);
    }
  }

  private one(device: number, slot: number, length: number, ended: boolean): void {
    const { u8, u16 } = this;
    const at = packetOffset(slot);
    if (device > PUBLIC) throw this.broken('device', slot, length);
    const header = (u8[at]! & 15) << 2;
    if (u8[at]! >> 4 !== 4 || header < 20 || header > length) throw this.broken('header', slot, length);
    if (((u8[at + 2]! << 8) | u8[at + 3]!) !== length) throw this.broken('total-length', slot, length);
    let sum = 0;
    for (let i = at >> 1; i < (at + header) >> 1; i++) sum += u16[i]!;
    if (sum === 0 || sum % 0xffff !== 0) throw this.broken('header-checksum', slot, length);
    const isForHost = this.external !== 0 && this.i32[(at + 16) >> 2] === this.external;
    if (slot < BATCH && this.device[slot] === device && (device === PUBLIC || isForHost)) {
      this.handedBack(slot, length);
      return;
    }
    // A fragment of the host's own that was held until the first one came: it goes up, not on.
    const isPiece = (((u8[at + 6]! << 8) | u8[at + 7]!) & 0x3fff) !== 0;
    if (isPiece && isForHost && slot >= BATCH) return;
    this.size(device, slot, length, header);
    this.sides(device, slot, length, header, ended);
    if (slot < BATCH && this.residue[slot] !== UNKNOWN_SUM) this.checksum(slot, length);
  }

  private handedBack(slot: number, length: number): void {
    const { u8, kept } = this;
    const from = packetOffset(slot) - 12;
    // hdr_len is a hint that the engine sets.
    for (let i = 12; i < Math.min(KEPT, length + 12); i++) {
      if (u8[from + i] !== kept[slot * KEPT + i]) throw this.broken('handed-back-changed', slot, length);
    }
    if (this.i32[(packetOffset(slot) + 16) >> 2] !== this.external) {
      throw this.broken('handed-back', slot, length);
    }
  }

  private size(device: number, slot: number, length: number, header: number): void {
    const { u8, u16 } = this;
    const at = packetOffset(slot);
    const mtu = this.mtu[device]!;
    const gso = u8[at - 9]! & 0x7f;
    const protocol = u8[at + 9]!;
    const transport = protocol === TCP ? (u8[at + header + 12]! >> 4) << 2 : 8;
    if (gso === 0) {
      if (length > mtu) throw this.broken('mtu', slot, length);
    } else {
      const expected = protocol === TCP ? 1 : protocol === UDP ? 5 : -1;
      const segment = u16[(at - 6) >> 1]!;
      if (gso !== expected || segment === 0 || (u8[at - 10]! & 1) === 0)
        throw this.broken('gso', slot, length);
      if (u16[(at - 8) >> 1] !== header + transport) throw this.broken('gso-header', slot, length);
      if (header + transport + segment > mtu) throw this.broken('gso-mtu', slot, length);
    }
    if ((u8[at - 10]! & 1) === 0) return;
    const field = protocol === TCP ? 16 : protocol === UDP ? 6 : -1;
    if (u16[(at - 4) >> 1] !== header || u16[(at - 2) >> 1] !== field || header + field + 2 > length) {
      throw this.broken('partial-checksum', slot, length);
    }
  }

  private sides(device: number, slot: number, length: number, header: number, ended: boolean): void {
    const { u8, u16, i32 } = this;
    const at = packetOffset(slot);
    const l4 = at + header;
    const source = i32[(at + 12) >> 2]!;
    const destination = i32[(at + 16) >> 2]!;
    const protocol = u8[at + 9]!;
    const later = (((u8[at + 6]! << 8) | u8[at + 7]!) & 0x1fff) !== 0;
    const error = protocol === ICMP && !later && isError(u8[l4]!);
    if (error && slot >= BATCH) {
      this.ownError(device, slot, length);
      return;
    }
    if (device === PUBLIC) {
      if (source !== this.external) throw this.broken('source', slot, length);
      if (isPrivate(destination)) throw this.broken('destination', slot, length);
    } else if (!isPrivate(destination)) {
      throw this.broken('to-private', slot, length);
    }
    if (later) return;
    let handle: number;
    let side = device;
    if (error) {
      // What it quotes went the other way, as a packet of this side.
      const inner = l4 + 8;
      const quoted = u8[inner + 9]!;
      const innerL4 = inner + ((u8[inner]! & 15) << 2);
      const [from, to] = [i32[(inner + 12) >> 2]!, i32[(inner + 16) >> 2]!];
      if (device === PUBLIC && (isPrivate(from) || isPrivate(to))) throw this.broken('quote', slot, length);
      handle = this.lookup(from, to, quoted, innerL4, false);
      side = device;
    } else {
      handle = this.lookup(destination, source, protocol, l4, true);
    }
    if (handle < 0) {
      if (!ended) throw this.broken('no-flow', slot, length);
      return;
    }
    if (this.engine.tracker.table.sideOf(handle) !== side) throw this.broken('side', slot, length);
    if (slot < BATCH && u16.length > 0 && u8[at + 8] !== this.kept[slot * KEPT + 20]! - 1) {
      throw this.broken('ttl', slot, length);
    }
  }

  /** The flow of a tuple that the transport header at `l4` completes, or its inverse. */
  private lookup(from: number, to: number, protocol: number, l4: number, inverse: boolean): number {
    const { table } = this.engine.tracker;
    const word = this.ports(protocol, l4);
    const found = table.lookup(from, to, inverse ? invertPorts(protocol, word) : word, protocol);
    if (found >= 0 || (protocol !== SCTP && protocol !== GRE)) return found;
    // Tracked by address, or by ports that are not translated, or by a call identifier.
    for (const other of [0, this.i32[l4 >> 2]!, this.callId(l4), this.callId(l4) << 16]) {
      const handle = table.lookup(from, to, inverse ? invertPorts(protocol, other) : other, protocol);
      if (handle >= 0) return handle;
    }
    return found;
  }

  /** The call identifier of enhanced GRE (RFC 2637 4.1), as it stands. */
  private callId(l4: number): number {
    return this.u16[(l4 + 6) >> 1]!;
  }

  private ports(protocol: number, l4: number): number {
    if (protocol === TCP || protocol === UDP) return this.i32[l4 >> 2]!;
    if (protocol !== ICMP) return 0;
    return this.u16[(l4 + 4) >> 1]! | (this.u8[l4]! << 16) | (this.u8[l4 + 1]! << 24);
  }

  /** An ICMP error of the gateway's own: to the sender of what it quotes, from the address of that side. */
  private ownError(device: number, slot: number, length: number): void {
    const { u8, i32 } = this;
    const at = packetOffset(slot);
    const own = device === PRIVATE ? this.gateway : this.external;
    if (i32[(at + 12) >> 2] !== own) throw this.broken('error-source', slot, length);
    if (i32[(at + 16) >> 2] !== i32[(at + 40) >> 2]) throw this.broken('error-destination', slot, length);
    if (length > 576 || this.sum(slot, 20, length - 20) % 0xffff !== 0) {
      throw this.broken('error-form', slot, length);
    }
    const quoted = (u8[at + 28]! & 15) << 2;
    // Behind long options the quote may end before the type.
    if (u8[at + 37] === ICMP && length > 28 + quoted && isError(u8[at + 28 + quoted]!))
      throw this.broken('error-error', slot, length);
    if (device === PUBLIC && isPrivate(i32[(at + 44) >> 2]!)) throw this.broken('error-quote', slot, length);
  }

  private checksum(slot: number, length: number): void {
    const now = this.residueOf(slot, length);
    const at = packetOffset(slot);
    // A helper makes the partial checksum of what it changes anew: right, whatever it was.
    const isMadeRight = (this.u8[at - 10]! & 1) !== 0 && now === this.u8[at + 9]! << 8;
    if (now !== UNKNOWN_SUM && now !== this.residue[slot] && !isMadeRight) {
      throw this.broken(`checksum (${this.residue[slot]}, now ${now})`, slot, length);
    }
  }

  /** By how much a transport checksum is wrong; UNKNOWN_SUM where there is none, or only part of one. */
  private residueOf(slot: number, arrived: number): number {
    const { u8, u16 } = this;
    const at = packetOffset(slot);
    if (arrived < 28 || arrived > 65_000) return UNKNOWN_SUM;
    const header = (u8[at]! & 15) << 2;
    const length = (u8[at + 2]! << 8) | u8[at + 3]!;
    const protocol = u8[at + 9]!;
    if (header < 20 || length > arrived || length < header + 8) return UNKNOWN_SUM;
    if ((((u8[at + 6]! << 8) | u8[at + 7]!) & 0x3fff) !== 0) return UNKNOWN_SUM;
    if ((u8[at - 10]! & 1) !== 0) return this.partialResidue(at, header, protocol, length);
    if (protocol === ICMP) return this.sum(slot, header, length - header) % 0xffff;
    if (protocol !== TCP && protocol !== UDP) return UNKNOWN_SUM;
    if (protocol === UDP && u16[(at + header + 6) >> 1] === 0) return NO_SUM;
    if (protocol === TCP && length < header + 20) return UNKNOWN_SUM;
    let sum = this.sum(slot, header, length - header);
    for (let i = (at + 12) >> 1; i < (at + 20) >> 1; i++) sum += u16[i]!;
    // A helper may have changed the length.
    const transport = length - header;
    return (sum + (((transport & 0xff) << 8) | (transport >> 8))) % 0xffff;
  }

  /** By how much a checksum field is not the sum of the pseudo-header (whose protocol does not change). */
  private partialResidue(at: number, header: number, protocol: number, length: number): number {
    const field = protocol === TCP ? 16 : protocol === UDP ? 6 : -1;
    if (field < 0 || length < header + field + 2) return UNKNOWN_SUM;
    let sum = this.u16[(at + header + field) >> 1]!;
    for (let i = (at + 12) >> 1; i < (at + 20) >> 1; i++) sum += 0xffff - this.u16[i]!;
    const transport = length - header;
    return (sum + 0xffff - (((transport & 0xff) << 8) | (transport >> 8))) % 0xffff;
  }

  /** Sum of 16-bit words of a packet in its slot, from the even position `start`. */
  private sum(slot: number, start: number, length: number): number {
    const { u8, u16 } = this;
    let sum = 0;
    const linear = packetOffset(slot);
    const overflow = OVERFLOW + slot * OVERFLOW_BYTES - LINEAR_BYTES;
    const end = start + length;
    const even = end & ~1;
    const near = Math.min(even, LINEAR_BYTES);
    for (let i = start; i < near; i += 2) sum += u16[(linear + i) >> 1]!;
    for (let i = Math.max(start, LINEAR_BYTES); i < even; i += 2) sum += u16[(overflow + i) >> 1]!;
    if (even !== end) sum += u8[(even < LINEAR_BYTES ? linear : overflow) + even]!;
    return sum;
  }

  private broken(kind: string, slot: number, length: number): Broken {
    const at = HEADERS + slot * 2048;
    const bytes = Buffer.from(this.u8.slice(at + 2, at + 12 + Math.min(length, 96))).toString('hex');
    const came =
      slot < BATCH
        ? `, came as ${Buffer.from(this.kept.slice(slot * KEPT + 2, slot * KEPT + Math.min(KEPT, this.length[slot]! + 12))).toString('hex')} from device ${this.device[slot]}`
        : '';
    return new Broken(
      kind.replace(/ .*/, ''),
      `${kind}: slot ${slot}, ${length} bytes, external ${formatAddress(this.external)}, vnet and packet ${bytes}${came}`,
    );
  }
}
