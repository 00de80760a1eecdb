/**
 * Puts the fragments that a gateway sends together again. The kernel reassembles before it translates and cuts anew
 * what it sends; natgate may pass pieces on. Both mean the same datagram, and that is what is compared.
 */
import { be16, putBe16 } from '../../src/wire/bytes.ts';
import { finishHeader } from './build.ts';
import type { Output } from './output.ts';

interface Piece {
  offset: number;
  packet: Uint8Array;
  more: boolean;
}

export class Reassembler {
  private readonly datagrams = new Map<string, Piece[]>();

  /** Whole datagrams among `outputs`, and those that are complete now. */
  take(outputs: readonly Output[]): Output[] {
    const whole: Output[] = [];
    for (const output of outputs) {
      const { packet, to } = output;
      const field = be16(packet, 6);
      if ((field & 0x3fff) === 0) {
        whole.push(output);
        continue;
      }
      const key = `${to} ${packet[9]} ${be16(packet, 4)} ${packet.subarray(12, 20).join('.')}`;
      const pieces = this.datagrams.get(key) ?? [];
      this.datagrams.set(key, pieces);
      pieces.push({ offset: (field & 0x1fff) << 3, packet, more: (field & 0x2000) !== 0 });
      const complete = join(pieces);
      if (complete === null) continue;
      this.datagrams.delete(key);
      whole.push({ to, packet: complete });
    }
    return whole;
  }
}

/** The datagram, or null while pieces are missing, or when they overlap. */
function join(pieces: readonly Piece[]): Uint8Array | null {
  const sorted = [...pieces].sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const [i, piece] of sorted.entries()) {
    if (piece.offset !== end || piece.more !== i < sorted.length - 1) return null;
    end += piece.packet.length - headerOf(piece.packet);
  }
  const first = sorted[0]!.packet;
  const header = headerOf(first);
  const datagram = new Uint8Array(header + end);
  datagram.set(first.subarray(0, header));
  for (const { offset, packet } of sorted) datagram.set(packet.subarray(headerOf(packet)), header + offset);
  putBe16(datagram, 2, datagram.length);
  putBe16(datagram, 6, be16(first, 6) & 0x4000);
  finishHeader(datagram);
  return datagram;
}

const headerOf = (packet: Uint8Array): number => (packet[0]! & 15) << 2;
