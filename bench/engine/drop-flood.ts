/**
 * What a flood of packets that are dropped costs, with the log of dropped packets and without it: a million uninvited datagrams from
 * outside, and a million with a wrong header checksum, in full batches, the engine's clock at 10 batches a millisecond.
 *
 *     node --import tsx bench/engine/drop-flood.ts        (11 rounds, each variant in a process of its own, taking turns; medians, and
 * the fastest, which a machine that changes its speed does not blur)
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ARENA_BYTES, BATCH, IN_LIST, packetOffset } from '../../src/engine/arena.ts';
import { Engine } from '../../src/engine/engine.ts';
import { formatState, stateBytes } from '../../src/engine/state.ts';
import { formatTap, TAP_WORDS, tapBytes } from '../../src/engine/tap-ring.ts';
import { V8_FLAGS } from '../../src/engine/v8-flags.ts';
import { OWNED_BYTES } from '../../src/nat/owned.ts';
import { udpPacket } from '../../src/testing/index.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { cpuMs } from './bed.ts';

const PACKETS = 1_000_000;
const ROUNDS = 11;
const BATCHES_PER_MS = 10;
const FLOODS = ['uninvited', 'checksum'] as const;
type Flood = (typeof FLOODS)[number];

/** ns of CPU time per packet. */
function measure(flood: Flood, isLogged: boolean): number {
  const arena = new ArrayBuffer(ARENA_BYTES);
  const state = new ArrayBuffer(stateBytes(1024));
  formatState(state, 1024, [1, 2]);
  const memory = new ArrayBuffer(tapBytes(TAP_WORDS));
  formatTap(memory, TAP_WORDS);
  const external = parseAddress('198.18.0.1')!;
  const engine = new Engine({
    arena,
    state,
    owned: new ArrayBuffer(OWNED_BYTES),
    devices: [
      { side: 'private', address: parseAddress('10.0.0.1')!, mtu: 1500 },
      { side: 'public', address: external, mtu: 1500 },
    ],
    ports: { first: 32768, last: 65535 },
    wallClock: Date.now,
    ...(isLogged && { tap: { memory, clock: Date.now } }),
    seed: 1,
    now: 0,
  });
  engine.setRoutes([{ prefix: 0, length: 0, device: 1, gateway: 0, mtu: 0 }]);
  const bytes = new Uint8Array(arena);
  const words = new Int32Array(arena);
  for (let slot = 0; slot < BATCH; slot++) {
    const packet = udpPacket({
      from: `203.0.113.9:${1000 + slot}`,
      to: '198.18.0.1:40000',
      payload: 'xxxxxxxxxxxx',
    });
    if (flood === 'checksum') packet[10]! ^= 1;
    bytes.set(packet, packetOffset(slot));
    words[(IN_LIST >> 2) + slot * 2] = 1;
    words[(IN_LIST >> 2) + slot * 2 + 1] = packet.length;
  }
  let now = 0;
  const run = (packets: number) => {
    for (let batch = 0; batch < packets / BATCH; batch++) {
      if (batch % BATCHES_PER_MS === 0) now++;
      engine.process(0, BATCH, now);
      engine.tick(now);
    }
  };
  run(PACKETS);
  const began = cpuMs();
  run(PACKETS);
  return ((cpuMs() - began) * 1e6) / PACKETS;
}

/** The fastest, and the one in the middle. */
function summary(values: readonly number[]): [fastest: number, median: number] {
  const sorted = values.toSorted((a, b) => a - b);
  return [sorted[0]!, sorted[sorted.length >> 1]!];
}

if (process.argv[2] !== undefined) {
  process.stdout.write(`${measure(process.argv[2] as Flood, process.argv[3] === 'logged')}\n`);
} else {
  const program = fileURLToPath(import.meta.url);
  for (const flood of FLOODS) {
    const found: Record<string, number[]> = { plain: [], logged: [] };
    for (let round = 0; round < ROUNDS; round++) {
      for (const variant of round % 2 === 0 ? ['plain', 'logged'] : ['logged', 'plain']) {
        const { stdout } = spawnSync(process.execPath, [
          ...V8_FLAGS,
          '--import',
          'tsx',
          program,
          flood,
          variant,
        ]);
        found[variant]!.push(Number(stdout));
      }
    }
    const [plain, logged] = [summary(found['plain']!), summary(found['logged']!)];
    for (const [i, what] of ['fastest', 'median'].entries()) {
      const figures = `${plain[i]!.toFixed(1)} ns a packet without the log, ${logged[i]!.toFixed(1)} with it`;
      process.stdout.write(`${flood}, ${what}: ${figures}, ${(logged[i]! / plain[i]!).toFixed(2)}\n`);
    }
  }
}
