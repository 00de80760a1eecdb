/**
 * A gateway at saturation, as a program of its own (no-garbage.test.ts runs it with --expose-gc): full batches of
 * every kind of packet over flows that live, begin and end. Writes `{ packets, collections, grown }` to stdout.
 */
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { BATCH, IN_LIST, packetOffset } from '../../src/engine/arena.ts';
import { Engine } from '../../src/engine/engine.ts';
import { formatState, stateBytes } from '../../src/engine/state.ts';
import { MemoryLink } from '../../src/link/memory.ts';
import { OWNED_BYTES } from '../../src/nat/owned.ts';
import { echoPacket, icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { parseAddress } from '../../src/wire/address.ts';

const WARM_UP = 300_000;
const MEASURED = Number(process.argv[2] ?? 1_000_000);
const FLOWS = 5000;

const collections: number[] = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) collections.push(entry.startTime);
}).observe({ entryTypes: ['gc'] });

const { arena } = new MemoryLink();
const u8 = new Uint8Array(arena);
const i32 = new Int32Array(arena);
const state = new ArrayBuffer(stateBytes(FLOWS));
formatState(state, FLOWS, [1, 2]);
const engine = new Engine({
  arena,
  state,
  owned: new ArrayBuffer(OWNED_BYTES),
  devices: [
    { side: 'private', address: parseAddress('10.77.0.1')!, mtu: 1500 },
    { side: 'public', address: parseAddress('198.18.0.1')!, mtu: 1500 },
  ],
  ports: { first: 32768, last: 65535 },
  timeouts: { udp: 2, tcpSynSent: 2, icmp: 2 },
  seed: 1,
  now: 0,
});
engine.setRoutes([
  { prefix: parseAddress('10.77.0.0')!, length: 16, device: 0, gateway: 0, mtu: 0 },
  { prefix: 0, length: 0, device: 1, gateway: parseAddress('198.18.0.254')!, mtu: 0 },
]);

interface Template {
  device: number;
  packet: Uint8Array;
}

const SERVER = '203.0.113.9';
const data = new Uint8Array(100).fill(0xaa);
const sent = udpPacket({ from: '198.18.0.1:40000', to: `${SERVER}:53`, payload: data });
/** Packets of long-lived flows, errors about them, what is dropped and what is answered. */
const templates: Template[] = [
  { device: 0, packet: udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53`, payload: data }) },
  { device: 1, packet: udpPacket({ from: `${SERVER}:53`, to: '198.18.0.1:40000', payload: data }) },
  {
    device: 0,
    packet: tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'A', payload: data }),
  },
  {
    device: 1,
    packet: tcpPacket({ from: `${SERVER}:80`, to: '198.18.0.1:40000', flags: 'PA', payload: data }),
  },
  { device: 0, packet: echoPacket({ from: '10.77.0.2', to: SERVER, identifier: 9, payload: data }) },
  {
    device: 1,
    packet: echoPacket({ from: SERVER, to: '198.18.0.1', identifier: 9, payload: data, reply: true }),
  },
  { device: 1, packet: icmpError({ from: '192.0.2.1', to: '198.18.0.1', type: 11, code: 0, packet: sent }) },
  {
    device: 0,
    packet: udpPacket({
      from: '10.77.0.2:40000',
      to: `${SERVER}:53`,
      payload: new Uint8Array(1600),
      fragment: 0,
    }),
  },
  {
    device: 0,
    packet: udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53`, payload: data, fragment: 0x2000 }),
  },
  { device: 0, packet: udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53`, payload: data, ttl: 1 }) },
  { device: 0, packet: tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'SF' }) },
  { device: 1, packet: udpPacket({ from: `${SERVER}:54`, to: '198.18.0.1:40000', payload: data }) },
  { device: 1, packet: echoPacket({ from: SERVER, to: '198.18.0.1', identifier: 10, payload: data }) },
];
/** Packets that begin flows, a different one each time, so that flows end, too. */
const beginnings: Template[] = Array.from({ length: 20_000 }, (_, i) => {
  const from = `10.77.${1 + (i >> 8)}.${i & 255}:${33000 + (i % 7) * 4000}`;
  const to = `${SERVER}:443`;
  return { device: 0, packet: i % 2 === 0 ? udpPacket({ from, to }) : tcpPacket({ from, to, flags: 'S' }) };
});

let now = 0;
let begun = 0;

function run(packets: number): void {
  for (let done = 0; done < packets; done += BATCH) {
    for (let i = 0; i < BATCH; i++) {
      const template =
        i % 16 === 15 ? beginnings[begun++ % beginnings.length]! : templates[(done + i) % templates.length]!;
      u8.set(template.packet, packetOffset(i));
      u8.fill(0, packetOffset(i) - 10, packetOffset(i));
      i32[(IN_LIST >> 2) + i * 2] = template.device;
      i32[(IN_LIST >> 2) + i * 2 + 1] = template.packet.length;
    }
    for (let next = 0; next < BATCH; ) {
      next = engine.process(next, BATCH, now);
      engine.clearOut();
    }
    now = (now + 5) | 0;
    engine.tick(now);
  }
}

run(WARM_UP);
globalThis.gc!();
const began = performance.now();
const before = process.memoryUsage().heapUsed;
run(MEASURED);
const grown = process.memoryUsage().heapUsed - before;
const ended = performance.now();

// The observer is told on the event loop, which did not turn meanwhile.
setTimeout(() => {
  const during = collections.filter((at) => at > began && at < ended).length;
  const { count, changes } = engine.tracker.table;
  const report = {
    packets: MEASURED,
    collections: during,
    observed: collections.length,
    grown,
    flows: count,
    changes,
  };
  process.stdout.write(JSON.stringify(report));
}, 50);
