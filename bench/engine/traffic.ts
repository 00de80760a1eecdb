/**
 * Made-up packets, written into the arena as if a device had been read.
 *
 *     flow     the number says all: the internal endpoint in its low bits, the remote host in the others
 *     remotes  16384 internal endpoints (1024 clients × 16 ports), whose mappings the flows to further remote hosts
 *              share (RFC 4787 REQ-1), so that any number of flows needs 16384 external ports
 *     own      the other shape: a remote host for all, an internal endpoint and so a mapping for each flow
 *
 * Writing reads no memory but two templates and 64 KiB of external ports: the caches are left to the engine. TCP has
 * window scaling and time stamps, as connections of today have. Sequence numbers move on with every packet within a
 * window of 1 GiB (and go back by 256 MiB now and then), so each segment is new to its flow and inside its window.
 */
import { IN_LIST, OUT_LIST, packetOffset } from '../../src/engine/arena.ts';
import { tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { swap32 } from '../../src/wire/bytes.ts';
import { fold } from '../../src/wire/checksum.ts';
import { DATA_VALID, GSO_NONE } from '../../src/wire/vnet.ts';

export type Protocol = 'udp' | 'tcp' | 'mixed';
export type Size = 'small' | 'full';
/** Which packet of a connection. Of UDP all are alike. */
export type Stage = 'first' | 'answer' | 'third' | 'data';

export const PRIVATE_DEVICE = 0;
export const PUBLIC_DEVICE = 1;
export const EXTERNAL = parseAddress('198.18.0.1')!;
const CLIENT_BITS = 10;
const CLIENTS = 1 << CLIENT_BITS;
const ENDPOINT_BITS = 14;
const ENDPOINTS = 1 << ENDPOINT_BITS;
const FIRST_PORT = 40000;
/** 10.1.0.0 and 198.19.0.0, wire order. */
const CLIENT_NET = 10 | (1 << 8);
const REMOTE_NET = 198 | (19 << 8);
const REMOTE_PORT = 443;
const PAYLOAD: Record<Size, number> = { small: 12, full: 1400 };
const SEQUENCE_MASK = 0x0fffffff;

/** MSS 1460, time stamps, window scale 14. */
const SYN_OPTIONS = Uint8Array.of(2, 4, 5, 180, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 3, 3, 14, 1);
const TIME_STAMPS = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1);

interface Template {
  words: Int32Array;
  /** Sum of the header words that are the same in all packets. */
  sum: number;
  /** Bytes of the packet, of which only `words` are written. */
  length: number;
}

export class Traffic {
  private readonly i32: Int32Array;
  private readonly protocol: Protocol;
  private readonly own: boolean;
  /** By protocol (0 UDP, 1 TCP), internal endpoint: the external port, host order. */
  private readonly ports = new Uint16Array(2 * ENDPOINTS);
  private templates: readonly Template[] = [];
  private payload = 0;
  private firstSequence = 0;
  private sent = 0;

  constructor(arena: ArrayBuffer, protocol: Protocol, own: boolean) {
    this.i32 = new Int32Array(arena);
    this.protocol = protocol;
    this.own = own;
    this.begin('first', 'small');
  }

  /** The packets from here on. */
  begin(stage: Stage, size: Size): void {
    this.templates = [udpTemplate(size), tcpTemplate(stage, size)];
    this.payload = stage === 'data' ? PAYLOAD[size] : 0;
    this.firstSequence = stage === 'first' || stage === 'answer' ? 0 : 1;
  }

  /** Puts a packet of `flow` into `slot`, and its entry into the in list. `isReply`: from the remote host. */
  write(slot: number, flow: number, isReply: boolean): void {
    const { i32, ports } = this;
    const p = this.protocol === 'tcp' || (this.protocol === 'mixed' && (flow & 1) !== 0) ? 1 : 0;
    const { words, sum, length } = this.templates[p]!;
    const endpoint = flow & (ENDPOINTS - 1);
    const client = flow & (CLIENTS - 1);
    const remote = this.own ? 0 : flow >> ENDPOINT_BITS;
    const inner = CLIENT_NET | ((client >> 8) << 16) | (client << 24);
    const outer = REMOTE_NET | ((remote >> 8) << 16) | (remote << 24);
    const at = packetOffset(slot) >> 2;
    // The flags are the upper half of this word. Checksums are not made.
    i32[at - 3] = DATA_VALID << 16;
    i32[at - 2] = 0;
    i32[at - 1] = GSO_NONE;
    for (let w = 0; w < words.length; w++) i32[at + w] = words[w]!;
    const source = isReply ? outer : inner;
    const destination = isReply ? EXTERNAL : outer;
    const sourcePort = isReply
      ? REMOTE_PORT
      : this.own
        ? ownPort(flow)
        : FIRST_PORT + (endpoint >> CLIENT_BITS);
    const destinationPort = isReply ? ports[p * ENDPOINTS + endpoint]! : REMOTE_PORT;
    i32[at + 2] =
      words[2]! |
      ((fold(sum + (source & 0xffff) + (source >>> 16) + (destination & 0xffff) + (destination >>> 16)) ^
        0xffff) <<
        16);
    i32[at + 3] = source;
    i32[at + 4] = destination;
    i32[at + 5] = swap32((sourcePort << 16) | destinationPort);
    if (p === 1) i32[at + 6] = swap32(this.firstSequence + this.sent);
    this.sent = (this.sent + this.payload) & SEQUENCE_MASK;
    const entry = (IN_LIST >> 2) + slot * 2;
    i32[entry] = isReply ? PUBLIC_DEVICE : PRIVATE_DEVICE;
    i32[entry + 1] = length;
  }

  /** Remembers the external ports of the batch that has just left: packet i was of flow `first + i`. */
  learn(first: number, count: number): void {
    const { i32 } = this;
    if (this.own || first >= ENDPOINTS) return;
    for (let i = 0; i < count; i++) {
      const flow = first + i;
      const slot = i32[(OUT_LIST >> 2) + i * 2]! & 0xffff;
      const p = this.protocol === 'tcp' || (this.protocol === 'mixed' && (flow & 1) !== 0) ? 1 : 0;
      const word = i32[(packetOffset(slot) >> 2) + 5]!;
      this.ports[p * ENDPOINTS + (flow & (ENDPOINTS - 1))] = swap32(word) >>> 16;
    }
  }
}

/** Ports of a client as its kernel might choose them: all over the range, no two alike. */
function ownPort(flow: number): number {
  const client = flow & (CLIENTS - 1);
  return 1024 + ((client * 7919 + (flow >> CLIENT_BITS) * 61) % 64000);
}

function udpTemplate(size: Size): Template {
  const packet = udpPacket({ ...ENDS, payload: new Uint8Array(PAYLOAD[size]) });
  return template(packet, 28 + (size === 'small' ? PAYLOAD.small : 0));
}

function tcpTemplate(stage: Stage, size: Size): Template {
  if (stage === 'first') return whole(tcpPacket({ ...ENDS, flags: 'S', options: SYN_OPTIONS }));
  if (stage === 'answer') return whole(tcpPacket({ ...ENDS, flags: 'SA', ack: 1, options: SYN_OPTIONS }));
  const fields = { ...ENDS, flags: 'A', ack: 1, options: TIME_STAMPS };
  if (stage === 'third') return whole(tcpPacket(fields));
  const packet = tcpPacket({ ...fields, payload: new Uint8Array(PAYLOAD[size]) });
  return template(packet, 52 + (size === 'small' ? PAYLOAD.small : 0));
}

const ENDS = { from: '10.0.0.2:1', to: '198.19.0.1:1' };

function whole(packet: Uint8Array): Template {
  return template(packet, packet.length);
}

/** `written`: bytes of it that are put into the arena; of a full packet the headers. */
function template(packet: Uint8Array, written: number): Template {
  const words = new Int32Array(packet.slice(0, written).buffer);
  words[2]! &= 0xffff;
  let sum = 0;
  for (let w = 0; w < 3; w++) sum += (words[w]! & 0xffff) + (words[w]! >>> 16);
  return { words, sum, length: packet.length };
}
