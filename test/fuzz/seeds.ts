/**
 * Good packets, and the corpus of bad ones: what mutants are made from. Addresses and ports are those that traffic.ts puts
 * into most copies again, from small sets, so that mutants meet flows.
 */
import {
  echoPacket,
  icmpError,
  icmpPacket,
  ipPacket,
  tcpPacket,
  udpPacket,
} from '../../src/testing/packets.ts';
import { corpus } from '../corpus/load.ts';
import { cut, filler, partial, rawPacket } from '../engine/packets.ts';
import { address, PRIVATE, PUBLIC } from './configurations.ts';

export interface Seed {
  device: number;
  vnet: Uint8Array | undefined;
  packet: Uint8Array;
}

const CLIENT = '10.77.0.2';
const SERVER = '203.0.113.9';
const EXTERNAL = '198.18.0.1';

const mss = [2, 4, 5, 0xb4];
const scale = [1, 3, 3, 7];
const permitted = [1, 1, 4, 2];
const stamps = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0];
const sack = [1, 1, 5, 18, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 12, 0, 0, 0, 14, 0];

function vnet(gso: number, gsoSize: number, header: number, field: number): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(10));
  bytes.setUint8(0, 1);
  bytes.setUint8(1, gso);
  bytes.setUint16(4, gsoSize, true);
  bytes.setUint16(6, header, true);
  bytes.setUint16(8, field, true);
  return new Uint8Array(bytes.buffer);
}

function from(device: number, packets: Uint8Array[]): Seed[] {
  return packets.map((packet) => ({ device, packet, vnet: undefined }));
}

const ends = { from: `${CLIENT}:33010`, to: `${SERVER}:80` };
const udpEnds = { from: `${CLIENT}:33010`, to: `${SERVER}:53` };
const back = { from: `${SERVER}:80`, to: `${EXTERNAL}:33010` };
const tcp = (flags: string, seq: number, ack: number, payload = '', options: number[] = []) =>
  tcpPacket({ ...ends, flags, seq, ack, payload, options: Uint8Array.from(options) });

const conversation = [
  tcp('S', 1000, 0, '', [...mss, ...permitted, ...stamps, ...scale]),
  tcp('S', 1000, 0),
  tcp('A', 1001, 5001, '', stamps),
  tcp('PA', 1001, 5001, 'GET / HTTP/1.0\r\n\r\n', stamps),
  tcp('A', 1019, 6001, '', sack),
  tcp('FA', 1019, 6001),
  tcp('A', 1020, 6002),
  tcp('R', 1020, 0),
  tcp('RA', 1020, 6002),
  tcp('SA', 1000, 1001, '', mss),
  tcp('PA', 1001, 5001, 'PORT 10,77,0,2,129,10\r\n'),
  tcp('PA', 1001, 5001, 'EPRT |1|10.77.0.2|33034|\r\n'),
  tcp('PA', 1001, 5001, 'PRIVMSG bob :\u0001DCC SEND file 172818434 33040 100\u0001\r\n'),
];

const answers = [
  tcpPacket({ ...back, flags: 'SA', seq: 5000, ack: 1001, options: Uint8Array.from([...mss, ...scale]) }),
  tcpPacket({ ...back, flags: 'A', seq: 5001, ack: 1019, payload: filler(300) }),
  tcpPacket({
    ...back,
    flags: 'PA',
    seq: 5001,
    ack: 1019,
    payload: '227 Entering Passive Mode (203,0,113,9,4,1)\r\n',
  }),
  tcpPacket({
    ...back,
    flags: 'PA',
    seq: 5001,
    ack: 1019,
    payload: '229 Entering Extended Passive Mode (|||1025|)\r\n',
  }),
  tcpPacket({ ...back, flags: 'FA', seq: 6001, ack: 1020 }),
  tcpPacket({ ...back, flags: 'R', seq: 5001 }),
  tcpPacket({ ...back, flags: 'S', seq: 7000 }),
];

const dns = Uint8Array.from([
  0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 2, 0x64, 0x65, 0, 0, 1, 0, 1,
]);
const invite =
  'INVITE sip:bob@203.0.113.9 SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.0.2:5060;branch=z9hG4bK1\r\nContact: <sip:a@10.77.0.2:5060>\r\n' +
  'Content-Type: application/sdp\r\nContent-Length: 63\r\n\r\nv=0\r\no=a 1 1 IN IP4 10.77.0.2\r\nc=IN IP4 10.77.0.2\r\nm=audio 33020 RTP/AVP 0\r\n';
const datagrams = [
  udpPacket({ ...udpEnds, payload: dns }),
  udpPacket({ ...udpEnds, payload: filler(7), fragment: 0 }),
  udpPacket({ ...udpEnds }),
  udpPacket({ ...udpEnds, payload: filler(1200), fragment: 0 }),
  udpPacket({ ...udpEnds, to: `${SERVER}:69`, payload: '\u0000\u0001file\u0000octet\u0000' }),
  udpPacket({ ...udpEnds, from: `${CLIENT}:5060`, to: `${SERVER}:5060`, payload: invite }),
  noChecksum(udpPacket({ ...udpEnds, payload: filler(9) })),
  // Hairpin, and the gateway itself.
  udpPacket({ ...udpEnds, to: `${EXTERNAL}:33010` }),
  udpPacket({ ...udpEnds, to: '10.77.0.1:53' }),
];

function noChecksum(packet: Uint8Array): Uint8Array {
  packet.fill(0, 26, 28);
  return packet;
}

const echo = { from: CLIENT, to: SERVER, identifier: 7 };
const queries = [
  echoPacket({ ...echo, payload: filler(56) }),
  echoPacket({ ...echo, payload: filler(2001), fragment: 0 }),
  echoPacket({ ...echo, reply: true }),
  icmpPacket({ from: CLIENT, to: SERVER, type: 13, code: 0, body: filler(16) }),
  icmpPacket({ from: CLIENT, to: SERVER, type: 17, code: 0, body: filler(8) }),
];

const others = [
  rawPacket({
    src: CLIENT,
    dst: SERVER,
    protocol: 47,
    body: Uint8Array.from([0x30, 1, 0x88, 0x0b, 0, 8, 0, 1, 0, 0, 0, 1]),
  }),
  rawPacket({ src: CLIENT, dst: SERVER, protocol: 47, body: Uint8Array.from([0, 0, 8, 0, 1, 2, 3, 4]) }),
  rawPacket({ src: CLIENT, dst: SERVER, protocol: 50, body: filler(40) }),
  // SCTP INIT, COOKIE ECHO, DATA, ABORT.
  ...[1, 10, 0, 6].map((chunk) =>
    rawPacket({
      src: CLIENT,
      dst: SERVER,
      protocol: 132,
      body: Uint8Array.from([
        0x80,
        0xf2,
        0,
        80,
        0,
        0,
        0,
        chunk === 1 ? 0 : 9,
        0,
        0,
        0,
        0,
        chunk,
        0,
        0,
        20,
        ...filler(16),
      ]),
    }),
  ),
  rawPacket({
    src: CLIENT,
    dst: SERVER,
    protocol: 17,
    body: filler(16),
    options: Uint8Array.from([7, 7, 4, 0, 0, 0, 0, 0]),
  }),
  ipPacket({ from: address(CLIENT), to: address(SERVER), protocol: 255, payload: new Uint8Array(0) }),
];

const quotes = [
  [3, 3],
  [3, 4],
  [11, 0],
  [12, 0],
  [4, 0],
  [3, 1],
].map(([type, code]) =>
  icmpError({
    from: '192.0.2.1',
    to: EXTERNAL,
    type: type!,
    code: code!,
    rest: 1400,
    packet: udpPacket({ from: `${EXTERNAL}:33010`, to: udpEnds.to, payload: filler(64) }),
    quote: 28 + 8 * code!,
  }),
);

const large = udpPacket({ ...udpEnds, payload: filler(3000), fragment: 0, id: 77 });

const superPackets: Seed[] = [
  {
    device: PRIVATE,
    packet: partial(tcpPacket({ ...ends, flags: 'PA', seq: 1001, ack: 5001, payload: filler(4000) })),
    vnet: vnet(1, 1400, 20, 16),
  },
  {
    device: PRIVATE,
    packet: partial(
      tcpPacket({ ...ends, flags: 'A', seq: 1001, ack: 5001, payload: filler(60_000), fragment: 0 }),
    ),
    vnet: vnet(1, 500, 20, 16),
  },
  {
    device: PUBLIC,
    packet: partial(tcpPacket({ ...back, flags: 'A', seq: 5001, ack: 1001, payload: filler(2900) })),
    vnet: vnet(0x81, 1448, 20, 16),
  },
  {
    device: PRIVATE,
    packet: partial(udpPacket({ ...udpEnds, payload: filler(2500), fragment: 0 })),
    vnet: vnet(5, 600, 20, 6),
  },
  {
    device: PRIVATE,
    packet: partial(udpPacket({ ...udpEnds, payload: filler(100) })),
    vnet: vnet(0, 0, 20, 6),
  },
  {
    device: PUBLIC,
    packet: partial(tcpPacket({ ...back, flags: 'SA', seq: 5000, ack: 1001 })),
    vnet: vnet(0, 0, 20, 16),
  },
];

export const seeds: readonly Seed[] = [
  // Several times, since conversations go furthest.
  ...from(PRIVATE, [...conversation, ...conversation, ...conversation, ...datagrams, ...datagrams]),
  ...from(PUBLIC, answers),
  ...from(PRIVATE, [...queries, ...others, ...cut(large, 1480), ...cut(large, 24).slice(0, 5)]),
  ...from(PUBLIC, quotes),
  ...superPackets,
  ...corpus.map(({ side, packet, vnet: header }) => ({
    device: side === 'private' ? PRIVATE : PUBLIC,
    packet,
    vnet: header,
  })),
];
