/** What the engine changed of a packet: the copy of it as it came against that as it left. */
import type { TapRecord } from '../../engine/tap-record.ts';
import { formatAddress } from '../../wire/address.ts';
import { be16 } from '../../wire/bytes.ts';
import { mssAt } from './packet-line.ts';

const NEEDS_CSUM = 1;

export function changesOf(came: TapRecord, left: TapRecord): string[] {
  const [a, b] = [came.packet, left.packet];
  const changes: string[] = [];
  if (a.length < 20 || b.length < 20) return changes;
  const word = (packet: Uint8Array, at: number) => be16(packet, at);
  const address = (packet: Uint8Array, at: number) =>
    formatAddress(new DataView(packet.buffer, packet.byteOffset).getInt32(at, true));
  const say = (what: string, before: string | number, after: string | number) => {
    if (before !== after) changes.push(`${what} ${before} → ${after}`);
  };
  say('source', address(a, 12), address(b, 12));
  say('destination', address(a, 16), address(b, 16));
  say('TTL', a[8]!, b[8]!);
  say('identification', word(a, 4), word(b, 4));
  say('length', came.length, left.length);
  const header = (a[0]! & 15) * 4;
  const protocol = a[9]!;
  const isLater = (word(a, 6) & 0x1fff) !== 0;
  if (!isLater && a.length >= header + 8 && b.length >= header + 8) {
    if (protocol === 6 || protocol === 17) {
      say('source port', word(a, header), word(b, header));
      say('destination port', word(a, header + 2), word(b, header + 2));
    } else if (protocol === 1) say('id', word(a, header + 4), word(b, header + 4));
    if (protocol === 6 && a.length >= header + 20 && b.length >= header + 20) tcp(a, b, header, say);
    if (bytesDiffer(a, b, payloadStart(a, header, protocol))) changes.push('payload');
  }
  // Whoever sends it on completes the checksum.
  if ((left.vnet & NEEDS_CSUM) !== 0) changes.push('checksum partial');
  const size = left.vnet >>> 16;
  if (((left.vnet >>> 8) & 0xff) !== 0) changes.push(`super-packet, to be cut into ${size} bytes each`);
  return changes;
}

type Say = (what: string, before: string | number, after: string | number) => void;

function tcp(a: Uint8Array, b: Uint8Array, at: number, say: Say): void {
  const long = (packet: Uint8Array, offset: number) =>
    be16(packet, offset) * 65536 + be16(packet, offset + 2);
  say('seq', long(a, at + 4), long(b, at + 4));
  say('ack', long(a, at + 8), long(b, at + 8));
  const [was, is] = [mssAt(a, at), mssAt(b, at)];
  if (was !== null && is !== null) say('MSS', was, is);
}

function payloadStart(packet: Uint8Array, header: number, protocol: number): number {
  if (protocol === 6 && packet.length >= header + 20) return header + (packet[header + 12]! >> 4) * 4;
  return header + 8;
}

function bytesDiffer(a: Uint8Array, b: Uint8Array, from: number): boolean {
  const end = Math.min(a.length, b.length);
  for (let i = from; i < end; i++) if (a[i] !== b[i]) return true;
  return false;
}
