/** A bounded run of the fuzzer: one seed that is always the same, one that never is. Longer ones: `npm run fuzz`. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { reasonNames } from '../../src/core/reasons.ts';
import { DROPS } from '../../src/engine/counters.ts';
import { configurations } from './configurations.ts';
import { EPISODE_PACKETS, runEpisode } from './episode.ts';
import { fuzz } from './fuzz.ts';
import { minimise, replay } from './minimise.ts';
import { CRASHES, type Step, writeCrash } from './steps.ts';
import { World } from './world.ts';

const PACKETS = 300_000;
/** What no packet brings about: counted by the addon, or no drop. */
const NOT_BY_PACKETS = [
  'ok',
  'write_refused',
  'write_no_buffer',
  'write_down',
  'read_truncated',
  // Between several workers only: test/engine/workers.test.ts.
  'hand_off_full',
  'hand_off_late',
  // The gateway has no rules: test/engine/firewall.test.ts.
  'firewall_drop',
  'firewall_reject',
  'packet_rate',
  // No rule of its gateways keeps flows whose address is gone: test/engine/address-change.test.ts.
  'address_gone',
  // The tables are too small for a reserve: test/engine/hostile-shares.test.ts.
  'host_share',
  // Only what an engine has stumbled over: test/engine/quarantine.test.ts.
  'quarantined',
  // These take millions of packets.
  'fragment_limit',
  'helper_failed',
];

const FIXED = 20_241_317;

test.each([FIXED, Math.floor(Math.random() * 2 ** 32)])(`${PACKETS} packets, seed %i`, (seed) => {
  const drops = new Float64Array(reasonNames.length);
  const { packets, failure } = fuzz({
    packets: PACKETS,
    seed,
    minimiseSeconds: 20,
    onEpisode: (_, counters) => {
      for (let reason = 0; reason < drops.length; reason++) drops[reason]! += counters[DROPS + reason]!;
    },
  });
  if (failure !== null) {
    const path = new URL(`${failure.name}.json`, CRASHES);
    writeCrash(path, failure.crash);
    throw new Error(`seed ${failure.seed}, packet ${failure.packet}: ${fileURLToPath(path)}`, {
      cause: failure.error,
    });
  }
  expect(packets).toBe(PACKETS);
  // Mutants get past the first check: every reason was reached. (Of an unknown seed, nearly every one.)
  const reached = reasonNames.filter((name, reason) => drops[reason]! > 0 || NOT_BY_PACKETS.includes(name));
  if (seed === FIXED) expect(reached).toEqual(reasonNames);
  else expect(reached.length).toBeGreaterThan(reasonNames.length * 0.8);
});

test('an episode repeats, recorded or not, and its record repeats it', () => {
  const steps: Step[] = [];
  const first = runEpisode(3, EPISODE_PACKETS / 4);
  const again = runEpisode(3, EPISODE_PACKETS / 4, steps);
  expect([...again.counters]).toEqual([...first.counters]);
  const configuration = configurations[3]!;
  expect(replay(configuration, steps, false)).toBeNull();
});

test('a failure is found, and made small', () => {
  const steps: Step[] = [];
  runEpisode(0, 1000, steps);
  // A step that breaks: a route table that is not there.
  steps.splice(10, 0, { kind: 'routes', variant: 99 });
  const few = minimise(configurations[0]!, steps, 20);
  expect(few).toEqual([{ kind: 'routes', variant: 99 }]);
});

/** Every packet sent, with its device and vnet header; `alone`: packets of a batch are handled one by one. */
function outputs(world: World, steps: readonly Step[], alone: boolean): string[] {
  const sent: string[] = [];
  world.onSent = (count) => {
    for (const { device, packet, vnet } of world.sent(count)) {
      sent.push(`${device} ${Buffer.from(vnet).toString('hex')} ${Buffer.from(packet).toString('hex')}`);
    }
  };
  for (const step of steps) {
    if (alone && step.kind === 'batch') {
      for (const arrival of step.arrivals) {
        world.receive(arrival);
        world.handle(step.now);
      }
      world.tick(step.now);
    } else {
      world.apply(step);
    }
  }
  return sent;
}

test('a batch does what its packets do one by one', () => {
  for (const [seed, configuration] of configurations.entries()) {
    const steps: Step[] = [];
    runEpisode(seed, EPISODE_PACKETS / 4, steps);
    const together = outputs(new World(configuration), steps, false);
    const alone = outputs(new World(configuration), steps, true);
    const differs = together.findIndex((packet, i) => packet !== alone[i]);
    expect(differs, `seed ${seed}: ${together[differs]} is ${alone[differs]} alone`).toBe(-1);
    expect(alone.length).toBe(together.length);
  }
});
