import { expect, test } from 'vitest';
import { echoPacket, NatgateError, readPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';

const from = '10.0.0.2:5000';
const to = '192.0.2.7:53';
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test('what was built is read', () => {
  const udp = readPacket(udpPacket({ from, to, payload: 'question', ttl: 9 }));
  expect(udp).toMatchObject({ protocol: 17, from, to, ttl: 9, flags: '', seq: 0 });
  expect(text(udp.payload)).toBe('question');

  const options = new Uint8Array([1, 1, 1, 0]);
  const segment = { from, to, flags: 'PA', seq: 0xfffffff0, ack: 7, options, payload: 'data' };
  const tcp = readPacket(tcpPacket(segment));
  expect(tcp).toMatchObject({ protocol: 6, from, to, flags: 'PA', seq: 0xfffffff0, ack: 7 });
  expect(text(tcp.payload)).toBe('data');
  expect(readPacket(tcpPacket({ from, to, flags: '' })).flags).toBe('');

  const echo = readPacket(echoPacket({ from: '10.0.0.2', to: '192.0.2.7', identifier: 0x1234 }));
  expect(echo).toMatchObject({ protocol: 1, from: '10.0.0.2', to: '192.0.2.7', type: 8, code: 0 });
  expect([...echo.payload]).toEqual([0x12, 0x34, 0, 1]);
});

test('padding behind the total length is not payload', () => {
  const packet = new Uint8Array(60);
  packet.set(udpPacket({ from, to, payload: 'x' }));
  expect(text(readPacket(packet).payload)).toBe('x');
});

test('what is too short for its headers is refused', () => {
  const packet = udpPacket({ from, to });
  for (let length = 0; length < packet.length; length++) {
    expect(() => readPacket(packet.subarray(0, length)), `${length}`).toThrow(NatgateError);
  }
});
