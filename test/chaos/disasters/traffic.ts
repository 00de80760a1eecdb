/** What traffic can do: floods, bad wires, flows that somebody ends. */
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { compile } from '../../../bench/net/tools.ts';
import type { RelayFaults } from '../network.ts';
import type { Disaster } from './disaster.ts';

const SECONDS = 3;

export const udpFlood: Disaster = {
  name: 'udp-flood',
  what: 'a private host begins as many UDP flows as it can',
  mayBreak: 'nothing',
  strike: async (world) => {
    const argv = [await compile('udp-flows'), '10.79.0.2', '1', '1024', '60000', '203.0.113.11', '20', '9'];
    await world.flood(world.network.crowd, argv, SECONDS);
    return undefined;
  },
};

export const synFlood: Disaster = {
  name: 'syn-flood',
  what: 'a private host sends SYNs from all its ports',
  mayBreak: 'nothing',
  strike: async (world) => {
    const argv = [
      await compile('syn-flood'),
      '10.79.0.2',
      '203.0.113.11',
      `${world.random.below(2 ** 30)}`,
      `${SECONDS}`,
    ];
    await world.flood(world.network.crowd, argv, SECONDS);
    return undefined;
  },
};

export const outsideFlood: Disaster = {
  name: 'outside-flood',
  what: 'datagrams and SYNs from everywhere to the public address',
  mayBreak: 'nothing',
  strike: async (world) => {
    const to = world.publicAddress;
    const udp = [await compile('udp-flows'), '192.0.2.1', '100', '1024', '600', to, '1', '40000'];
    const syn = [await compile('syn-flood'), '192.0.2.1', to, `${world.random.below(2 ** 30)}`, '1'];
    await world.flood(world.network.server, udp, 1);
    await world.flood(world.network.server, syn, 1);
    return undefined;
  },
};

/** What is damaged in a segment without SYN, FIN or RST is for the ends to tell (src/engine/damage.ts). */
export const badWire: Disaster = {
  name: 'bad-wire',
  what: 'the public link corrupts, cuts, loses, doubles, reorders',
  mayBreak: 'tcp',
  strike: async (world) => {
    const some = () => world.random.below(20) / 1000;
    const faults: RelayFaults = {
      loss: some(),
      duplicate: some(),
      reorder: some(),
      corrupt: some(),
      truncate: some(),
      delay: world.random.below(10),
    };
    world.network.setFaults(faults);
    await sleep(SECONDS * 1000);
    world.network.setFaults(world.usual);
    return JSON.stringify(faults);
  },
};

export const lossyWire: Disaster = {
  name: 'lossy-wire',
  what: 'the public link loses, doubles, delays, reorders',
  mayBreak: 'nothing',
  strike: async (world) => {
    const some = () => world.random.below(50) / 1000;
    const faults: RelayFaults = {
      loss: some(),
      duplicate: some(),
      reorder: some(),
      delay: world.random.below(30),
    };
    world.network.setFaults(faults);
    await sleep(SECONDS * 1000);
    world.network.setFaults(world.usual);
    return JSON.stringify(faults);
  },
};

export const flowsEnded: Disaster = {
  name: 'flows-deleted',
  what: 'somebody ends the flows of one host (natgate flows delete)',
  mayBreak: 'nothing',
  strike: async (world) => {
    // Exit code 1: it has none.
    const { code, stderr } = await world.natgate.cli('flows', ['delete', 'src', '10.79.0.0/24'], {
      check: false,
    });
    if (code > 1) throw new Error(`natgate flows delete ended with ${code}: ${stderr}`);
    return undefined;
  },
};

export const flowsSaved: Disaster = {
  name: 'flows-saved',
  what: 'natgate flows save, while they go on',
  mayBreak: 'nothing',
  possible: (world) => world.knows('flows', 'save'),
  strike: async (world) => {
    const path = `${world.gateway.stateRoot}/saved.flows`;
    await world.natgate.cli('flows', ['save', path]);
    rmSync(path);
    return undefined;
  },
};
