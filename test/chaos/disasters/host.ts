/** What happens to the gateway's host: interfaces, addresses, routes, filters. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ip } from '../../netns/support/topology.ts';
import { NEXT_HOP, OTHER_NEXT_HOP, OTHER_PUBLIC, PUBLIC } from '../network.ts';
import type { Disaster } from './disaster.ts';

export const publicFlap: Disaster = {
  name: 'public-flap',
  what: 'the public interface goes down and up',
  mayBreak: 'new',
  strike: async (world) => {
    const ms = world.between(100, 3000);
    await world.ip('link set g1 down');
    await sleep(ms);
    await world.ip('link set g1 up');
    await world.restoreRoute();
    return `${ms} ms`;
  },
};

export const privateFlap: Disaster = {
  name: 'private-flap',
  what: 'a private interface goes down and up',
  mayBreak: 'nothing',
  strike: async (world) => {
    const ms = world.between(100, 3000);
    await world.ip('link set g0 down');
    await sleep(ms);
    await world.ip('link set g0 up');
    return `${ms} ms`;
  },
};

export const cableOut: Disaster = {
  name: 'cable-out',
  what: 'the far end of the public link loses its carrier, and has it again',
  mayBreak: 'new',
  strike: async (world) => {
    const ms = world.between(100, 3000);
    await ip(world.network.relay, 'link set r0 down');
    await sleep(ms);
    await ip(world.network.relay, 'link set r0 up');
    return `${ms} ms`;
  },
};

export const addressChange: Disaster = {
  name: 'address-change',
  what: 'another public address, and none meanwhile',
  mayBreak: 'tcp',
  strike: async (world) => {
    const ms = world.between(0, 1000);
    const next = world.publicAddress === PUBLIC ? OTHER_PUBLIC : PUBLIC;
    await world.ip(`addr del ${world.publicAddress}/24 dev g1`);
    await sleep(ms);
    await world.ip(`addr add ${next}/24 dev g1`);
    world.publicAddress = next;
    await world.restoreRoute();
    return `${next}, after ${ms} ms without`;
  },
};

export const addressLost: Disaster = {
  name: 'address-lost',
  what: 'the public address is removed, and put back',
  mayBreak: 'new',
  strike: async (world) => {
    const ms = world.between(0, 3000);
    await world.ip(`addr del ${world.publicAddress}/24 dev g1`);
    await sleep(ms);
    await world.ip(`addr add ${world.publicAddress}/24 dev g1`);
    await world.restoreRoute();
    return `${ms} ms`;
  },
};

export const routeChange: Disaster = {
  name: 'route-change',
  what: 'another next hop, and back',
  mayBreak: 'nothing',
  strike: async (world) => {
    await world.ip(`route replace default via ${OTHER_NEXT_HOP}`);
    await world.pause(500, 2000);
    await world.ip(`route replace default via ${NEXT_HOP}`);
    return undefined;
  },
};

export const routeLost: Disaster = {
  name: 'route-lost',
  what: 'the default route is removed, and put back',
  mayBreak: 'new',
  strike: async (world) => {
    const ms = world.between(0, 2000);
    await world.ip('route del default');
    await sleep(ms);
    await world.restoreRoute();
    return `${ms} ms`;
  },
};

export const mtuChange: Disaster = {
  name: 'mtu-change',
  what: 'the MTU of the public link falls, and rises again',
  mayBreak: 'nothing',
  strike: async (world) => {
    const mtu = world.between(1280, 1480);
    const set = async (bytes: number) => {
      await world.ip(`link set g1 mtu ${bytes}`);
      await ip(world.network.server, `link set s0 mtu ${bytes}`);
    };
    await set(mtu);
    await world.pause(1000, 3000);
    await set(1500);
    return `${mtu} bytes`;
  },
};

export const neighbourGone: Disaster = {
  name: 'neighbours-flushed',
  what: 'the neighbour tables of the gateway are flushed',
  mayBreak: 'nothing',
  strike: async (world) => {
    await world.ip('neigh flush all');
    return undefined;
  },
};
