import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nullSwap } from '../../bench/net/contenders/null/null-swap.ts';
import { tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { parseAddress } from '../../src/wire/address.ts';

const CLIENT = '10.77.0.2';
const EXTERNAL = '198.18.0.1';
const SERVER = '198.18.0.2';
const PRIVATE = 0;
const PUBLIC = 1;
/** A multiple of 4, with room for the virtio_net_hdr in front. */
const AT = 64;

/** What becomes of a packet. */
function swapped(packet: Uint8Array, device: number, vnetFlags = 0): Uint8Array {
  const memory = new Uint8Array(4096).fill(0xa5);
  memory[AT - 10] = vnetFlags;
  memory.set(packet, AT);
  nullSwap(memory.buffer, parseAddress(CLIENT)!, parseAddress(EXTERNAL)!)(AT, device);
  expect(memory.subarray(AT + packet.length, AT + packet.length + 64).every((byte) => byte === 0xa5)).toBe(
    true,
  );
  return memory.slice(AT, AT + packet.length);
}

/** With the sum of the pseudo-header in place of its checksum, as a sender leaves it to its device. */
function partial(packet: Uint8Array, field: number): Uint8Array {
  const view = new DataView(packet.slice().buffer);
  let sum = packet[9]! + packet.length - 20;
  for (let at = 12; at < 20; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(20 + field, sum);
  return new Uint8Array(view.buffer);
}

describe('the swap of a null forwarder', () => {
  const tcp = (from: string, to: string, ttl: number) =>
    tcpPacket({ from: `${from}:40000`, to: `${to}:443`, flags: 'PA', payload: 'odd', ttl });
  const udp = (from: string, to: string, ttl: number, payload: Uint8Array | string = 'four') =>
    udpPacket({ from: `${from}:40000`, to: `${to}:53`, payload, ttl });

  it.each([
    ['TCP', tcp, 16],
    ['UDP', udp, 6],
  ] as const)('makes of %s what a sender at the other address would have sent', (_, packet, field) => {
    const out = packet(CLIENT, SERVER, 64);
    expect(swapped(out, PRIVATE)).toEqual(packet(EXTERNAL, SERVER, 63));
    const answer = packet(SERVER, EXTERNAL, 57);
    expect(swapped(answer, PUBLIC)).toEqual(packet(SERVER, CLIENT, 56));
    expect(swapped(partial(out, field), PRIVATE, 1)).toEqual(partial(packet(EXTERNAL, SERVER, 63), field));
  });

  it('leaves a UDP checksum alone that there is not, and the bytes of a later fragment', () => {
    const none = udp(CLIENT, SERVER, 64);
    none[26] = none[27] = 0;
    expect([...swapped(none, PRIVATE).subarray(26, 28)]).toEqual([0, 0]);
    const fragment = udp(CLIENT, SERVER, 64);
    fragment[7] = 1;
    expect(swapped(fragment, PRIVATE).subarray(20)).toEqual(fragment.subarray(20));
  });

  it('keeps every UDP checksum right and none that says "none"', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 2, maxLength: 64 }),
        fc.integer({ min: 2, max: 255 }),
        (data, ttl) => {
          const result = swapped(udp(CLIENT, SERVER, ttl, data), PRIVATE);
          expect(result).toEqual(udp(EXTERNAL, SERVER, ttl - 1, data));
        },
      ),
    );
  });
});
