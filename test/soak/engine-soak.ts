/**
 * A soak of the engine in memory: flows begin and end as fast as it takes them, on a clock of its own. The ends (peer.ts) make garbage, the
 * engine must not; so what is read is what is alive: heap after a collection, external memory, resident set.
 */
import { BATCH } from '../../src/engine/arena.ts';
import { readCounters } from '../../src/engine/counters.ts';
import { Engine } from '../../src/engine/engine.ts';
import { formatState, openState, stateBytes } from '../../src/engine/state.ts';
import { MemoryLink } from '../../src/link/memory.ts';
import { masqueradeAll } from '../../src/nat/config.ts';
import { OWNED_BYTES } from '../../src/nat/owned.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { DATA_VALID } from '../../src/wire/vnet.ts';
import { Peer, type Sent } from './peer.ts';
import { type Reading, type SoakResult, verdict } from './soak.ts';

const CAPACITY = 262_144;
/** Flows a second of the engine's clock. */
const RATE = 40_000;
const READINGS = 60;
/** A virtio_net_hdr: the peer makes no checksums. */
const VERIFIED = Uint8Array.of(DATA_VALID, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const MIB = 2 ** 20;
const PORTS = { first: 4096, last: 65_535 };
/** Long enough for all timeouts below, and the quarantine of ports, ms. */
const END_MS = 20_000;

/** Seconds that a flow of a soak may be silent: its ends leave it at once. */
export const SHORT = {
  udp: 1,
  udpStream: 1,
  tcpSynSent: 2,
  tcpSynRecv: 2,
  tcpEstablished: 4,
  tcpFinWait: 2,
  tcpCloseWait: 2,
  tcpLastAck: 2,
  tcpTimeWait: 1,
  tcpClose: 1,
  tcpUnacknowledged: 4,
  tcpUnreplied: 2,
  icmp: 1,
};

/** `collect` collects all garbage, so that what is read is alive. */
export function soakEngine(
  flows: number,
  collect: () => void,
  onReading: (reading: Reading) => void,
): SoakResult {
  const link = new MemoryLink();
  const state = new ArrayBuffer(stateBytes(CAPACITY));
  formatState(state, CAPACITY, [1, 2]);
  const { counters } = openState(state);
  const engine = new Engine({
    arena: link.arena,
    state,
    owned: new ArrayBuffer(OWNED_BYTES),
    devices: [
      { side: 'private', address: parseAddress('10.77.0.1')!, mtu: 1500 },
      { side: 'public', address: parseAddress('198.18.0.1')!, mtu: 1500 },
    ],
    ports: PORTS,
    nat: masqueradeAll(PORTS, { quarantineSeconds: 1 }),
    timeouts: SHORT,
    seed: 1,
    now: 0,
  });
  engine.setRoutes([
    { prefix: parseAddress('10.77.0.0')!, length: 24, device: 0, gateway: 0, mtu: 0 },
    { prefix: 0, length: 0, device: 1, gateway: parseAddress('198.18.0.2')!, mtu: 0 },
  ]);
  const peer = new Peer();
  const readings: Reading[] = [];
  const begun = performance.now();
  let now = 0;
  const read = () => {
    collect();
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
    const values = {
      'RSS MiB': rss / MIB,
      'heap MiB': heapUsed / MIB,
      'external MiB': (external + arrayBuffers) / MIB,
    };
    const reading = { at: (performance.now() - begun) / 1000, flows: peer.begun, values };
    readings.push(reading);
    onReading(reading);
  };

  let waiting: Sent[] = [];
  /** Puts a batch through; what it is answered with is the next one, filled up with new flows. */
  const turn = (beginning: number) => {
    for (let i = 0; i < beginning && waiting.length < BATCH; i++) waiting.push(peer.begin());
    const next: Sent[] = waiting.splice(BATCH);
    for (const { device, bytes } of waiting) link.receive(device, bytes, VERIFIED);
    const count = link.takeBatch();
    for (let done = 0; done < count; ) {
      done = engine.process(done, count, now);
      for (const sent of link.sent(engine.outCount)) {
        const answer = peer.answer(sent);
        if (answer !== null) next.push(answer);
      }
      engine.clearOut();
    }
    engine.tick(now);
    waiting = next;
  };
  const step = Math.ceil(flows / READINGS);
  while (peer.begun < flows) {
    turn(Math.min(BATCH, flows - peer.begun));
    now = Math.floor((peer.begun / RATE) * 1000);
    if (peer.begun >= readings.length * step) read();
  }
  while (waiting.length > 0) turn(0);
  for (const end = now + END_MS; now < end; now += 5) engine.tick(now);
  const { totals } = readCounters(counters);
  return verdict({
    kind: 'engine',
    flows,
    seconds: (performance.now() - begun) / 1000,
    readings,
    over: peer.over,
    books: booksOf(totals),
  });
}

/** What the counters say when all is over. */
export function booksOf(totals: Record<string, number>): SoakResult['books'] {
  const sum = (...names: string[]) => names.reduce((total, name) => total + (totals[name] ?? 0), 0);
  return {
    started: sum('flows_started'),
    ended: sum('flows_ended'),
    left: sum('flows_tcp', 'flows_udp', 'flows_icmp', 'flows_other'),
    ports: sum('ports_tcp', 'ports_udp', 'ids_icmp'),
  };
}
