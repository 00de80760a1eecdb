/** Bytes that other programs wrote, or an engine that may have gone mad: captures, messages of the kernel, rings, states, snapshots. */
import { Conntrack } from '../../../../src/conntrack/conntrack.ts';
import { crc32 } from '../../../../src/core/crc32.ts';
import { ARENA_BYTES } from '../../../../src/engine/arena.ts';
import { Engine } from '../../../../src/engine/engine.ts';
import { EventReader, type EventSizes, eventBytes, formatEvents } from '../../../../src/engine/event-ring.ts';
import { formatState, openState, stateBytes, TABLE_OFFSET } from '../../../../src/engine/state.ts';
import { formatTap, tapBytes, tapPlaces } from '../../../../src/engine/tap-ring.ts';
import { readCapture } from '../../../../src/gateway/capture/capture-file.ts';
import { OfflineGateway } from '../../../../src/gateway/capture/offline.ts';
import {
  type CapturedPacket,
  enhancedPacket,
  interfaceDescription,
  sectionHeader,
} from '../../../../src/gateway/capture/pcapng.ts';
import { examine } from '../../../../src/gateway/config/load.ts';
import { Decoder } from '../../../../src/gateway/events/decode.ts';
import { dropOf } from '../../../../src/gateway/observe/drops.ts';
import { explain } from '../../../../src/gateway/observe/explain.ts';
import { packetLine } from '../../../../src/gateway/observe/packet-line.ts';
import { memorySource, TapReader } from '../../../../src/gateway/observe/tap-reader.ts';
import { decodeAddress } from '../../../../src/host/netlink/addresses.ts';
import { decodeLink } from '../../../../src/host/netlink/links.ts';
import { type Message, readMessages } from '../../../../src/host/netlink/message.ts';
import { decodeNeighbour } from '../../../../src/host/netlink/neighbours.ts';
import { decodeNatChain } from '../../../../src/host/netlink/nf-tables.ts';
import { decodeRoute, decodeRule } from '../../../../src/host/netlink/routes.ts';
import { decodeSocket } from '../../../../src/host/netlink/sock-diag.ts';
import { decodeFilter, decodeIngressQdisc } from '../../../../src/host/netlink/tc.ts';
import { OWNED_BYTES } from '../../../../src/nat/owned.ts';
import { tcpPacket, udpPacket } from '../../../../src/testing/packets.ts';
import { parseAddress, parsePrefix } from '../../../../src/wire/address.ts';
import { checkInvariants } from '../../../engine/invariants.ts';
import { configurations } from '../../configurations.ts';
import { dumps } from '../../dumps.ts';
import { Traffic } from '../../traffic.ts';
import { World } from '../../world.ts';
import { must, refused, type Target } from '../target.ts';

const NAMES = {
  devices: [
    { name: 'eth1', side: 'private' as const },
    { name: 'eth0', side: 'public' as const },
  ],
  rules: ['masquerade'],
  firewallRules: ['default'],
  clients: { nameOf: () => '' },
};
const TCP = tcpPacket({ from: '10.77.0.2:40000', to: '203.0.113.9:80', flags: 'S' });
const UDP = udpPacket({ from: '10.77.0.2:40000', to: '203.0.113.9:53', payload: 'query' });

function pcap(packets: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt32LE(65_535, 16);
  head.writeUInt32LE(101, 20);
  const records = packets.map((packet) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(1_700_000_000, 0);
    record.writeUInt32LE(packet.length, 8);
    record.writeUInt32LE(packet.length, 12);
    return Buffer.concat([record, packet]);
  });
  return Buffer.concat([head, ...records]);
}

function pcapng(): Buffer {
  const captured: CapturedPacket = {
    interface: 0,
    time: 1_700_000_000_000,
    packet: TCP,
    length: TCP.length,
    direction: 1,
    comments: ['flow 0.1.1'],
  };
  return Buffer.concat([
    sectionHeader('natgate'),
    interfaceDescription('eth1', 'private', 65_535),
    enhancedPacket(captured),
  ]);
}

const { options } = examine({
  name: 'x',
  stateRoot: '/run/x',
  flags: {},
  file: { path: 'natgate.yaml', text: 'private: eth1\npublic: eth0\n' },
});

const capture: Target = {
  name: 'capture',
  files: [
    'gateway/capture/capture-file.ts',
    'gateway/capture/offline.ts',
    'gateway/observe/packet-line.ts',
    'gateway/observe/explain.ts',
  ],
  form: 'bytes',
  most: 8192,
  seeds: () => [pcap([TCP, UDP]), pcapng()],
  run: (input) => {
    const found = refused(() => readCapture(input));
    if (found === null) return;
    // Making a gateway costs more than all else; of a capture that says the same each time one is enough.
    const gateway = found.packets.length > 0 && input.length % 16 === 0 ? offline() : null;
    for (const packet of found.packets) {
      must(packet.packet.length >= 20 && packet.packet[0]! >> 4 === 4, 'no-packet');
      packetLine(packet.packet, packet.packet.length);
      const device = gateway?.deviceOf(packet, null) ?? null;
      if (gateway !== null && device !== null) JSON.stringify(gateway.handle(packet, device));
    }
  },
};

function offline(): OfflineGateway {
  return new OfflineGateway({
    options: { ...options!, flows: 64 },
    networks: [[parsePrefix('10.77.0.0/24')!]],
    publicAddress: parseAddress('198.18.0.1')!,
    mtu: 1500,
  });
}

const DECODERS: readonly ((message: Message) => unknown[])[] = [
  decodeAddress,
  decodeLink,
  decodeNeighbour,
  decodeNatChain,
  decodeRoute,
  decodeRule,
  decodeSocket,
  (message) => decodeFilter(message, 'ingress'),
  (message) => decodeIngressQdisc(message, 3),
];

const netlink: Target = {
  name: 'netlink',
  files: ['host/netlink'],
  form: 'bytes',
  seeds: () => dumps,
  run: (input) => {
    for (const message of readMessages(Buffer.from(input))) {
      for (const decode of DECODERS) {
        for (const found of decode(message)) JSON.stringify(found);
      }
    }
  },
};

const TAP_WORDS = 2 ** 12;
const { drops } = tapPlaces(TAP_WORDS);
const tapMemory = new ArrayBuffer(tapBytes(TAP_WORDS));
const tapHeader = new Uint8Array(tapMemory, 0, 256);
const tapRing = new Uint8Array(tapMemory, drops.first * 4, 8192);

/** The header and the first records of an engine's own ring. */
function tapOf(): Buffer {
  formatTap(tapMemory, TAP_WORDS);
  const tap = { memory: tapMemory, clock: () => 1_700_000_000_000 };
  const world = new World({ ...configurations[0]!, engine: { tap } });
  const traffic = new Traffic(1, world.configuration);
  while (world.arrived < 12) traffic.arrive(world);
  world.run(10);
  return Buffer.concat([tapHeader, tapRing.subarray(0, 2048)]);
}

const tap: Target = {
  name: 'tap',
  files: [
    'gateway/observe/tap-reader.ts',
    'engine/tap-record.ts',
    'gateway/observe/drops.ts',
    'gateway/observe/explain.ts',
    'gateway/observe/tap-names.ts',
    'gateway/observe/resource-text.ts',
    'gateway/observe/packet-changes.ts',
  ],
  form: 'bytes',
  most: 256 + 8192,
  seeds: () => [tapOf()],
  run: (input) => {
    tapHeader.fill(0);
    tapRing.fill(0);
    tapHeader.set(input.subarray(0, 256));
    tapRing.set(input.subarray(256, 256 + 8192));
    refused(() => {
      const reader = new TapReader(memorySource(tapMemory), 'drops', 'oldest');
      for (let n = 0; ; n++) {
        must(n < 100, 'endless');
        const { records, more } = reader.read();
        for (const record of records.slice(0, 50)) {
          JSON.stringify(dropOf(record, NAMES));
          JSON.stringify(explain(record, records.slice(0, 2), NAMES));
        }
        if (!more) return null;
      }
    });
  },
};

const EVENT_SIZES: EventSizes = { records: 64, flows: 4, slots: 4 };
const eventMemory = new ArrayBuffer(eventBytes(EVENT_SIZES));
const eventBytesOf = new Uint8Array(eventMemory);

const events: Target = {
  name: 'events',
  files: ['engine/event-ring.ts', 'gateway/events/decode.ts'],
  form: 'bytes',
  most: eventMemory.byteLength,
  seeds: () => {
    formatEvents(eventMemory, EVENT_SIZES, 1_700_000_000_000);
    const empty = Buffer.from(eventBytesOf);
    const words = new Int32Array(eventMemory);
    const start = 4096 / 4;
    new Float64Array(eventMemory)[16 / 2] = 16;
    for (let n = 0; n < 16; n++)
      words.set([n + 1, n, 0, 0x4278, 1, 2, 0x10006, 0, 0x0200000a], start + n * 32);
    return [empty, Buffer.from(eventBytesOf)];
  },
  run: (input) => {
    eventBytesOf.fill(0);
    eventBytesOf.set(input.subarray(0, eventBytesOf.length));
    const decoder = new Decoder({ rules: ['masquerade'], clients: { nameOf: () => '' } });
    refused(() => {
      const reader = new EventReader(eventMemory);
      const { head } = reader;
      for (let n = 0; reader.take(); n++) {
        must(n < head && n <= EVENT_SIZES.records, 'endless');
        JSON.stringify(decoder.decode(reader.record, reader.recordFloats, 0));
      }
      return reader.takeLost();
    });
  },
};

const conntrack = new Conntrack({ now: 1000, capacity: 16, seed: [1, 2] });
for (const packet of [TCP, UDP]) conntrack.track(packet, 1000);

const snapshot: Target = {
  name: 'snapshot',
  files: ['conntrack/snapshot.ts'],
  form: 'bytes',
  most: 4096,
  seeds: () => [conntrack.snapshot(1000), new Conntrack({ now: 0 }).snapshot(0)],
  run: (input) => {
    // The checksum is right, else there would be little to see.
    const bytes = Buffer.from(input);
    if (bytes.length >= 4 && bytes.length % 4 === 0) {
      bytes.writeInt32LE(crc32(bytes, 0, bytes.length - 4) | 0, bytes.length - 4);
    }
    const restored = refused(() => Conntrack.restore(bytes, { now: 2000, capacity: 64 }));
    if (restored === null) return;
    for (const flow of restored.flows(2000)) JSON.stringify(flow);
    const again = Conntrack.restore(restored.snapshot(2000), { now: 2000, capacity: 64 });
    must(again.size === restored.size, 'size', () => `${restored.size}, then ${again.size}`);
    for (const packet of [TCP, UDP]) restored.track(packet, 3000);
    restored.expire(10_000_000);
  },
};

const FLOWS = 8;
const CONFIGURATION = { ...configurations[0]!, flows: FLOWS };
const arena = new ArrayBuffer(ARENA_BYTES);
const state = new ArrayBuffer(stateBytes(FLOWS));
const stateHeader = new Uint8Array(state, 0, 64);
const table = new Uint8Array(state, TABLE_OFFSET);

const stateTarget: Target = {
  name: 'state',
  files: ['engine/state.ts', 'engine/adopt.ts', 'conntrack/flow-table.ts'],
  form: 'bytes',
  most: 64 + table.length,
  seeds: () => {
    const world = new World(CONFIGURATION, state);
    const traffic = new Traffic(1, CONFIGURATION);
    for (let n = 0; n < 20; n++) {
      while (world.arrived < 8) traffic.arrive(world);
      world.run(n);
    }
    return [Buffer.concat([stateHeader, table])];
  },
  run: (input) => {
    new Uint8Array(state).fill(0);
    formatState(state, FLOWS, [1, 2]);
    stateHeader.set(input.subarray(0, 64));
    table.set(input.subarray(64, 64 + table.length));
    const owned = new ArrayBuffer(OWNED_BYTES);
    const { ports, externals, mtu } = CONFIGURATION;
    const found = refused(() => {
      const opened = openState(state);
      const engine = new Engine({
        arena,
        state,
        owned,
        devices: [
          { side: 'private', address: parseAddress('10.77.0.1')!, mtu: mtu[0] },
          { side: 'public', address: externals[0]!, mtu: mtu[1] },
        ],
        ports,
        seed: 1,
        now: 1000,
      });
      return { engine, counters: opened.counters };
    });
    if (found === null) return;
    found.engine.tick(1000);
    const held = { tcp: [], udp: [] };
    checkInvariants({ ...found, owned: new Uint8Array(owned), ports, held });
  },
};

export const memories: readonly Target[] = [capture, netlink, tap, events, snapshot, stateTarget];
