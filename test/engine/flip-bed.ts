/**
 * A small state with a flow of every kind, packets of each in both directions, and what an engine that takes the state over makes of
 * them. Damage is judged by that: a packet leaves as it does without the damage, as it does without its flow, or not at all.
 */
import { type Forward, masqueradeAll } from '../../src/nat/config.ts';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { chunk, initChunk, sctpPacket } from '../conntrack/sctp-packets.ts';
import { decode } from '../wire/decode.ts';
import { toHex } from '../wire/hex.ts';
import { address, Bed, type BedOptions, EXTERNAL, PRIVATE, PUBLIC } from './bed.ts';
import { FTP } from './helpers-bed.ts';
import { cut, filler } from './packets.ts';

const CLIENT = '10.77.0.2';
const HOST = '10.77.0.3';
const SERVER = '203.0.113.9';
/** Where the server sees the control connection. */
const CONTROL = `${EXTERNAL}:40010`;
const PORTS = { first: 32768, last: 65535 };
const forward: Forward = {
  name: 'web',
  protocol: 6,
  address: 0,
  ports: { first: 8080, last: 8080 },
  sources: [],
  targets: [{ address: address(HOST), port: 80 }],
  affinitySeconds: 0,
  twice: false,
};

export const FLOWS = 8;
export const CAPACITY = 10;
/** Fragments in flight: their first ones have come. */
export const DATAGRAMS = 2;

export const options: BedOptions = {
  flows: CAPACITY,
  helpers: [FTP],
  nat: { ...masqueradeAll(PORTS), forwards: [forward] },
};

export interface Probe {
  /** Which flow it is of: its kind. */
  flow: string;
  device: number;
  packet: Uint8Array;
}

const fragmented = { fragment: 0, id: 0x3131 };
const query = cut(
  udpPacket({ from: `${CLIENT}:40001`, to: `${SERVER}:53`, payload: filler(3000), ...fragmented }),
  1480,
);
const answer = cut(
  udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40001`, payload: filler(3000), ...fragmented }),
  1480,
);

/** An engine that has all the flows; a record that was used is free again, one never was used. `nearEnd`: called before the last of them. */
export function fill(nearEnd: (state: ArrayBuffer) => void = () => {}): Bed {
  const bed = new Bed(options);
  bed.now = 100_000;
  bed.engine.tick(bed.now);
  const tcp = { from: `${CLIENT}:40000`, to: `${SERVER}:80` };
  const back = { from: `${SERVER}:80`, to: `${EXTERNAL}:40000` };
  bed.out(tcpPacket({ ...tcp, flags: 'S', seq: 1000 }));
  bed.in(tcpPacket({ ...back, flags: 'SA', seq: 5000, ack: 1001 }));
  bed.out(tcpPacket({ ...tcp, flags: 'A', seq: 1001, ack: 5001 }));
  bed.out(udpPacket({ from: `${CLIENT}:40001`, to: `${SERVER}:53`, payload: 'ask' }));
  bed.in(udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40001`, payload: 'say' }));
  // A hairpin: by its external endpoint, to the flow above.
  const hairpin = { from: `${HOST}:40002`, to: `${EXTERNAL}:40001` };
  bed.out(udpPacket({ ...hairpin, payload: 'hello' }));
  bed.out(echoPacket({ from: CLIENT, to: SERVER, identifier: 5 }));
  bed.out(sctpPacket({ from: `${CLIENT}:9`, to: `${SERVER}:9`, tag: 0, chunks: [initChunk(77)] }));
  bed.in(sctpPacket({ from: `${SERVER}:9`, to: `${EXTERNAL}:9`, tag: 77, chunks: [initChunk(88, 2)] }));
  bed.in(tcpPacket({ from: `${SERVER}:999`, to: `${EXTERNAL}:8080`, flags: 'S', seq: 9000 }));
  bed.out(tcpPacket({ from: `${HOST}:80`, to: `${SERVER}:999`, flags: 'SA', seq: 3000, ack: 9001 }));
  bed.in(tcpPacket({ from: `${SERVER}:999`, to: `${EXTERNAL}:8080`, flags: 'A', seq: 9001, ack: 3001 }));
  // A helper makes two commands longer.
  const control = { from: `${CLIENT}:40010`, to: `${SERVER}:21` };
  bed.out(tcpPacket({ ...control, flags: 'S', seq: 999 }));
  bed.in(tcpPacket({ from: control.to, to: CONTROL, flags: 'SA', seq: 4999, ack: 1000 }));
  bed.out(tcpPacket({ ...control, flags: 'PA', seq: 1000, ack: 5000, payload: 'PORT 10,77,0,2,200,1\r\n' }));
  bed.out(tcpPacket({ ...control, flags: 'PA', seq: 1022, ack: 5000, payload: 'PORT 10,77,0,2,200,2\r\n' }));
  nearEnd(bed.state);
  bed.out(udpPacket({ from: `${HOST}:40003`, to: `${SERVER}:53` }));
  // Over at once: a SYN and its RST.
  bed.out(tcpPacket({ from: `${HOST}:40009`, to: `${SERVER}:81`, flags: 'S' }));
  bed.in(tcpPacket({ from: `${SERVER}:81`, to: `${EXTERNAL}:40009`, flags: 'RA', ack: 1 }));
  bed.pass(1500);
  bed.out(query[0]!);
  bed.in(answer[0]!);
  return bed;
}

/** From outside first: what nobody began from inside again is then seen to be gone. */
export const probes: readonly Probe[] = [
  { flow: 'tcp', device: PUBLIC, packet: tcpData(`${SERVER}:80`, `${EXTERNAL}:40000`, 5001, 1001) },
  { flow: 'udp', device: PUBLIC, packet: answer[1]! },
  { flow: 'udp', device: PUBLIC, packet: udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40001` }) },
  {
    flow: 'hairpin',
    device: PRIVATE,
    packet: udpPacket({ from: `${CLIENT}:40001`, to: `${EXTERNAL}:40002` }),
  },
  {
    flow: 'icmp',
    device: PUBLIC,
    packet: echoPacket({ from: SERVER, to: EXTERNAL, identifier: 5, reply: true }),
  },
  { flow: 'sctp', device: PUBLIC, packet: sctpData(`${SERVER}:9`, `${EXTERNAL}:9`, 77) },
  { flow: 'forward', device: PUBLIC, packet: tcpData(`${SERVER}:999`, `${EXTERNAL}:8080`, 9001, 3001) },
  { flow: 'helped', device: PUBLIC, packet: tcpData(`${SERVER}:21`, CONTROL, 5000, 1022 + 2) },
  { flow: 'one way', device: PUBLIC, packet: udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40003` }) },
  { flow: 'tcp', device: PRIVATE, packet: tcpData(`${CLIENT}:40000`, `${SERVER}:80`, 1001, 5005) },
  { flow: 'udp', device: PRIVATE, packet: query[1]! },
  { flow: 'udp', device: PRIVATE, packet: udpPacket({ from: `${CLIENT}:40001`, to: `${SERVER}:53` }) },
  { flow: 'hairpin', device: PRIVATE, packet: udpPacket({ from: `${HOST}:40002`, to: `${EXTERNAL}:40001` }) },
  { flow: 'icmp', device: PRIVATE, packet: echoPacket({ from: CLIENT, to: SERVER, identifier: 5 }) },
  { flow: 'sctp', device: PRIVATE, packet: sctpData(`${CLIENT}:9`, `${SERVER}:9`, 88) },
  { flow: 'forward', device: PRIVATE, packet: tcpData(`${HOST}:80`, `${SERVER}:999`, 3001, 9005) },
  { flow: 'helped', device: PRIVATE, packet: tcpData(`${CLIENT}:40010`, `${SERVER}:21`, 1044, 5004) },
  { flow: 'one way', device: PRIVATE, packet: udpPacket({ from: `${HOST}:40003`, to: `${SERVER}:53` }) },
];

function tcpData(from: string, to: string, seq: number, ack: number): Uint8Array {
  return tcpPacket({ from, to, flags: 'PA', seq, ack, payload: 'data' });
}

function sctpData(from: string, to: string, tag: number): Uint8Array {
  return sctpPacket({ from, to, tag, chunks: [chunk(4, 0, 8)] });
}

/** What leaves for each probe, one after the other. */
export function outcomes(bed: Bed): string[] {
  return probes.map(({ device, packet }) => {
    const sent = bed.run([{ device, packet }]);
    return sent.map((one) => `${one.device} ${shown(one.packet)}`).join(' | ');
  });
}

/** A fragment leaves with an identification that the engine chooses. */
function shown(packet: Uint8Array): string {
  const { fragment } = { fragment: ((packet[6]! & 0x3f) << 8) | packet[7]! };
  if (fragment === 0 || !decode(packet).headerChecksumOk) return toHex(packet);
  const copy = packet.slice();
  copy.fill(0, 4, 6);
  copy.fill(0, 10, 12);
  return toHex(copy);
}

/** An engine on a copy of the state, which `damage` has changed first. */
export function adopted(before: Bed, damage: (state: ArrayBuffer) => void, further: BedOptions = {}): Bed {
  const state = before.state.slice(0);
  damage(state);
  return new Bed({ ...options, ...further, after: { state, owned: before.owned.slice(), now: before.now } });
}
