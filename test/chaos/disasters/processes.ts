/** What happens to natgate's own processes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { READY } from '../../netns/support/natgate.ts';
import { until } from '../../netns/support/process.ts';
import { activeEngine, children } from '../engines.ts';
import type { World } from '../world.ts';
import type { Disaster } from './disaster.ts';
import { reloaded } from './reloaded.ts';

async function anotherEngine(world: World, than: number): Promise<void> {
  await until('another engine', () => {
    const engines = children(world.natgate.process.pid);
    return engines.length > 0 && !engines.includes(than);
  });
}

export const killEngine: Disaster = {
  name: 'kill-engine',
  what: 'kill -9 of the engine process',
  mayBreak: 'nothing',
  strike: async (world) => {
    await anotherEngine(world, await world.killEngine());
    return undefined;
  },
};

export const killEngineAgain: Disaster = {
  name: 'kill-engine-again',
  what: 'kill -9 of the engine three times, as soon as it is there',
  mayBreak: 'nothing',
  strike: async (world) => {
    for (let time = 0; time < 3; time++) {
      await anotherEngine(world, await world.killEngine());
      await world.pause(0, 1500);
    }
    return undefined;
  },
};

export const killSupervisor: Disaster = {
  name: 'kill-supervisor',
  what: 'kill -9 of the supervisor, and a new run',
  mayBreak: 'nothing',
  strike: async (world) => {
    const old = world.natgate;
    await old.process.stop('SIGKILL');
    await world.pause(0, 500);
    await world.start();
    return undefined;
  },
};

export const restart: Disaster = {
  name: 'restart',
  what: 'SIGTERM with linger, and a new run',
  mayBreak: 'nothing',
  strike: async (world) => {
    world.configure(world.variant, 30);
    await reloaded(world);
    const code = await world.natgate.process.stop('SIGTERM');
    if (code !== 0) throw new Error(`natgate ended with ${code}`);
    world.configure(world.variant);
    await world.start();
    return undefined;
  },
};

export const stopEngine: Disaster = {
  name: 'stop-engine',
  what: 'SIGSTOP of the engine process for seconds',
  mayBreak: 'nothing',
  strike: async (world) => {
    const pid = await activeEngine(world.natgate.process.pid);
    const ms = world.between(500, 4000);
    process.kill(pid, 'SIGSTOP');
    await sleep(ms);
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      return `${ms} ms; another one took its place`;
    }
    return `${ms} ms`;
  },
};

export const reload: Disaster = {
  name: 'reload',
  what: 'SIGHUP after a change of the file',
  mayBreak: 'nothing',
  strike: async (world) => {
    const { random } = world;
    const variant = {
      forward: random.below(2) === 0,
      firewall: random.below(2) === 0,
      udpTimeout: 20 + random.below(40),
    };
    world.configure(variant);
    return await reloaded(world);
  },
};

export const takeover: Disaster = {
  name: 'takeover',
  what: 'run --takeover: a new version in place of the running one',
  mayBreak: 'nothing',
  possible: (world) => world.knows('run', '--takeover'),
  strike: async (world) => {
    const old = world.natgate;
    await world.launch(['--takeover']).process.shows(READY, 100_000);
    const code = await Promise.race([old.process.ended, sleep(60_000, 'still runs')]);
    if (code !== 0) throw new Error(`the old one: ${code}`);
    return undefined;
  },
};
