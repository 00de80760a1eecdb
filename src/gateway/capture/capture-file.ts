/**
 * Reads captures that others have made: classic pcap of either byte order, with micro- or nanoseconds, and pcapng. Gives IPv4 packets;
 * link layers are raw IP, Ethernet (VLAN tags too) and Linux cooked. What is not IPv4, or cut off, is counted and left out.
 *
 * The whole file is in memory; a file of a gigabyte is not what this is for. A capture that ends in the middle gives what is whole.
 */
import { NatgateError } from '../../core/errors.ts';

export interface ReadPacket {
  /** ms since 1970. */
  time: number;
  /** From the IPv4 header; its total length, padding cut. */
  packet: Uint8Array;
  /** Name of the interface, where the file says it; direction likewise. */
  interface: string;
  direction: 'in' | 'out' | 'unknown';
}

export interface ReadCapture {
  packets: ReadPacket[];
  /** Not IPv4, and shorter than the packet was. */
  foreign: number;
  truncated: number;
}

const LINK_NULL = 0;
const LINK_ETHERNET = 1;
const LINK_RAW_BSD = [12, 14];
const LINK_RAW = 101;
const LINK_LINUX_SLL = 113;
const LINK_IPV4 = 228;
const LINK_LINUX_SLL2 = 276;

const ETHERTYPE_IPV4 = 0x0800;
const VLAN_TAGS = [0x8100, 0x88a8];

/** Throws NatgateError `capture_invalid`. */
export function readCapture(bytes: Uint8Array): ReadCapture {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 24) throw invalid('it is too short');
  const magic = view.getUint32(0);
  const result = new Collector();
  if (magic === 0x0a0d0d0a) readPcapng(view, bytes, result);
  else if (magic === 0xa1b2c3d4) readPcap(view, bytes, false, 1e3, result);
  else if (magic === 0xa1b23c4d) readPcap(view, bytes, false, 1e6, result);
  else if (magic === 0xd4c3b2a1) readPcap(view, bytes, true, 1e3, result);
  else if (magic === 0x4d3cb2a1) readPcap(view, bytes, true, 1e6, result);
  else throw invalid('it is neither pcap nor pcapng');
  return result;
}

class Collector implements ReadCapture {
  readonly packets: ReadPacket[] = [];
  foreign = 0;
  truncated = 0;

  add(
    linkType: number,
    frame: Uint8Array,
    time: number,
    name: string,
    direction: ReadPacket['direction'],
  ): void {
    const start = networkStart(linkType, frame);
    if (start < 0 || frame.length < start + 20 || frame[start]! >> 4 !== 4) {
      this.foreign++;
      return;
    }
    const total = (frame[start + 2]! << 8) | frame[start + 3]!;
    // A super-packet of the sender's own device may have 0 there.
    const length = total === 0 ? frame.length - start : total;
    if (length < 20) {
      this.foreign++;
      return;
    }
    if (frame.length - start < length) {
      this.truncated++;
      return;
    }
    const packet = Uint8Array.from(frame.subarray(start, start + length));
    this.packets.push({ time, packet, interface: name, direction });
  }
}

/** Where the IPv4 header begins; -1: there is none, or the link layer is not known. */
function networkStart(linkType: number, frame: Uint8Array): number {
  const word = (at: number): number => ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
  if (linkType === LINK_RAW || linkType === LINK_IPV4 || LINK_RAW_BSD.includes(linkType)) return 0;
  if (linkType === LINK_NULL) return 4;
  if (linkType === LINK_LINUX_SLL) return word(14) === ETHERTYPE_IPV4 ? 16 : -1;
  if (linkType === LINK_LINUX_SLL2) return word(0) === ETHERTYPE_IPV4 ? 20 : -1;
  if (linkType !== LINK_ETHERNET) return -1;
  let at = 12;
  while (VLAN_TAGS.includes(word(at))) at += 4;
  return word(at) === ETHERTYPE_IPV4 ? at + 2 : -1;
}

function readPcap(view: DataView, bytes: Uint8Array, little: boolean, perMs: number, into: Collector): void {
  // The upper bits say whether there is a checksum.
  const linkType = view.getUint32(20, little) & 0xffff;
  requireKnown(linkType);
  for (let at = 24; at + 16 <= bytes.length; ) {
    const time = view.getUint32(at, little) * 1000 + view.getUint32(at + 4, little) / perMs;
    const captured = view.getUint32(at + 8, little);
    at += 16;
    if (at + captured > bytes.length) return;
    into.add(linkType, bytes.subarray(at, at + captured), time, '', 'unknown');
    at += captured;
  }
}

interface PcapngInterface {
  linkType: number;
  name: string;
  /** Units of time in a ms. */
  perMs: number;
  /** s that are to be added. */
  offset: number;
  snapLength: number;
}

function readPcapng(view: DataView, bytes: Uint8Array, into: Collector): void {
  let little = true;
  let interfaces: PcapngInterface[] = [];
  for (let at = 0; at + 12 <= bytes.length; ) {
    const isSection = view.getUint32(at) === 0x0a0d0d0a;
    if (isSection) {
      little = view.getUint32(at + 8, true) === 0x1a2b3c4d;
      if (!little && view.getUint32(at + 8) !== 0x1a2b3c4d) throw invalid('a section has no byte order');
      interfaces = [];
    }
    const type = view.getUint32(at, little);
    const length = view.getUint32(at + 4, little);
    if (length < 12 || length % 4 !== 0) throw invalid(`a block at byte ${at} has an impossible length`);
    if (at + length > bytes.length) return;
    const body = at + 8;
    const end = at + length - 4;
    if (type === 1 && length >= 20) interfaces.push(readInterface(view, bytes, body, end, little));
    else if (type === 6 && length >= 32) readEnhanced(view, bytes, body, end, little, interfaces, into);
    else if (type === 3 && length >= 16) readSimple(view, bytes, body, end, little, interfaces, into);
    at += length;
  }
}

function readInterface(
  view: DataView,
  bytes: Uint8Array,
  body: number,
  end: number,
  little: boolean,
): PcapngInterface {
  const linkType = view.getUint16(body, little);
  requireKnown(linkType);
  const found = { linkType, name: '', perMs: 1e3, offset: 0, snapLength: view.getUint32(body + 4, little) };
  eachOption(view, body + 8, end, little, (code, at, length) => {
    if (code === 2) found.name = Buffer.from(bytes.subarray(at, at + length)).toString();
    if (code === 14 && length === 8) found.offset = Number(view.getBigInt64(at, little));
    if (code !== 9 || length < 1) return;
    const resolution = bytes[at]!;
    const perSecond = (resolution & 0x80) !== 0 ? 2 ** (resolution & 0x7f) : 10 ** resolution;
    found.perMs = perSecond / 1000;
  });
  return found;
}

function readEnhanced(
  view: DataView,
  bytes: Uint8Array,
  body: number,
  end: number,
  little: boolean,
  interfaces: readonly PcapngInterface[],
  into: Collector,
): void {
  const from = interfaces[view.getUint32(body, little)];
  const captured = view.getUint32(body + 12, little);
  const data = body + 20;
  if (from === undefined || data + captured > end) throw invalid('a packet block contradicts itself');
  const units = view.getUint32(body + 4, little) * 2 ** 32 + view.getUint32(body + 8, little);
  let direction: ReadPacket['direction'] = 'unknown';
  eachOption(view, data + ((captured + 3) & ~3), end, little, (code, at, length) => {
    if (code !== 2 || length !== 4) return;
    const way = view.getUint32(at, little) & 3;
    direction = way === 1 ? 'in' : way === 2 ? 'out' : 'unknown';
  });
  const time = units / from.perMs + from.offset * 1000;
  into.add(from.linkType, bytes.subarray(data, data + captured), time, from.name, direction);
}

function readSimple(
  view: DataView,
  bytes: Uint8Array,
  body: number,
  end: number,
  little: boolean,
  interfaces: readonly PcapngInterface[],
  into: Collector,
): void {
  const from = interfaces[0];
  if (from === undefined) throw invalid('a packet block contradicts itself');
  const length = view.getUint32(body, little);
  const captured = Math.min(length, from.snapLength || length, end - body - 4);
  into.add(from.linkType, bytes.subarray(body + 4, body + 4 + captured), 0, from.name, 'unknown');
}

function eachOption(
  view: DataView,
  from: number,
  end: number,
  little: boolean,
  each: (code: number, at: number, length: number) => void,
): void {
  for (let at = from; at + 4 <= end; ) {
    const code = view.getUint16(at, little);
    const length = view.getUint16(at + 2, little);
    if (code === 0 || at + 4 + length > end) return;
    each(code, at + 4, length);
    at += 4 + ((length + 3) & ~3);
  }
}

function requireKnown(linkType: number): void {
  const known = [
    LINK_NULL,
    LINK_ETHERNET,
    ...LINK_RAW_BSD,
    LINK_RAW,
    LINK_LINUX_SLL,
    LINK_IPV4,
    LINK_LINUX_SLL2,
  ];
  if (known.includes(linkType)) return;
  throw invalid(`its link type ${linkType} is not known here`);
}

function invalid(why: string): NatgateError {
  return new NatgateError(
    'capture_invalid',
    `the capture cannot be read: ${why}`,
    'use pcap or pcapng of Ethernet, Linux cooked or raw IP, as tcpdump -w makes it',
  );
}
