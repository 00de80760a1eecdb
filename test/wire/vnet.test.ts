import { describe, expect, test } from 'vitest';
import { reasonNames } from '../../src/core/reasons.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import { checkVnet, VNET_HEADER } from '../../src/wire/vnet.ts';
import { corpus } from '../corpus/load.ts';
import { hex, toHex } from './hex.ts';

const TCP = 6;
const UDP = 17;
const ICMP = 1;

function check(vnet: string, protocol: number, header: number, transport: number) {
  const bytes = new Bytes(new ArrayBuffer(16));
  bytes.u8.fill(0xa5);
  bytes.u8.set(hex(vnet), 2);
  const reason = reasonNames[checkVnet(bytes, 2, protocol, header, transport)]!;
  expect([bytes.u8[0], bytes.u8[1], bytes.u8[12]]).toEqual([0xa5, 0xa5, 0xa5]);
  return { reason, after: toHex(bytes.u8.subarray(2, 2 + VNET_HEADER)) };
}

//    flags  gso  hdr_len  gso_size  csum_start  csum_offset
test.each([
  ['no offload', '00 00 0000 0000 0000 0000', TCP, 20, 20],
  ['checksum known to be good', '02 00 0000 0000 0000 0000', UDP, 20, 8],
  ['TCP, partial checksum', '01 00 0000 0000 1400 1000', TCP, 20, 20],
  ['UDP, partial checksum', '01 00 0000 0000 1400 0600', UDP, 20, 8],
  ['partial checksum behind options', '01 00 0000 0000 2000 0600', UDP, 32, 8],
  ['another protocol, no offload', '00 00 0000 0000 0000 0000', 47, 20, 0],
])('%s passes as it is', (_, vnet, protocol, header, transport) => {
  expect(check(vnet, protocol, header, transport)).toEqual({
    reason: 'ok',
    after: vnet.replaceAll(' ', ''),
  });
});

test.each([
  ['TCP super-packet', '01 01 4200 a805 1400 1000', TCP, 20, 32, '01013400a80514001000'],
  ['with ECN', '01 81 0000 a805 1400 1000', TCP, 20, 20, '01812800a80514001000'],
  ['UDP super-packet', '01 05 ffff b805 1400 0600', UDP, 20, 8, '01051c00b80514000600'],
  ['behind options', '01 05 0000 b805 1800 0600', UDP, 24, 8, '01052000b80518000600'],
])('%s: hdr_len is computed, the kernel’s is a hint', (_, vnet, protocol, header, transport, after) => {
  expect(check(vnet, protocol, header, transport)).toEqual({ reason: 'ok', after });
});

test.each([
  ['checksum start in front of the transport header', '01 00 0000 0000 1000 1000', TCP],
  ['checksum start behind it', '01 00 0000 0000 1800 1000', TCP],
  ['checksum offset of UDP on TCP', '01 00 0000 0000 1400 0600', TCP],
  ['checksum offset of TCP on UDP', '01 00 0000 0000 1400 1000', UDP],
  ['partial checksum on ICMP', '01 00 0000 0000 1400 0200', ICMP],
  ['partial checksum on GRE', '01 00 0000 0000 1400 0600', 47],
  ['TCP segmentation of UDP', '01 01 1c00 b805 1400 0600', UDP],
  ['UDP segmentation of TCP', '01 05 2800 b805 1400 1000', TCP],
  ['segmentation of ICMP', '00 05 1c00 b805 0000 0000', ICMP],
  ['TCPv6 segmentation', '01 04 2800 b805 1400 1000', TCP],
  ['segmentation without partial checksum', '00 01 2800 b805 0000 0000', TCP],
  ['segmentation with a checksum known to be good', '02 01 2800 b805 0000 0000', TCP],
  ['segments of 0 bytes', '01 01 2800 0000 1400 1000', TCP],
  ['ECN alone is no segmentation', '01 80 2800 b805 1400 1000', TCP],
])('%s contradicts the packet', (_, vnet, protocol) => {
  expect(check(vnet, protocol, 20, protocol === TCP ? 20 : 8).reason).toBe('bad_offload');
});

describe('corpus', () => {
  test('each case of bad_offload has a vnet header', () => {
    const cases = corpus.filter(({ reason }) => reason === 'bad_offload');
    expect(cases.length).toBeGreaterThan(5);
    for (const { name, vnet } of cases) expect(vnet, name).toHaveLength(VNET_HEADER);
  });
});
