/** Datagrams that are cut: the question of a private host, its answer, and either put together again. */
import { udpPacket } from '../../src/testing/index.ts';
import { type Decoded, decode, reassemble } from '../wire/decode.ts';
import { type Arriving, EXTERNAL } from './bed.ts';
import { filler } from './packets.ts';

export const CLIENT = '10.77.0.2';
export const SERVER = '203.0.113.9';
export const loose = { fragment: 0, id: 0x3131 };
export const query = (size: number, seed = 0, fields = {}) =>
  udpPacket({
    from: `${CLIENT}:40000`,
    to: `${SERVER}:53`,
    payload: filler(size, seed),
    ...loose,
    ...fields,
  });
export const answer = (size: number, seed = 0) =>
  udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000`, payload: filler(size, seed), ...loose });

/** The datagram of fragments in any order. */
export function whole(fragments: Uint8Array[]): Decoded {
  const sorted = [...fragments].sort((a, b) => decode(a).offset - decode(b).offset);
  return decode(reassemble(sorted));
}

export const arriving = (device: number, packets: Uint8Array[]): Arriving[] =>
  packets.map((packet) => ({ device, packet }));
