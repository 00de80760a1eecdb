/** TCP, UDP and ICMP fields on literal bytes. */
import { expect, test } from 'vitest';
import { be16 } from '../../src/wire/bytes.ts';
import {
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_ID,
  ICMP_MTU,
  ICMP_TYPE_FIELD,
  isIcmpError,
  isIcmpReply,
  isIcmpRequest,
  oppositeIcmpType,
} from '../../src/wire/icmp.ts';
import {
  ACK,
  FIN,
  PSH,
  RST,
  SYN,
  TCP_ACK,
  TCP_CHECKSUM,
  TCP_FLAGS,
  TCP_SEQUENCE,
  TCP_WINDOW,
  tcpHeaderLength,
  URG,
} from '../../src/wire/tcp.ts';
import { UDP_CHECKSUM, UDP_LENGTH } from '../../src/wire/udp.ts';
import { hex } from './hex.ts';

// 48896 > 80, seq 0x01234567, ack 0x89abcdef, offset 6, FIN RST ACK URG, window 0x0123, checksum 0x01b6, MSS 1460.
const TCP = hex('bf 00 00 50  01 23 45 67  89 ab cd ef  60 35 01 23  01 b6 02 01  02 04 05 b4');
// 48896 > 53, 12 bytes, checksum 0x124d.
const UDP = hex('bf 00 00 35  00 0c 12 4d  aa 00 00 ff');
// Fragmentation needed, next-hop MTU 1400.
const TOO_BIG = hex('03 04 12 34  00 00 05 78');
// Echo request, id 0x1234, sequence 0xabcd.
const ECHO = hex('08 00 8e fe  12 34 ab cd  aa 00 00 ff');

function be32(u8: Uint8Array, offset: number): number {
  return be16(u8, offset) * 65536 + be16(u8, offset + 2);
}

test('TCP', () => {
  expect(be32(TCP, TCP_SEQUENCE)).toBe(0x01234567);
  expect(be32(TCP, TCP_ACK)).toBe(0x89abcdef);
  expect(tcpHeaderLength(TCP, 0)).toBe(24);
  expect(TCP[TCP_FLAGS]).toBe(FIN | RST | ACK | URG);
  expect(TCP[TCP_FLAGS]! & (SYN | PSH)).toBe(0);
  expect(be16(TCP, TCP_WINDOW)).toBe(0x0123);
  expect(be16(TCP, TCP_CHECKSUM)).toBe(0x01b6);
});

test('UDP', () => {
  expect(be16(UDP, UDP_LENGTH)).toBe(12);
  expect(be16(UDP, UDP_CHECKSUM)).toBe(0x124d);
});

test('ICMP', () => {
  expect([TOO_BIG[ICMP_TYPE_FIELD], TOO_BIG[ICMP_CODE]]).toEqual([3, 4]);
  expect(be16(TOO_BIG, ICMP_CHECKSUM)).toBe(0x1234);
  expect(be16(TOO_BIG, ICMP_MTU)).toBe(1400);
  expect(be16(ECHO, ICMP_ID)).toBe(0x1234);
});

test('the class of every ICMP type', () => {
  const requests = [8, 13, 15, 17];
  const replies = [0, 14, 16, 18];
  const errors = [3, 4, 11, 12];
  for (let type = 0; type < 256; type++) {
    expect(isIcmpRequest(type), `type ${type}`).toBe(requests.includes(type));
    expect(isIcmpReply(type), `type ${type}`).toBe(replies.includes(type));
    expect(isIcmpError(type), `type ${type}`).toBe(errors.includes(type));
  }
  for (const [i, request] of requests.entries()) {
    expect(oppositeIcmpType(request)).toBe(replies[i]);
    expect(oppositeIcmpType(replies[i]!)).toBe(request);
  }
});
