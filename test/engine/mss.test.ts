/** MSS clamping in the engine: SYN and SYN/ACK, both directions, to the smaller MTU of the path. */
import { describe, expect, test } from 'vitest';
import { tcpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { hex } from '../wire/hex.ts';
import { Bed, type BedOptions, EXTERNAL, PRIVATE, PUBLIC, ROUTES, route, to, vnetHeader } from './bed.ts';
import { complete, partial } from './packets.ts';

const SERVER = '203.0.113.9';
const options = hex('020405b4 01010402');
const syn = tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'S', seq: 1, options });
const synAck = tcpPacket({
  from: `${SERVER}:80`,
  to: `${EXTERNAL}:40000`,
  flags: 'SA',
  seq: 9,
  ack: 2,
  options,
});

function mssOf(packet: Uint8Array): number {
  const seen = decode(packet);
  expect(seen).toMatchObject({ headerChecksumOk: true, checksumOk: true });
  expect(seen.body.subarray(24, 28)).toEqual(options.subarray(4));
  return new DataView(packet.buffer).getUint16(42);
}

/** MSS of a SYN going out and of its answer coming in. */
function handshake(bed: Bed): [number, number] {
  const [out] = to(PUBLIC, bed.out(syn));
  const [back] = to(PRIVATE, bed.in(synAck));
  return [mssOf(out!), mssOf(back!)];
}

test.each<[string, BedOptions, number]>([
  ['the same MTUs', {}, 1460],
  ['a smaller public one', { mtu: [1500, 1400] }, 1360],
  ['a smaller private one', { mtu: [1280, 1500] }, 1240],
  ['larger ones: nothing is raised', { mtu: [9000, 9000] }, 1460],
  [
    'a smaller one of the route to the server',
    { routes: [...ROUTES, route(`${SERVER}/32`, PUBLIC, '198.18.0.254', 1300)] },
    1260,
  ],
  [
    'a smaller one of the route to the client',
    { routes: [...ROUTES, route('10.77.0.2/32', PRIVATE, '', 1350)] },
    1310,
  ],
  [
    'a route larger than its device',
    { mtu: [1500, 1400], routes: [...ROUTES, route(`${SERVER}/32`, PUBLIC, '', 1450)] },
    1360,
  ],
  ['switched off', { mtu: [1500, 1400], clampMss: false }, 1460],
])('%s', (_, bedOptions, expected) => {
  expect(handshake(new Bed(bedOptions))).toEqual([expected, expected]);
});

test('new MTUs count at once', () => {
  const bed = new Bed();
  expect(handshake(bed)).toEqual([1460, 1460]);
  bed.engine.setDevice(PUBLIC, {
    address: new Int32Array(Uint8Array.from([198, 18, 0, 1]).buffer)[0]!,
    mtu: 1000,
  });
  expect(mssOf(to(PUBLIC, bed.out(syn))[0]!)).toBe(960);
});

test('a SYN with a partial checksum', () => {
  const bed = new Bed({ mtu: [1500, 1400] });
  const vnet = vnetHeader({ flags: 1, csumStart: 20, csumOffset: 16 });
  const [sent] = bed.out(partial(syn), vnet);
  expect(sent!.vnet).toEqual(vnet);
  expect(mssOf(complete(sent!.packet))).toBe(1360);
});

describe('not touched', () => {
  test('data segments whose bytes look like an option', () => {
    const bed = new Bed({ mtu: [1500, 1400] });
    handshake(bed);
    const packet = tcpPacket({
      from: '10.77.0.2:40000',
      to: `${SERVER}:80`,
      flags: 'PA',
      seq: 2,
      ack: 10,
      options,
    });
    const [sent] = to(PUBLIC, bed.out(packet));
    expect(mssOf(sent!)).toBe(1460);
  });
});
