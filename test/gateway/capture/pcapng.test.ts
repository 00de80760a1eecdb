import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readCapture } from '../../../src/gateway/capture/capture-file.ts';
import {
  enhancedPacket,
  INBOUND,
  interfaceDescription,
  interfaceStatistics,
  OUTBOUND,
  sectionHeader,
} from '../../../src/gateway/capture/pcapng.ts';
import { tcpPacket, udpPacket } from '../../../src/testing/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'ngtest-pcapng-'));
afterAll(() => rmSync(folder, { recursive: true }));

const query = udpPacket({ from: '10.0.0.2:4000', to: '198.18.0.2:9999', payload: 'abc' });
const syn = tcpPacket({ from: '10.0.0.2:4000', to: '198.18.0.2:80', flags: 'S', seq: 1 });
const TIME = 1_700_000_000_123.456;

function capture(): Buffer {
  return Buffer.concat([
    sectionHeader('natgate test'),
    interfaceDescription('eth1', 'private', 65_535),
    interfaceDescription('eth0', 'public', 65_535),
    enhancedPacket({
      interface: 0,
      time: TIME,
      direction: INBOUND,
      packet: query,
      length: query.length,
      comments: ['flow 0.1.1, 10.0.0.2:4000 -> 198.18.0.1:4000'],
    }),
    enhancedPacket({
      interface: 1,
      time: TIME + 0.001,
      direction: OUTBOUND,
      packet: syn.subarray(0, 30),
      length: syn.length,
      comments: [],
    }),
    interfaceStatistics({ interface: 0, started: TIME, ended: TIME + 1, received: 1, dropped: 7 }),
  ]);
}

describe('bytes', () => {
  test('a section header, and an interface', () => {
    expect(sectionHeader('ng').toString('hex')).toBe(
      [
        '0a0d0d0a', // type
        '28000000', // 40 bytes
        '4d3c2b1a', // byte order
        '01000000', // version 1.0
        'ffffffffffffffff', // length not known
        '04000200', // shb_userappl, 2 bytes
        '6e670000',
        '00000000', // end of options
        '28000000',
      ].join(''),
    );
    expect(interfaceDescription('eth1', 'in', 0).toString('hex')).toBe(
      [
        '01000000',
        '30000000',
        'e400', // LINKTYPE_IPV4
        '0000',
        '00000000',
        '02000400',
        '65746831', // if_name
        '03000200',
        '696e0000', // if_description
        '09000100',
        '09000000', // if_tsresol: nanoseconds
        '00000000',
        '30000000',
      ].join(''),
    );
  });

  test('a packet', () => {
    const block = enhancedPacket({
      interface: 1,
      time: 1_700_000_000_000.5,
      direction: OUTBOUND,
      packet: Uint8Array.of(0x45, 1, 2, 3, 4),
      length: 60,
      comments: ['abc'],
    });
    const ns = 1_700_000_000_000_500_000n.toString(16).padStart(16, '0');
    const little = (text: string) => Buffer.from(text, 'hex').reverse().toString('hex');
    expect(block.toString('hex')).toBe(
      [
        '06000000',
        '3c000000',
        '01000000', // interface
        little(ns.slice(0, 8)),
        little(ns.slice(8)),
        '05000000', // captured
        '3c000000', // of
        '4501020304000000',
        '01000300',
        '61626300', // comment
        '02000400',
        '02000000', // outbound
        '00000000',
        '3c000000',
      ].join(''),
    );
  });
});

test('tshark reads all of it, and nothing is malformed', () => {
  const file = join(folder, 'one.pcapng');
  writeFileSync(file, capture());
  const tshark = (...args: string[]) =>
    execFileSync('tshark', ['-r', file, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  expect(tshark('-Y', '_ws.malformed')).toBe('');
  const fields = [
    'frame.time_epoch',
    'frame.interface_name',
    'frame.comment',
    'frame.packet_flags_direction',
    'ip.src',
    'frame.len',
    'frame.cap_len',
  ];
  const rows = tshark('-T', 'fields', ...fields.flatMap((field) => ['-e', field]))
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
  expect(rows).toEqual([
    [
      expect.stringMatching(/^1700000000\.123456/),
      'eth1',
      'flow 0.1.1, 10.0.0.2:4000 -> 198.18.0.1:4000',
      '0x00000001',
      '10.0.0.2',
      '31',
      '31',
    ],
    [expect.stringMatching(/^1700000000\.12345/), 'eth0', '', '0x00000002', '10.0.0.2', '40', '30'],
  ]);
});

test('tcpdump reads it from a pipe', () => {
  const { stdout, status } = spawnSync('tcpdump', ['-nr', '-'], { input: capture(), encoding: 'utf8' });
  expect(status).toBe(0);
  expect(stdout).toContain('IP 10.0.0.2.4000 > 198.18.0.2.9999');
});

describe('captures of others', () => {
  test('our own', () => {
    const { packets, truncated, foreign } = readCapture(capture());
    expect([truncated, foreign]).toEqual([1, 0]);
    expect(packets).toEqual([
      { time: expect.closeTo(TIME, 3), packet: query, interface: 'eth1', direction: 'in' },
    ]);
  });

  const ethernet = (...tags: number[]) =>
    Buffer.concat([Buffer.alloc(12), Buffer.from([...tags, 0x08, 0x00]), query, Buffer.alloc(20)]);
  const cooked = Buffer.concat([Buffer.alloc(14), Buffer.from([0x08, 0x00]), query]);
  const frames: [string, number, Uint8Array][] = [
    ['raw IP', 101, query],
    ['Ethernet, with padding', 1, ethernet()],
    ['Ethernet with a VLAN tag', 1, ethernet(0x81, 0, 0, 5)],
    ['Linux cooked', 113, cooked],
  ];
  for (const little of [true, false]) {
    for (const [magic, unit] of [
      [0xa1b2c3d4, 1000],
      [0xa1b23c4d, 1e6],
    ] as const) {
      test.each(frames)(
        `pcap, ${little ? 'little' : 'big'} endian, ${unit} a ms: %s`,
        (_, linkType, frame) => {
          const head = new DataView(new ArrayBuffer(40));
          const [seconds, rest] = [1_700_000_000, 5 * unit];
          for (const [at, value] of [
            [0, magic],
            [16, 65_535],
            [20, linkType],
            [24, seconds],
            [28, rest],
            [32, frame.length],
            [36, frame.length],
          ] as const) {
            head.setUint32(at, value, little);
          }
          const bytes = Buffer.concat([new Uint8Array(head.buffer), frame, Buffer.alloc(7)]);
          expect(readCapture(bytes).packets).toEqual([
            { time: 1_700_000_000_005, packet: query, interface: '', direction: 'unknown' },
          ]);
        },
      );
    }
  }

  test('what tcpdump writes', () => {
    const file = join(folder, 'tcpdump.pcap');
    spawnSync('tcpdump', ['-nr', '-', '-w', file, 'udp'], { input: capture() });
    const { packets } = readCapture(execFileSync('cat', [file]));
    expect(packets.map(({ packet }) => packet)).toEqual([query]);
  });

  test.each([
    ['nothing', Buffer.alloc(0), /too short/],
    ['text', Buffer.from('this is no capture, but a text that is long enough'), /neither pcap nor pcapng/],
    [
      'an unknown link type',
      Buffer.concat([sectionHeader('x'), patched(interfaceDescription('x', 'y', 0), 8, 147)]),
      /link type 147/,
    ],
    [
      'an impossible block',
      Buffer.concat([sectionHeader('x'), patched(interfaceDescription('x', 'y', 0), 4, 5)]),
      /impossible length/,
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => readCapture(bytes)).toThrow(message);
  });

  test('cut off anywhere, or with any byte changed: what can be read, or an error, and no more', () => {
    const whole = capture();
    for (let at = 0; at < whole.length; at++) {
      const broken = Buffer.from(whole);
      broken[at]! ^= 0xff;
      for (const bytes of [whole.subarray(0, at), broken]) {
        try {
          readCapture(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'capture_invalid' });
        }
      }
    }
  });
});

function patched(block: Buffer, at: number, value: number): Buffer {
  block[at] = value;
  return block;
}
