/**
 * The engine alone: packets a second over a number of flows, without devices.
 *
 * A batch is made by writing 64 ready-made packets into the arena (that is what reading from a device would do; its
 * time is measured by an empty run and taken off), handled, and thrown away. Flows are visited in order or at random.
 */

import { ARENA_BYTES, BATCH, IN_LIST, packetOffset } from '../../src/engine/arena.ts';
import { Engine } from '../../src/engine/engine.ts';
import { formatState, stateBytes } from '../../src/engine/state.ts';
import { OWNED_BYTES } from '../../src/nat/owned.ts';
import { tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { fold } from '../../src/wire/checksum.ts';
import { GSO_NONE } from '../../src/wire/vnet.ts';

export interface PacketRun {
  protocol: 'udp' | 'tcp';
  flows: number;
  order: 'in order' | 'random';
  /** Packets of the measured part. */
  packets: number;
}

export interface PacketRunResult extends PacketRun {
  nsPerPacket: number;
  packetsPerSecond: number;
  flowsPerSecond: number;
}

const PACKET_WORDS = 16;
/** Internal ports per client; flows beyond clients × ports go to further remotes over the same mappings. */
const PORTS_PER_CLIENT = 30;
const CLIENTS = 1000;

/** Runs once; the caller repeats and takes medians. */
export function packetRun(run: PacketRun): PacketRunResult {
  const engine = newEngine(run.flows);
  const template = templatePacket(run.protocol);
  const words = new Int32Array(engine.arena);
  const flows = flowWords(run.flows);
  const length = template.length;

  const began = cpuMs();
  const now = drive(engine.engine, words, template, flows, identity(run.flows), run.flows, length);
  const created = cpuMs() - began;

  const order = run.order === 'random' ? shuffled(run.flows) : identity(run.flows);
  drive(engine.engine, words, template, flows, order, Math.min(run.packets, 2_000_000), length);
  const start = cpuMs();
  drive(engine.engine, words, template, flows, order, run.packets, length);
  const full = cpuMs() - start;
  const emptyStart = cpuMs();
  drive(null, words, template, flows, order, run.packets, length);
  const empty = cpuMs() - emptyStart;
  void now;
  const ns = ((full - empty) * 1e6) / run.packets;
  return {
    ...run,
    nsPerPacket: ns,
    packetsPerSecond: 1e9 / ns,
    flowsPerSecond: (run.flows * 1000) / created,
  };
}

function newEngine(flows: number): { engine: Engine; arena: ArrayBuffer } {
  const arena = new ArrayBuffer(ARENA_BYTES);
  const state = new ArrayBuffer(stateBytes(flows + 64));
  formatState(state, flows + 64, [0x1234567, 0x89abcde]);
  const engine = new Engine({
    arena,
    state,
    owned: new ArrayBuffer(OWNED_BYTES),
    devices: [
      { side: 'private', address: parseAddress('10.0.0.1')!, mtu: 1500 },
      { side: 'public', address: parseAddress('198.18.0.1')!, mtu: 1500 },
    ],
    ports: { first: 32768, last: 65535 },
    seed: 1,
    now: 0,
  });
  engine.setRoutes([
    { prefix: parseAddress('10.0.0.0')!, length: 8, device: 0, gateway: 0, mtu: 0 },
    { prefix: 0, length: 0, device: 1, gateway: 0, mtu: 0 },
  ]);
  return { engine, arena };
}

function templatePacket(protocol: 'udp' | 'tcp'): Int32Array {
  const fields = { from: '10.0.0.2:1000', to: '198.19.0.1:443', payload: new Uint8Array(12) };
  // A mid-stream segment: the flow is picked up established.
  const packet = protocol === 'udp' ? udpPacket(fields) : tcpPacket({ ...fields, flags: 'A' });
  const padded = new Uint8Array(PACKET_WORDS * 4);
  padded.set(packet);
  return new Int32Array(padded.buffer).slice(0, Math.ceil(packet.length / 4));
}

/** Source, destination and ports word of each flow. */
function flowWords(flows: number): Int32Array {
  const words = new Int32Array(flows * 3);
  const endpoints = CLIENTS * PORTS_PER_CLIENT;
  for (let i = 0; i < flows; i++) {
    const endpoint = i % endpoints;
    const client = endpoint % CLIENTS;
    const port = 40000 + Math.floor(endpoint / CLIENTS);
    const remote = Math.floor(i / endpoints);
    words[i * 3] = 10 | (1 << 8) | ((client >> 8) << 16) | ((client & 0xff) << 24);
    words[i * 3 + 1] = 198 | (19 << 8) | ((remote >> 8) << 16) | ((remote & 0xff) << 24);
    words[i * 3 + 2] = ((port >> 8) & 0xff) | ((port & 0xff) << 8) | (0xbb01 << 16);
  }
  return words;
}

/** Feeds `packets` packets, in batches; with no engine only makes the batches. */
function drive(
  engine: Engine | null,
  arena: Int32Array,
  template: Int32Array,
  flows: Int32Array,
  order: Int32Array,
  packets: number,
  words: number,
): number {
  const bytes = words * 4;
  const list = IN_LIST >> 2;
  let next = 0;
  let now = 0;
  for (let sent = 0; sent < packets; sent += BATCH) {
    const count = Math.min(BATCH, packets - sent);
    for (let i = 0; i < count; i++) {
      const at = packetOffset(i) >> 2;
      const flow = order[next]! * 3;
      if (++next === order.length) next = 0;
      for (let w = 0; w < words; w++) arena[at + w] = template[w]!;
      arena[at - 1] = GSO_NONE;
      arena[at - 2] = 0;
      arena[at - 3] = 0;
      arena[at + 3] = flows[flow]!;
      arena[at + 4] = flows[flow + 1]!;
      arena[at + 5] = flows[flow + 2]!;
      const source = arena[at + 3]!;
      const destination = arena[at + 4]!;
      // Header checksum: the template's other words, then the addresses.
      let sum = 0;
      for (let w = 0; w < 5; w++) {
        if (w !== 2 && w < 3) sum += (arena[at + w]! & 0xffff) + (arena[at + w]! >>> 16);
      }
      sum += arena[at + 2]! & 0xffff;
      sum += (source & 0xffff) + (source >>> 16) + (destination & 0xffff) + (destination >>> 16);
      arena[at + 2] = (arena[at + 2]! & 0xffff) | ((fold(sum) ^ 0xffff) << 16);
      arena[list + i * 2] = 0;
      arena[list + i * 2 + 1] = bytes;
    }
    now = (sent >> 14) | 0;
    if (engine === null) continue;
    engine.process(0, count, now);
    engine.clearOut();
    engine.tick(now);
  }
  return now;
}

function identity(n: number): Int32Array {
  return Int32Array.from({ length: n }, (_, i) => i);
}

function shuffled(n: number): Int32Array {
  const order = identity(n);
  let seed = 12345;
  for (let i = n - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    const j = seed % (i + 1);
    const swap = order[i]!;
    order[i] = order[j]!;
    order[j] = swap;
  }
  return order;
}

/** CPU time of this process in ms: other work on the machine disturbs it less than wall time. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
