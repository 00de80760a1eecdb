/**
 * An episode: one engine from its birth through some ten thousand packets. All of it follows from a seed, so an episode that
 * broke can be run again, recorded this time.
 */
import { BATCH } from '../../src/engine/arena.ts';
import { address, type Configuration, configurations, GATEWAY, PRIVATE, PUBLIC } from './configurations.ts';
import type { Dice } from './dice.ts';
import type { Step } from './steps.ts';
import { Traffic } from './traffic.ts';
import { beginEpisode } from './watchdog.ts';
import { World } from './world.ts';

export const EPISODE_PACKETS = 20_000;
/** Batches between looks at everything. */
const DEEP_EVERY = 64;
const DAY = 86_400_000;

export interface Outcome {
  packets: number;
  /** Counters of the engine at its end. */
  counters: Float64Array;
}

export function configurationOf(seed: number): Configuration {
  return configurations[(seed >>> 0) % configurations.length]!;
}

/** Runs the episode of `seed` up to `packets` packets. Throws what breaks; `record` has then got every step that led there. */
export function runEpisode(seed: number, packets: number, record?: Step[]): Outcome {
  beginEpisode(seed);
  const configuration = configurationOf(seed);
  const world = new World(configuration);
  const traffic = new Traffic(seed, configuration);
  const { dice } = traffic;
  world.onSent = (count) => traffic.remember(world, count);
  let done = 0;
  for (let batch = 1; done < packets; batch++) {
    const size = Math.min(dice.chance(128) ? BATCH : 1 + dice.below(BATCH), packets - done);
    while (world.arrived < size) traffic.arrive(world);
    done += size;
    const now = (world.now + lapse(dice)) | 0;
    record?.push({ kind: 'batch', now, arrivals: world.arrivals() });
    world.run(now);
    if (dice.chance(10)) {
      const step = change(dice, world);
      record?.push(step);
      world.apply(step);
    }
    if (batch % DEEP_EVERY === 0) world.checkDeep();
  }
  world.checkDeep();
  return { packets: done, counters: world.counters };
}

/** Milliseconds to the next batch: mostly few. */
function lapse(dice: Dice): number {
  if (dice.chance(200)) return dice.below(20);
  if (dice.chance(230)) return dice.below(2000);
  if (dice.chance(250)) return dice.below(60_000);
  return dice.below(64) * (DAY >> 6) * (dice.chance(40) ? 20 : 1);
}

function change(dice: Dice, world: World): Step {
  const { routes, externals, mtu, ports } = world.configuration;
  switch (dice.below(7)) {
    case 0:
      return { kind: 'routes', variant: dice.chance(128) ? 0 : dice.below(routes.length) };
    case 1: {
      const own = dice.chance(140) ? externals[0]! : dice.one(externals);
      return { kind: 'device', device: PUBLIC, address: own, mtu: near(dice, mtu[PUBLIC]) };
    }
    case 2:
      return { kind: 'device', device: PRIVATE, address: GATEWAY, mtu: near(dice, mtu[PRIVATE]) };
    case 3: {
      const held = Array.from({ length: dice.below(8) }, () => ports.first + dice.below(64));
      return { kind: 'held', protocol: dice.chance(128) ? 6 : 17, ports: [...new Set(held)] };
    }
    case 4:
      return { kind: 'tick', now: (world.now + dice.below(3000)) | 0 };
    case 5:
      return { kind: 'kill', now: (world.now + dice.below(500)) | 0 };
    default: {
      const [device, host] = dice.chance(128)
        ? ([PUBLIC, '198.18.0.254'] as const)
        : ([PRIVATE, '10.77.0.3'] as const);
      return { kind: 'neighbour', device, address: address(host), failed: dice.chance(128) };
    }
  }
}

/** The smallest MTU of IPv4 is 68 (RFC 791). */
function near(dice: Dice, mtu: number): number {
  return dice.chance(128) ? mtu : 68 + dice.below(mtu);
}
