/**
 * Makes the packets: seeds with other endpoints, answers to what was sent, what follows, ICMP errors about it, fragments; then
 * mutated, then mended (mostly). What was sent is remembered on its wire, so conversations go on by themselves.
 */
import { LINEAR_BYTES, OUT_LIST, packetOffset } from '../../src/engine/arena.ts';
import { address, type Configuration, PRIVATE, PUBLIC } from './configurations.ts';
import { Dice } from './dice.ts';
import { AT, MAX_LENGTH, mutate, Packet } from './mutations.ts';
import { type Seed, seeds } from './seeds.ts';
import type { World } from './world.ts';

const CLIENTS = [2, 3, 4, 5, 6, 7, 8, 9].map((host) => address(`10.77.0.${host}`));
const SERVERS = ['203.0.113.9', '203.0.113.10', '198.18.0.2', '203.0.113.11'].map(address);
const SERVER_PORTS = [80, 53, 21, 69, 443, 5060, 6667, 1723];
const ROUTERS = ['192.0.2.1', '10.77.0.7', '203.0.113.9'].map(address);
const ERRORS = [0x0303, 0x0304, 0x0301, 0x0b00, 0x0b01, 0x0c00, 0x0400, 0x030d];
const ANSWER_FLAGS = [0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x02, 0x10];

/** Packets remembered per wire, and bytes of each. */
const RING = 64;
const KEEP = 600;
/** Chance of 256 that a large seed is taken when it comes up. */
const LARGE = 2000;
const LARGE_CHANCE = 8;

class Seen {
  readonly bytes = new Uint8Array(RING * KEEP);
  readonly length = new Int32Array(RING);
  count = 0;
}

export class Traffic {
  readonly dice: Dice;
  private readonly packet = new Packet();
  private readonly whole = new Packet();
  private readonly seen = [new Seen(), new Seen()] as const;
  private readonly seeds: readonly Seed[];
  private readonly firstPort: number;
  private readonly ports: number;
  /** A datagram that is being sent in pieces. */
  private pieces = 0;
  private piece = 0;
  private pieceDevice = PRIVATE;
  private pieceSize = 8;

  constructor(seed: number, configuration: Configuration, from: readonly Seed[] = seeds) {
    this.dice = new Dice(seed);
    this.seeds = from;
    const { first, last } = configuration.ports;
    this.firstPort = first - 2;
    this.ports = Math.min(last - first + 5, 40);
  }

  /** Puts one packet into the batch. */
  arrive(world: World): void {
    const { packet, dice } = this;
    const device = this.make();
    if (dice.chance(90)) {
      for (let n = 1 + dice.below(3); n > 0; n--) mutate(packet, dice);
      if (dice.chance(200)) packet.mendLength();
      if (dice.chance(120)) packet.mendIcmp();
      if (dice.chance(245)) packet.mendHeader();
    }
    world.put(dice.chance(2) ? 1 - device : device, packet.u8, packet.length);
  }

  /** Remembers some of what was sent. */
  remember(world: World, count: number): void {
    const { u8, i32 } = world.bytes;
    for (let i = this.dice.below(3); i < count; i += 2) {
      const entry = i32[(OUT_LIST >> 2) + i * 2]!;
      const seen = this.seen[(entry >>> 16) as 0 | 1];
      const length = Math.min(i32[(OUT_LIST >> 2) + i * 2 + 1]!, KEEP, LINEAR_BYTES);
      const at = packetOffset(entry & 0xffff);
      const row = seen.count++ % RING;
      const to = row * KEEP;
      seen.length[row] = length;
      if (length <= 128) for (let j = 0; j < length; j++) seen.bytes[to + j] = u8[at + j]!;
      else seen.bytes.set(u8.subarray(at, at + length), to);
    }
  }

  /** Makes a packet; the device it arrives on. */
  private make(): number {
    const { dice } = this;
    if (this.pieces > 0 && dice.chance(128)) return this.nextPiece();
    const roll = dice.below(100);
    if (roll < 42) return this.fromSeed();
    const device = dice.chance(140) ? PUBLIC : PRIVATE;
    if (this.seen[device as 0 | 1].count === 0) return this.fromSeed();
    if (roll < 72) return this.answer(device);
    if (roll < 82) return this.error(device);
    if (roll < 97) return this.again(device);
    return this.startPieces(dice.chance(128) ? this.answer(device) : this.fromSeed());
  }

  private fromSeed(): number {
    const { packet, dice } = this;
    let seed = dice.one(this.seeds);
    while (seed.packet.length > LARGE && !dice.chance(LARGE_CHANCE)) seed = dice.one(this.seeds);
    packet.load(seed.packet, seed.packet.length);
    if (seed.vnet !== undefined) packet.u8.set(seed.vnet, 2);
    if (dice.chance(200)) this.endpoints(seed.device);
    return seed.device;
  }

  /** Other endpoints for a packet that a host of this side sends; what a packet says of itself stays right. */
  private endpoints(device: number): void {
    const { packet, dice } = this;
    const { i32, header } = packet;
    if (packet.length < 28 || header < 20 || header + 8 > packet.length) return;
    if ((packet.get16(10) === 0 && packet.length < 40) || packet.sum(0, header) !== 0xffff) return;
    if (device === PRIVATE) {
      i32[(AT + 12) >> 2] = dice.one(CLIENTS);
      i32[(AT + 16) >> 2] = dice.one(SERVERS);
    } else {
      i32[(AT + 12) >> 2] = dice.one(SERVERS);
    }
    const first = (packet.get16(6) & 0x1fff) === 0;
    const [inner, outer] = device === PRIVATE ? [0, 2] : [2, 0];
    if (first && (packet.protocol === 6 || packet.protocol === 17)) {
      packet.put16(header + inner, this.firstPort + dice.below(this.ports));
      if (dice.chance(128)) packet.put16(header + outer, dice.one(SERVER_PORTS));
    } else if (first && packet.protocol === 1 && packet.u8[AT + header] !== 3) {
      packet.put16(header + 4, dice.below(12));
      packet.mendIcmp();
    }
    packet.mendHeader();
  }

  private take(device: number): void {
    const seen = this.seen[device as 0 | 1];
    const row = this.dice.below(Math.min(seen.count, RING));
    const at = row * KEEP;
    const { packet } = this;
    const length = seen.length[row]!;
    packet.length = length;
    const { u8 } = packet;
    u8.fill(0, 2, AT);
    if (length <= 128) for (let i = 0; i < length; i++) u8[AT + i] = seen.bytes[at + i]!;
    else u8.set(seen.bytes.subarray(at, at + length), AT);
    packet.mendLength();
  }

  /** What was sent to this wire, turned round: it arrives from there. TCP numbers go on as a peer's would. */
  private answer(device: number): number {
    this.take(device);
    const { packet, dice } = this;
    const { u8, i32, header, protocol } = packet;
    const l4 = AT + header;
    const source = i32[(AT + 12) >> 2]!;
    i32[(AT + 12) >> 2] = i32[(AT + 16) >> 2]!;
    i32[(AT + 16) >> 2] = source;
    u8[AT + 8] = dice.chance(8) ? dice.below(3) : 60;
    if ((packet.get16(6) & 0x1fff) === 0 && packet.length >= header + 8) {
      if (protocol === 6 || protocol === 17) {
        const ports = i32[l4 >> 2]!;
        i32[l4 >> 2] = (ports << 16) | (ports >>> 16);
        if (protocol === 6 && packet.length >= header + 20) this.answerTcp(l4);
      } else if (protocol === 1) {
        if (u8[l4] === 8) u8[l4] = 0;
        else if (u8[l4] === 13 || u8[l4] === 17) u8[l4] = u8[l4]! + 1;
        packet.mendIcmp();
      }
    }
    packet.mendHeader();
    return device;
  }

  private answerTcp(l4: number): void {
    const { packet, dice } = this;
    const { u8 } = packet;
    const view = (at: number) => (packet.get16(at - AT) << 16) | packet.get16(at + 2 - AT);
    const flags = u8[l4 + 13]!;
    const payload = Math.max(packet.length + AT - l4 - ((u8[l4 + 12]! >> 4) << 2), 0);
    const next = (view(l4 + 4) + payload + ((flags & 2) >> 1) + (flags & 1)) | 0;
    const acknowledged = (flags & 16) !== 0 ? view(l4 + 8) : dice.next();
    put32(packet, l4 + 4, acknowledged);
    put32(packet, l4 + 8, next);
    // A SYN is answered with SYN ACK, that with ACK; now and then anything.
    if (dice.chance(40)) u8[l4 + 13] = dice.one(ANSWER_FLAGS);
    else if ((flags & 0x12) === 2) u8[l4 + 13] = 0x12;
    else if ((flags & 4) === 0) u8[l4 + 13] = dice.chance(30) ? 0x11 : dice.chance(128) ? 0x10 : 0x18;
  }

  /** An ICMP error about what was sent to this wire. */
  private error(device: number): number {
    this.take(device);
    const { packet, dice } = this;
    const { u8, i32 } = packet;
    const quote = Math.min(packet.length, dice.chance(128) ? 28 + dice.below(40) : 548);
    const sender = i32[(AT + 12) >> 2]!;
    const remote = i32[(AT + 16) >> 2]!;
    u8.copyWithin(AT + 28, AT, AT + quote);
    u8.fill(0, AT, AT + 28);
    packet.length = 28 + quote;
    u8[AT] = 0x45;
    u8[AT + 8] = 60;
    u8[AT + 9] = 1;
    i32[(AT + 12) >> 2] = dice.chance(128) ? remote : dice.one(ROUTERS);
    i32[(AT + 16) >> 2] = sender;
    packet.put16(20, dice.one(ERRORS));
    if (dice.chance(64)) packet.put16(26, dice.below(1600));
    packet.mendLength();
    packet.mendIcmp();
    packet.mendHeader();
    return device;
  }

  /** What was sent to one wire arrives at the other one, as a peer behind another NAT would see and send it: a stray. */
  private again(device: number): number {
    this.take(device);
    const { packet, dice } = this;
    if (dice.chance(160) && packet.length >= 28) this.endpoints(device);
    packet.mendHeader();
    return dice.chance(100) ? 1 - device : device;
  }

  private startPieces(device: number): number {
    const { packet, dice, whole } = this;
    const { header } = packet;
    if (packet.length < header + 24 || header < 20 || packet.length > KEEP * 6) return device;
    whole.load(packet.u8.subarray(AT), packet.length);
    whole.put16(4, dice.below(8));
    this.pieceSize = 8 * (1 + dice.below(Math.min(180, (packet.length - header) >> 3)));
    this.pieces = Math.min(Math.ceil((packet.length - header) / this.pieceSize), 12);
    this.piece = dice.chance(180) ? 0 : dice.below(this.pieces);
    this.pieceDevice = device;
    return this.nextPiece();
  }

  /** Mostly the next one; now and then one again, one out of order, or one that overlaps. */
  private nextPiece(): number {
    const { packet, whole, dice } = this;
    const { header } = whole;
    const n = this.piece % Math.max(Math.ceil((whole.length - header) / this.pieceSize), 1);
    const shift = dice.chance(12) ? 8 * dice.below(4) : 0;
    const start = Math.max(n * this.pieceSize - shift, 0);
    const size = Math.max(Math.min(this.pieceSize + shift, whole.length - header - start), 0);
    packet.load(whole.u8.subarray(AT), header);
    packet.u8.set(whole.u8.subarray(AT + header + start, AT + header + start + size), AT + header);
    packet.length = Math.min(header + size, MAX_LENGTH);
    const more = start + size < whole.length - header ? 0x2000 : 0;
    packet.put16(6, more | (start >> 3));
    packet.mendLength();
    packet.mendHeader();
    this.piece += dice.chance(220) ? 1 : dice.below(3);
    this.pieces--;
    return this.pieceDevice;
  }
}

function put32(packet: Packet, at: number, value: number): void {
  packet.put16(at - AT, value >>> 16);
  packet.put16(at + 2 - AT, value & 0xffff);
}
