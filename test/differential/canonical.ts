/**
 * Makes outputs of two gateways comparable byte for byte. They choose external ports of their own, so the port of the
 * flow is put back to the client's. Checksums depend on it: each is replaced by how far it is from right, 0 for a right
 * one, so that wrong ones must be equally wrong.
 */
import { be16, putBe16, swap16 } from '../../src/wire/bytes.ts';
import { adjust, delta16, fold, pseudoHeaderSum, sumBytes } from '../../src/wire/checksum.ts';
import { aligned } from './build.ts';
import type { Output } from './output.ts';
import { ICMP, TCP, UDP } from './step.ts';

const QUERIES = new Set([0, 8, 13, 14, 15, 16, 17, 18]);

/** `external`: the port that stands for `client` on the public side of the gateway that sent this. */
export function canonical(output: Output, external: number, client: number): Output {
  const packet = Uint8Array.from(output.packet);
  const memory = aligned(output.packet);
  const header = (packet[0]! & 15) << 2;
  const length = packet.length - header;
  const protocol = packet[9]!;
  setWord(packet, 10, fold(sumBytes(memory.u8, memory.u16, 0, header)) ^ 0xffff);
  const outward = output.to === 'public';
  if (protocol === TCP || protocol === UDP) {
    const field = header + (protocol === TCP ? 16 : 6);
    if (packet.length < field + 2) return { to: output.to, packet };
    if (protocol === TCP || be16(packet, field) !== 0) {
      const pseudo = pseudoHeaderSum(memory.i32[3]!, memory.i32[4]!, protocol, length);
      setWord(packet, field, fold(sumBytes(memory.u8, memory.u16, header, length) + pseudo) ^ 0xffff);
      // A computed sum must be told from none.
      if (protocol === UDP) packet[header + 4] = packet[header + 4]! ^ 0x80;
    }
    if (outward) replace(packet, header, external, client);
  } else if (protocol === ICMP && length >= 8) {
    setWord(packet, header + 2, fold(sumBytes(memory.u8, memory.u16, header, length)) ^ 0xffff);
    if (QUERIES.has(packet[header]!)) {
      if (outward) replace(packet, header + 4, external, client);
    } else if (length >= 28) {
      canonicalQuote(packet, header + 8, outward, external, client);
    }
  }
  return { to: output.to, packet };
}

/** The quote is cut short where it may be: sums over all of it cannot be checked, only followed. */
function canonicalQuote(
  packet: Uint8Array,
  inner: number,
  outward: boolean,
  external: number,
  client: number,
): void {
  const header = (packet[inner]! & 15) << 2;
  if (inner + header > packet.length) return;
  const quoted = aligned(packet.subarray(inner, inner + header));
  setWord(packet, inner + 10, fold(sumBytes(quoted.u8, quoted.u16, 0, header)) ^ 0xffff);
  const l4 = inner + header;
  const protocol = packet[inner + 9]!;
  const at = protocol === TCP ? 16 : protocol === UDP ? 6 : 2;
  const port = protocol === ICMP ? l4 + 4 : l4 + 2;
  if (port + 2 > packet.length) return;
  const replaced = outward && replace(packet, port, external, client);
  const field = l4 + at;
  if (field + 2 > packet.length || (protocol === UDP && be16(packet, field) === 0)) return;
  const sum = packet[field]! | (packet[field + 1]! << 8);
  const followed = replaced ? adjust(sum, delta16(swap16(external), swap16(client))) : sum;
  setWord(packet, field, followed === 0xffff ? 0 : followed);
}

function replace(packet: Uint8Array, at: number, external: number, client: number): boolean {
  if (be16(packet, at) !== external) return false;
  putBe16(packet, at, client);
  return true;
}

/** Writes a 16-bit word that is in wire order. */
function setWord(packet: Uint8Array, at: number, word: number): void {
  packet[at] = word & 0xff;
  packet[at + 1] = word >>> 8;
}

/** Whether both lists hold the same packets; their order matters only for packets to the same side. */
export function sameOutputs(a: readonly Output[], b: readonly Output[]): boolean {
  if (a.length !== b.length) return false;
  if (a.length === 0) return true;
  for (const side of ['private', 'public'] as const) {
    const left = a.filter((output) => output.to === side);
    const right = b.filter((output) => output.to === side);
    if (left.length !== right.length) return false;
    if (left.some((output, i) => Buffer.compare(output.packet, right[i]!.packet) !== 0)) return false;
  }
  return true;
}
