/**
 * Makes the bytes of a step, as they are on one side of one gateway: that is where the addresses come from.
 * The payload of a datagram is a pattern of its own, so that bytes in the wrong place show.
 */
import { Bytes, putBe16 } from '../../src/wire/bytes.ts';
import { checksum, fold, pseudoHeaderSum, sumBytes } from '../../src/wire/checksum.ts';
import type { Cut, ErrorSpec, FlowPacket, IpSpec, PacketSpec, Side, Step } from './step.ts';
import { ICMP, TCP, UDP } from './step.ts';

/** The two ends of a flow as one side of a gateway sees them; addresses in wire order. */
export interface View {
  client: number;
  clientPort: number;
  server: number;
  serverPort: number;
  /** A router on that side, which may send ICMP errors, and an address nobody talks to. */
  router: number;
  stranger: number;
}

export function buildStep(step: Step, view: View): Uint8Array {
  const whole = buildPacket(step.packet, step.from, view);
  return step.cut === undefined ? whole : cutOut(whole, step.cut);
}

function buildPacket(spec: PacketSpec, from: Side, view: View): Uint8Array {
  return spec.kind === 'error' ? buildError(spec, from, view) : buildFlowPacket(spec, from, view);
}

function buildFlowPacket(spec: FlowPacket, from: Side, view: View): Uint8Array {
  const outward = from === 'private';
  const source = outward ? view.client : view.server;
  const destination = outward ? view.server : view.client;
  const sourcePort = outward ? view.clientPort : view.serverPort;
  const destinationPort = outward ? view.serverPort : view.clientPort;
  if (spec.kind === 'query') {
    const body = new Uint8Array(8 + spec.data);
    body[0] = spec.type;
    body[1] = spec.code;
    putBe16(body, 4, view.clientPort);
    putBe16(body, 6, spec.sequence);
    fillPattern(body, 8, spec.sequence);
    return finish(spec.ip, source, destination, ICMP, body, 2, spec.badChecksum);
  }
  if (spec.kind === 'udp') {
    const body = new Uint8Array(8 + spec.data);
    putBe16(body, 0, sourcePort);
    putBe16(body, 2, destinationPort);
    putBe16(body, 4, (body.length + (spec.lengthError ?? 0)) & 0xffff);
    fillPattern(body, 8, spec.data);
    return finish(spec.ip, source, destination, UDP, body, spec.unsummed ? -1 : 6, spec.badChecksum);
  }
  const header = 20 + spec.options.length;
  const body = new Uint8Array(header + spec.data);
  const view32 = new DataView(body.buffer);
  putBe16(body, 0, sourcePort);
  putBe16(body, 2, destinationPort);
  view32.setUint32(4, spec.seq >>> 0);
  view32.setUint32(8, spec.ack >>> 0);
  body[12] = (spec.offset ?? header >> 2) << 4;
  body[13] = spec.flags;
  putBe16(body, 14, spec.window);
  body.set(spec.options, 20);
  fillPattern(body, header, spec.seq);
  return finish(spec.ip, source, destination, TCP, body, 16, spec.badChecksum);
}

function buildError(spec: ErrorSpec, from: Side, view: View): Uint8Array {
  const outward = from === 'private';
  const quote = buildQuote(spec, outward ? 'public' : 'private', view);
  const body = new Uint8Array(8 + quote.length);
  body[0] = spec.type;
  body[1] = spec.code;
  new DataView(body.buffer).setUint32(4, spec.rest >>> 0);
  if (spec.quote === 'rfc4884') body[5] = (quote.length - EXTENSION.length) >> 2;
  body.set(quote, 8);
  const sender = outward ? view.client : view.server;
  const source = spec.sender === 'router' ? view.router : sender;
  // An error from outside always comes to the external address, or it would not come here at all.
  const destination = spec.astray && outward ? view.stranger : outward ? view.server : view.client;
  return finish(spec.ip, source, destination, ICMP, body, 2, spec.badChecksum);
}

/** One MPLS label stack object in an RFC 4884 extension structure, with its checksum. */
const EXTENSION = [0x20, 0, 0, 0, 0, 8, 1, 1, 0x12, 0x34, 0x51, 0xff];
{
  const bytes = Uint8Array.from(EXTENSION);
  const memory = aligned(bytes);
  const sum = checksum(memory.u8, memory.u16, 0, bytes.length);
  EXTENSION[2] = sum & 0xff;
  EXTENSION[3] = sum >>> 8;
}
/** RFC 4884 5.1: the original datagram is padded to this. */
const ORIGINAL_DATAGRAM = 128;

function buildQuote(spec: ErrorSpec, from: Side, view: View): Uint8Array {
  const { quoted, lie } = spec;
  const ends = { ...view };
  if (lie === 'address') ends.client = view.stranger;
  if (lie === 'port') ends.clientPort = view.clientPort ^ 0x4000 || 1;
  if (lie === 'peer') ends.server = view.stranger;
  const opposite: Side = from === 'private' ? 'public' : 'private';
  const options = spec.quote === 'options' ? [1, 1, 1, 0] : quoted.ip.options;
  const packet = buildFlowPacket(
    { ...quoted, ip: { ...quoted.ip, options } },
    lie === 'direction' ? opposite : from,
    ends,
  );
  if (lie === 'version') packet[0] = 0x60 | (packet[0]! & 15);
  if (lie === 'protocol') packet[9] = 253;
  if (lie === 'later-fragment') putBe16(packet, 6, 185);
  finishHeader(packet, spec.badInner);
  const header = (packet[0]! & 15) << 2;
  const transport = quoted.kind === 'tcp' ? 20 + quoted.options.length : 8;
  switch (spec.quote) {
    case 'none':
      return packet.subarray(0, 0);
    case 'cut-header':
      return packet.subarray(0, 12);
    case 'header':
      return packet.subarray(0, header);
    case 'header+4':
      return packet.subarray(0, header + 4);
    case 'header+7':
      return packet.subarray(0, header + 7);
    case 'header+8':
    case 'options':
      return packet.subarray(0, header + 8);
    case 'transport':
      return packet.subarray(0, header + transport);
    case 'full':
      return packet;
    case 'rfc4884': {
      const padded = new Uint8Array(ORIGINAL_DATAGRAM + EXTENSION.length);
      padded.set(packet.subarray(0, ORIGINAL_DATAGRAM));
      padded.set(EXTENSION, ORIGINAL_DATAGRAM);
      return padded;
    }
  }
}

/** `field`: where the checksum is in the body, -1 for none. */
function finish(
  ip: IpSpec,
  source: number,
  destination: number,
  protocol: number,
  body: Uint8Array,
  field: number,
  bad: number | undefined,
): Uint8Array {
  if (field >= 0) {
    const memory = aligned(body);
    const pseudo = protocol === ICMP ? 0 : pseudoHeaderSum(source, destination, protocol, body.length);
    let sum = fold(sumBytes(memory.u8, memory.u16, 0, body.length) + pseudo) ^ 0xffff;
    if (bad !== undefined) sum = (sum + bad) & 0xffff;
    if (sum === 0 && protocol === UDP) sum = 0xffff;
    body[field] = sum & 0xff;
    body[field + 1] = sum >>> 8;
  }
  const header = 20 + ip.options.length;
  const packet = new Uint8Array(header + body.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x40 | (header >> 2);
  packet[1] = ip.tos;
  putBe16(packet, 2, packet.length);
  putBe16(packet, 4, ip.id);
  putBe16(packet, 6, ip.df ? 0x4000 : 0);
  packet[8] = ip.ttl;
  packet[9] = protocol;
  view.setInt32(12, source, true);
  view.setInt32(16, destination, true);
  packet.set(ip.options, 20);
  packet.set(body, header);
  finishHeader(packet);
  return packet;
}

export function finishHeader(packet: Uint8Array, bad = 0): void {
  const header = (packet[0]! & 15) << 2;
  packet[10] = 0;
  packet[11] = 0;
  const memory = aligned(packet.subarray(0, header));
  const sum = (checksum(memory.u8, memory.u16, 0, header) + bad) & 0xffff;
  packet[10] = sum & 0xff;
  packet[11] = sum >>> 8;
}

function cutOut(packet: Uint8Array, cut: Cut): Uint8Array {
  const header = (packet[0]! & 15) << 2;
  const piece = new Uint8Array(header + cut.length);
  piece.set(packet.subarray(0, header));
  piece.set(packet.subarray(header + cut.offset, header + cut.offset + cut.length), header);
  if (cut.garble) for (let i = header; i < piece.length; i++) piece[i] = piece[i]! ^ 0x55;
  putBe16(piece, 2, piece.length);
  putBe16(piece, 6, (cut.more ? 0x2000 : 0) | (cut.offset >> 3));
  finishHeader(piece);
  return piece;
}

function fillPattern(body: Uint8Array, from: number, salt: number): void {
  for (let i = from; i < body.length; i++) body[i] = (salt + i * 7) & 0xff;
}

export function aligned(data: Uint8Array): Bytes {
  const memory = new Bytes(new ArrayBuffer((data.length + 3) & ~3));
  memory.u8.set(data);
  return memory;
}
