/** What other programs do to that which is natgate's: its filters and devices, an interface under it, its disk. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../netns/support/process.ts';
import { ip } from '../../netns/support/topology.ts';
import { cable } from '../../netns/support/wiring.ts';
import type { World } from '../world.ts';
import type { Disaster } from './disaster.ts';
import { reloaded } from './reloaded.ts';

const PRIVATE = ['g0', 'g2', 'g3'];
const one = (world: World, of: readonly string[]) => of[world.random.below(of.length)]!;

export const filterDeleted: Disaster = {
  name: 'filter-deleted',
  what: "natgate's filter is deleted from a private interface",
  mayBreak: 'nothing',
  strike: async (world) => {
    const device = one(world, PRIVATE);
    await world.gateway.exec(`tc filter del dev ${device} ingress prio 1000`);
    return device;
  },
};

export const qdiscDeleted: Disaster = {
  name: 'qdisc-deleted',
  what: 'the clsact qdisc of a private interface or of a TUN is deleted',
  mayBreak: 'nothing',
  strike: async (world) => {
    const device = one(world, [...PRIVATE, 'natgate-g0', 'natgate-g1']);
    await world.gateway.exec(`tc qdisc del dev ${device} clsact`);
    return device;
  },
};

/** Until it is back the host's stack gets what comes from outside, knows no such connection, and resets it. */
export const publicFilterDeleted: Disaster = {
  name: 'public-filter-deleted',
  what: "natgate's filter is deleted from the public interface, alone or with its qdisc",
  mayBreak: 'tcp',
  strike: async (world) => {
    const what = one(world, ['filter del dev g1 ingress prio 1000', 'qdisc del dev g1 clsact']);
    await world.gateway.exec(`tc ${what}`);
    return what;
  },
};

export const tunDeleted: Disaster = {
  name: 'tun-deleted',
  what: 'a TUN is deleted',
  mayBreak: 'nothing',
  strike: async (world) => {
    const device = one(world, ['natgate-g0', 'natgate-g1', 'natgate-g2']);
    await world.ip(`link del ${device}`);
    return device;
  },
};

/** Its host has no address and no route meanwhile, so what it begins fails there already. */
export const interfaceMadeAnew: Disaster = {
  name: 'interface-made-anew',
  what: 'a private interface is deleted, and made again',
  mayBreak: 'new',
  strike: async (world) => {
    const { gateway, second } = world.network;
    const known = JSON.parse((await run(['ip', '-n', gateway.name, '-j', 'link', 'show', 'g2'])).stdout)[0];
    const ms = world.between(100, 3000);
    await world.ip('link del g2');
    await sleep(ms);
    await cable(
      { ns: second, device: 'c0', address: '10.78.0.2/24' },
      { ns: gateway, device: 'g2', address: '10.78.0.1/24', mac: known.address },
    );
    await ip(second, 'route add default via 10.78.0.1');
    return `${ms} ms`;
  },
};

export const diskFull: Disaster = {
  name: 'disk-full',
  what: 'the disk of the state directory is full while the configuration is reloaded and the engine dies',
  mayBreak: 'nothing',
  strike: async (world) => {
    const fill = join(world.gateway.stateRoot, '.fill');
    // The new file is written while there is room, and read when there is none.
    world.configure({ ...world.variant, udpTimeout: world.between(20, 60) });
    try {
      execFileSync('sh', ['-c', `dd if=/dev/zero of=${fill} bs=64k 2>/dev/null; true`]);
      const said = await reloaded(world);
      await world.killEngine();
      await world.pause(500, 2000);
      return said;
    } finally {
      rmSync(fill);
    }
  },
};

export const stopSupervisor: Disaster = {
  name: 'stop-supervisor',
  what: 'SIGSTOP of the supervisor for seconds',
  mayBreak: 'nothing',
  strike: async (world) => {
    const ms = world.between(500, 5000);
    const { pid } = world.natgate.process;
    process.kill(pid, 'SIGSTOP');
    await sleep(ms);
    process.kill(pid, 'SIGCONT');
    return `${ms} ms`;
  },
};
