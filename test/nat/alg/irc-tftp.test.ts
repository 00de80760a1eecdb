import { describe, expect, test } from 'vitest';
import { irc } from '../../../src/nat/alg/irc.ts';
import { tftp } from '../../../src/nat/alg/tftp.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { CLIENT, FakeSession, result } from './session.ts';

function packet(text: string) {
  return { text, sequence: 0, syn: false };
}

describe('IRC', () => {
  function read(text: string, direction: 0 | 1 = 0, portFor = (port: number) => port + 1) {
    const session = new FakeSession(direction, 6, 40000, 40000, 6667);
    session.portFor = portFor;
    return { text: result(text, irc(packet(text), session)), wanted: session.wanted };
  }

  // 10.0.0.2 is 167772162, 198.51.100.1 is 3325256705.
  test.each([
    ['CHAT chat 167772162 5000', 'CHAT chat 3325256705 5001'],
    ['SEND file.txt 167772162 5000 1024', 'SEND file.txt 3325256705 5001 1024'],
    ['SEND "my file 1 2" 167772162 5000 7', 'SEND "my file 1 2" 3325256705 5001 7'],
    ['TSEND a 167772162 5000', 'TSEND a 3325256705 5001'],
    ['schat chat 167772162 5000', 'schat chat 3325256705 5001'],
    ['CHAT chat 3325256705 5000', 'CHAT chat 3325256705 5001'],
  ])('DCC %s', (before, after) => {
    const { text, wanted } = read(`PRIVMSG bob :\x01DCC ${before}\x01\r\n`);
    expect(text).toBe(`PRIVMSG bob :\x01DCC ${after}\x01\r\n`);
    expect(wanted).toMatchObject([
      { protocol: 6, address: parseAddress(CLIENT), port: 5000, from: 'anywhere', limit: 8, seconds: 300 },
    ]);
  });

  test('several offers in one segment, shorter and longer', () => {
    const offer = (endpoint: string) => `PRIVMSG a :\x01DCC SEND x ${endpoint} 1\x01\r\n`;
    const ports = (port: number) => (port === 5000 ? 7 : 65000);
    expect(read(offer('167772162 5000') + offer('167772162 80'), 0, ports).text).toBe(
      offer('3325256705 7') + offer('3325256705 65000'),
    );
  });

  test.each([
    '\x01DCC SEND x 167772163 5000 1\x01', // another's address
    '\x01DCC SEND x 4462739458 5000 1\x01', // 2^32 + 167772162
    '\x01DCC SEND x 167772162 0 1 token\x01',
    '\x01DCC SEND x 167772162 65536\x01',
    '\x01DCC RESUME x 167772162 5000\x01',
    'DCC SEND x 167772162 5000\x01',
    '\x01DCC SEND x 167772162 5000', // cut: the port may go on
  ])('leaves %j alone', (text) => {
    expect(read(text)).toEqual({ text, wanted: [] });
  });

  test('offers from outside are not ours to change; without a port the segment is dropped', () => {
    const text = '\x01DCC SEND x 167772162 5000 1\x01';
    expect(read(text, 1)).toEqual({ text, wanted: [] });
    expect(read(text, 0, () => -1).text).toBeNull();
  });
});

describe('TFTP', () => {
  test.each(['\0\x01file\0octet\0', '\0\x02file\0octet\0'])('expects the answer to %j', (text) => {
    const session = new FakeSession(0, 17, 40000, 50000, 69);
    expect(tftp(packet(text), session)).toEqual([]);
    expect(session.wanted).toMatchObject([
      { protocol: 17, address: parseAddress(CLIENT), port: 40000, from: 'peer', own: true, limit: 1 },
    ]);
  });

  test.each([
    ['\0\x03', 0],
    ['\x01\0', 0],
    ['\0', 0],
    ['\0\x01', 1],
  ] as const)('and of %j of direction %i nothing', (text, direction) => {
    const session = new FakeSession(direction, 17, 40000, 50000, 69);
    expect(tftp(packet(text), session)).toEqual([]);
    expect(session.wanted).toEqual([]);
  });
});
