/**
 * Runs an engine of its own on made-up packets, so that the compiler has seen the hot path before the first real packet
 * comes: cold, a packet takes some hundred times as long, and code that was compiled for less than what comes is thrown away.
 *
 * What a busy gateway sees: an established TCP connection and a UDP stream, both ways, with checksums that are whole and such that the
 * device completes, super-packets, packets that may be fragmented, an echo, and in each batch a connection that is new. Nothing of it
 * is kept but what V8 has learned about the functions.
 */
import { OWNED_BYTES } from '../nat/owned.ts';
import { parseAddress } from '../wire/address.ts';
import { Bytes, putBe16, swap32 } from '../wire/bytes.ts';
import { checksum } from '../wire/checksum.ts';
import { ECHO_REQUEST } from '../wire/icmp.ts';
import {
  DONT_FRAGMENT,
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER,
  IP_LENGTH,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TTL,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import {
  ACK,
  SYN,
  TCP_ACK,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_SEQUENCE,
  TCP_WINDOW,
} from '../wire/tcp.ts';
import { UDP_CHECKSUM, UDP_LENGTH } from '../wire/udp.ts';
import {
  GSO_TCPV4,
  NEEDS_CSUM,
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_FLAGS,
  VNET_GSO_SIZE,
  VNET_GSO_TYPE,
  VNET_HEADER,
} from '../wire/vnet.ts';
import { BATCH, IN_LIST, packetOffset } from './arena.ts';
import { Engine } from './engine.ts';
import { formatState, stateBytes } from './state.ts';

/** Enough for the optimising compiler to have finished with all of it; takes some hundred milliseconds. */
const BATCHES = 2000;
const FLOWS = 4096;
const PRIVATE_DEVICE = 0;
const PUBLIC_DEVICE = 1;
const CLIENT = parseAddress('10.0.0.2')!;
const SERVER = parseAddress('198.51.100.2')!;
const EXTERNAL = parseAddress('198.51.100.1')!;
const CLIENT_PORT = 40000;
const SERVER_PORT = 443;
const PAYLOAD = 12;
const MTU = 1500;
/** NOP NOP timestamp. */
const TIMESTAMP_WORD = 0x0a080101;
const TIMESTAMP_BYTES = 12;
/** Of the engine's clock: UDP flows become streams in the course of it. */
const MS_PER_BATCH = 2;

/** `arena`: that of the exchange, before it is used. */
export function warmUp(arena: ArrayBuffer): void {
  const engine = newEngine(arena);
  const traffic = new Traffic(arena);
  for (let batch = 0; batch < BATCHES; batch++) {
    const now = batch * MS_PER_BATCH;
    if (batch === 0) traffic.handshake();
    else traffic.busy(batch);
    engine.process(0, traffic.take(), now);
    engine.clearOut();
    engine.tick(now);
  }
  new Uint8Array(arena).fill(0, 0, packetOffset(BATCH));
}

function newEngine(arena: ArrayBuffer): Engine {
  const state = new ArrayBuffer(stateBytes(FLOWS));
  formatState(state, FLOWS, [1, 2]);
  const engine = new Engine({
    arena,
    state,
    owned: new ArrayBuffer(OWNED_BYTES),
    devices: [
      { side: 'private', address: parseAddress('10.0.0.1')!, mtu: MTU },
      { side: 'public', address: EXTERNAL, mtu: MTU },
    ],
    ports: { first: 32768, last: 65535 },
    seed: 1,
    now: 0,
  });
  engine.setRoutes([
    { prefix: CLIENT, length: 32, device: PRIVATE_DEVICE, gateway: 0, mtu: 0 },
    { prefix: 0, length: 0, device: PUBLIC_DEVICE, gateway: 0, mtu: 0 },
  ]);
  return engine;
}

/** Writes packets into the arena as if they had been read. Both ends send 12 bytes at a time and acknowledge at once. */
class Traffic {
  private readonly bytes: Bytes;
  private count = 0;
  private sequence = 1;

  constructor(arena: ArrayBuffer) {
    this.bytes = new Bytes(arena);
  }

  /** Packets written since the last call. */
  take(): number {
    const { count } = this;
    this.count = 0;
    return count;
  }

  handshake(): void {
    this.tcp(true, CLIENT_PORT, SYN, 0, 0, 0, false);
    this.tcp(false, CLIENT_PORT, SYN | ACK, 0, 1, 0, false);
    this.tcp(true, CLIENT_PORT, ACK, 1, 1, 0, false);
  }

  busy(batch: number): void {
    for (let round = 0; round < 6; round++) {
      const { sequence } = this;
      const next = sequence + PAYLOAD;
      this.tcp(true, CLIENT_PORT, ACK, sequence, sequence, PAYLOAD, true);
      this.superPacket();
      this.tcp(false, CLIENT_PORT, ACK, sequence, next, 0, round % 2 === 0);
      this.tcp(false, CLIENT_PORT, ACK, sequence, next, PAYLOAD, round % 3 === 0);
      this.tcp(true, CLIENT_PORT, ACK, next, next, 0, true);
      this.sequence = next;
      this.udp(true, DONT_FRAGMENT, true);
      this.udp(false, DONT_FRAGMENT, round % 2 === 0);
      this.udp(true, round % 2 === 0 ? DONT_FRAGMENT : 0, round % 3 === 0);
    }
    this.echo();
    this.tcp(true, 50_000 + (batch & 1023), SYN, batch, 0, 0, true);
  }

  private tcp(
    isOutbound: boolean,
    port: number,
    flags: number,
    sequence: number,
    acknowledged: number,
    payload: number,
    isPartial: boolean,
  ): void {
    const { i32, u8 } = this.bytes;
    const header = 20 + TIMESTAMP_BYTES;
    const l4 = this.packet(isOutbound, PROTO_TCP, DONT_FRAGMENT, header + payload);
    this.ports(l4, isOutbound, port);
    i32[(l4 + TCP_SEQUENCE) >> 2] = swap32(sequence);
    i32[(l4 + TCP_ACK) >> 2] = swap32(acknowledged);
    u8[l4 + TCP_DATA_OFFSET] = (header >> 2) << 4;
    u8[l4 + TCP_FLAGS] = flags;
    putBe16(u8, l4 + TCP_WINDOW, 60_000);
    i32[(l4 + 20) >> 2] = TIMESTAMP_WORD;
    if (isPartial) this.partial(l4, TCP_CHECKSUM);
  }

  /** Makes the last packet one. */
  private superPacket(): void {
    const vnet = packetOffset(this.count - 1) - VNET_HEADER;
    this.bytes.u8[vnet + VNET_GSO_TYPE] = GSO_TCPV4;
    this.bytes.u16[(vnet + VNET_GSO_SIZE) >> 1] = MTU - 20 - 20 - TIMESTAMP_BYTES;
  }

  private udp(isOutbound: boolean, fragment: number, isPartial: boolean): void {
    const l4 = this.packet(isOutbound, PROTO_UDP, fragment, 8 + PAYLOAD);
    this.ports(l4, isOutbound, CLIENT_PORT);
    putBe16(this.bytes.u8, l4 + UDP_LENGTH, 8 + PAYLOAD);
    putBe16(this.bytes.u8, l4 + UDP_CHECKSUM, 1);
    if (isPartial) this.partial(l4, UDP_CHECKSUM);
  }

  private echo(): void {
    const l4 = this.packet(true, PROTO_ICMP, DONT_FRAGMENT, 8 + PAYLOAD);
    this.bytes.u8[l4] = ECHO_REQUEST;
    this.bytes.u16[(l4 + 2) >> 1] = checksum(this.bytes.u8, this.bytes.u16, l4, 8 + PAYLOAD);
  }

  /** IPv4 header and nothing behind it. Returns the offset of the transport header. */
  private packet(isOutbound: boolean, protocol: number, fragment: number, length: number): number {
    const { u8, u16, i32 } = this.bytes;
    const slot = this.count++;
    const at = packetOffset(slot);
    u8.fill(0, at - VNET_HEADER, at + IP_HEADER + length);
    u8[at] = 0x45;
    putBe16(u8, at + IP_LENGTH, IP_HEADER + length);
    putBe16(u8, at + IP_FRAGMENT, fragment);
    u8[at + IP_TTL] = 64;
    u8[at + IP_PROTOCOL] = protocol;
    i32[(at + IP_SOURCE) >> 2] = isOutbound ? CLIENT : SERVER;
    i32[(at + IP_DESTINATION) >> 2] = isOutbound ? SERVER : EXTERNAL;
    u16[(at + IP_CHECKSUM) >> 1] = checksum(u8, u16, at, IP_HEADER);
    i32[(IN_LIST >> 2) + slot * 2] = isOutbound ? PRIVATE_DEVICE : PUBLIC_DEVICE;
    i32[(IN_LIST >> 2) + slot * 2 + 1] = IP_HEADER + length;
    return at + IP_HEADER;
  }

  /** Ports are preserved, so those of the internal endpoint are those outside. */
  private ports(l4: number, isOutbound: boolean, port: number): void {
    putBe16(this.bytes.u8, l4, isOutbound ? port : SERVER_PORT);
    putBe16(this.bytes.u8, l4 + 2, isOutbound ? SERVER_PORT : port);
  }

  private partial(l4: number, field: number): void {
    const { u8, u16 } = this.bytes;
    const vnet = l4 - IP_HEADER - VNET_HEADER;
    u8[vnet + VNET_FLAGS] = NEEDS_CSUM;
    u16[(vnet + VNET_CSUM_START) >> 1] = IP_HEADER;
    u16[(vnet + VNET_CSUM_OFFSET) >> 1] = field;
  }
}
