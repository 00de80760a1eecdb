/**
 * null-setup NAME PRIVATE PUBLIC COMMAND...: sets the host up as `natgate run` does, with natgate's own plan and steering, and
 * starts COMMAND with the TUN queues as descriptors 3 (private) and 4 (public) in the engine's place. Prints `set up` once
 * packets flow. Everything is taken back on SIGTERM, or when COMMAND ends.
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { setPriority } from 'node:os';
import { HostFollower, type HostView } from '../../../../src/gateway/host/host-follower.ts';
import { Steering, steeringNeeds } from '../../../../src/gateway/host/steering.ts';
import { DEFAULT_PORTS, DEFAULT_TX_QUEUE_LENGTH, parsePortRange } from '../../../../src/gateway/options.ts';
import { readInterfaces } from '../../../../src/host/interfaces.ts';
import { applyPlan } from '../../../../src/host/plan/apply.ts';
import { openJournal } from '../../../../src/host/plan/claim.ts';
import { hostPlan } from '../../../../src/host/plan/host-plan.ts';
import { undoJournal } from '../../../../src/host/plan/undo.ts';
import { stateRoot as defaultRoot } from '../../../../src/host/state-root.ts';
import { createOwnedMap } from '../../../../src/host/steering/owned-map.ts';
import { RouteMap } from '../../../../src/host/steering/routes-map.ts';
import { addon } from '../../../../src/link/addon.ts';
import { masqueradeAll } from '../../../../src/nat/config.ts';
import { OWNED_BYTES, OWNED_TCP, OWNED_UDP, setOwned } from '../../../../src/nat/owned.ts';

/** As in gateway/engines/engine-main.ts. */
const NICE = -10;

const [name, privateName, publicName, command, ...args] = process.argv.slice(2);
const names = [privateName!, publicName!];
const stateRoot = defaultRoot();
const ports = parsePortRange(DEFAULT_PORTS);
const nat = masqueradeAll(ports);
const journal = openJournal({ stateRoot, name: name!, interfaces: names });
try {
  const tunFds = setUp();
  const child = spawn(command!, args, { stdio: ['ignore', 'inherit', 'inherit', ...tunFds] });
  child.on('spawn', () => {
    setPriority(child.pid!, NICE);
    console.log('set up');
  });
  child.on('error', (error) => {
    console.error(error.message);
    end(1);
  });
  child.on('exit', (status) => end(status ?? 1));
  process.on('SIGTERM', () => child.kill('SIGTERM'));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  end(1);
}

/** Returns the TUN queues. */
function setUp(): number[] {
  const interfaces = readInterfaces(names);
  const plan = hostPlan({
    stateRoot,
    name: name!,
    interfaces,
    ports,
    nat,
    txQueueLength: DEFAULT_TX_QUEUE_LENGTH,
    workers: 1,
  });
  applyPlan(plan.steps, journal);
  const tuns = readInterfaces(plan.tuns.map((tun) => tun.device));
  const maps = { routes: RouteMap.create(), ownedFd: ownPorts() };
  const steering = new Steering(maps, steeringNeeds(nat), tuns, readView(), journal);
  const { steps, close } = steering.steps();
  applyPlan(steps, journal);
  close();
  maps.routes.close();
  closeSync(maps.ownedFd);
  return plan.tuns.flatMap((tun) => tun.fds);
}

/** All that natgate may use by default, so that no port has to be owned while packets flow; the host keeps the others. */
function ownPorts(): number {
  const fd = createOwnedMap();
  const owned = new Uint8Array(addon().mmap(fd, OWNED_BYTES, true));
  for (let port = ports.first; port <= ports.last; port++) {
    setOwned(owned, OWNED_TCP, port, true);
    setOwned(owned, OWNED_UDP, port, true);
  }
  return fd;
}

/** As it is now; nothing changes in the time of a round. */
function readView(): HostView {
  const nothing = () => {};
  const follower = new HostFollower(
    { names, networks: [], ports, dedicated: [] },
    {
      onHostChange: nothing,
      onHeldPorts: nothing,
      onNeighbour: nothing,
      onAnyChange: nothing,
      onError: nothing,
    },
  );
  try {
    return follower.view;
  } finally {
    follower.close();
  }
}

function end(status: number): void {
  undoJournal(stateRoot, name!, journal.header.owner);
  process.exit(status);
}
