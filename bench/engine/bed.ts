/**
 * An engine that nothing limits but its speed: the flow table has room for all, ports suffice, no rate limit, no quota,
 * no timeout ends. check() makes sure of it after every run: all flows live, all packets left, not one drop.
 */
import { closeSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { UDP_STREAM_AGE_MS } from '../../src/conntrack/timeouts.ts';
import { ARENA_BYTES, BATCH } from '../../src/engine/arena.ts';
import { readCounters } from '../../src/engine/counters.ts';
import { Engine, type EngineConfig } from '../../src/engine/engine.ts';
import { formatState, openState, stateBytes } from '../../src/engine/state.ts';
import { addon } from '../../src/link/addon.ts';
import { defaultBehaviour, masqueradeAll, matchAll, type NatConfig } from '../../src/nat/config.ts';
import { OWNED_BYTES } from '../../src/nat/owned.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { rulesOf } from './rules.ts';
import { EXTERNAL, type Protocol, Traffic } from './traffic.ts';

const ROUTES = [
  { prefix: parseAddress('10.0.0.0')!, length: 8, device: 0, gateway: 0, mtu: 0 },
  { prefix: 0, length: 0, device: 1, gateway: 0, mtu: 0 },
];
const PORTS = { first: 32768, last: 65535 };
/** External addresses where each flow has a mapping of its own: of 64512 ports each, a quarter of them used by a million flows. */
const POOL = 61;
const SPARE_FLOWS = 64;

export class Bed {
  readonly traffic: Traffic;
  readonly flows: number;
  private readonly own: boolean;
  private engine: Engine;
  private readonly config: EngineConfig;
  private readonly counters: Float64Array;
  /** ms of the engine's clock: one for 16384 packets, so that nothing ever times out. */
  private now = 0;
  /** ms that it is ahead of the packets. */
  private later = 0;
  private packets = 0;
  private left = 0;

  /** `own`: a mapping for each flow; else flows to different remotes share one. `rules`: of the firewall, of which the last matches. The arena: a new one, if there is none yet. */
  constructor(
    protocol: Protocol,
    flows: number,
    own: boolean,
    rules = 0,
    arena: ArrayBuffer = new ArrayBuffer(ARENA_BYTES),
  ) {
    this.flows = flows;
    this.own = own;
    this.traffic = new Traffic(arena, protocol, own);
    const capacity = flows + SPARE_FLOWS;
    const state = mapped(stateBytes(capacity));
    formatState(state, capacity, [0x1234567, 0x89abcde]);
    this.config = {
      arena,
      state,
      owned: new ArrayBuffer(OWNED_BYTES),
      devices: [
        { side: 'private', address: parseAddress('10.0.0.1')!, mtu: 1500 },
        { side: 'public', address: EXTERNAL, mtu: 1500 },
      ],
      ports: PORTS,
      nat: own ? pool() : masqueradeAll(PORTS),
      ...(rules > 0 && { firewall: rulesOf(rules) }),
      seed: 1,
      now: 0,
    };
    this.engine = new Engine(this.config);
    this.engine.setRoutes(ROUTES);
    this.counters = openState(state).counters;
  }

  /** Another engine takes the flows over. Returns how long that took, ms of CPU time. */
  restart(): number {
    const config = { ...this.config, owned: this.config.owned.slice(0), now: this.now };
    const began = cpuMs();
    this.engine = new Engine(config);
    const ms = cpuMs() - began;
    this.engine.setRoutes(ROUTES);
    const { count } = this.engine.sessions.table;
    if (count !== this.flows) throw new Error(`${count} of ${this.flows} flows were adopted`);
    return ms;
  }

  /** One packet of each flow, in order: its first one (`isReply` false), or an answer. Learns the external ports of first ones. */
  sweep(isReply: boolean): void {
    const { traffic, flows } = this;
    for (let first = 0; first < flows; first += BATCH) {
      const count = Math.min(BATCH, flows - first);
      for (let i = 0; i < count; i++) traffic.write(i, first + i, isReply);
      this.handle(count);
      if (!isReply) traffic.learn(first, count);
      this.engine.clearOut();
    }
  }

  /** What sweep() does but for the engine. */
  emptySweep(isReply: boolean): void {
    const { traffic, flows } = this;
    for (let first = 0; first < flows; first += BATCH) {
      const count = Math.min(BATCH, flows - first);
      for (let i = 0; i < count; i++) traffic.write(i, first + i, isReply);
    }
  }

  /** Opens all connections: first packet, answer, a third and a fourth, which make TCP established and UDP a stream. Returns the CPU time of the first ones, ms. */
  open(): number {
    const { traffic } = this;
    traffic.begin('first', 'small');
    const began = cpuMs();
    this.sweep(false);
    const ms = cpuMs() - began;
    if (this.own) return ms;
    traffic.begin('answer', 'small');
    this.sweep(true);
    // By now the flows of UDP are streams.
    this.later = UDP_STREAM_AGE_MS + 1;
    traffic.begin('third', 'small');
    this.sweep(false);
    // The window of a SYN is not scaled: the server's next segment says how wide it really is.
    this.sweep(true);
    return ms;
  }

  /** The batch that has been written. */
  handle(count: number): void {
    const { engine } = this;
    this.packets += count;
    this.now = (this.later + (this.packets >>> 14)) | 0;
    engine.process(0, count, this.now);
    this.left += engine.outCount;
    engine.tick(this.now);
  }

  clearOut(): void {
    this.engine.clearOut();
  }

  /** Throws unless everything passed. */
  check(): void {
    const { drops } = readCounters(this.counters);
    const { count } = this.engine.sessions.table;
    if (Object.keys(drops).length > 0 || count !== this.flows || this.left !== this.packets) {
      throw new Error(
        `something was in the way: ${count} of ${this.flows} flows, ${this.left} of ${this.packets} packets left, drops ${JSON.stringify(drops)}`,
      );
    }
  }
}

/** Zeroed memory as the gateway's state is: a mapped file on a tmpfs, so that records begin with a cache line. */
function mapped(bytes: number): ArrayBuffer {
  const path = join('/dev/shm', `natgate-bench-${process.pid}`);
  const fd = openSync(path, 'wx+', 0o600);
  try {
    rmSync(path);
    addon().fallocate(fd, bytes);
    return addon().mmap(fd, bytes, true);
  } catch (cause) {
    throw new Error(`no ${Math.ceil(bytes / 2 ** 20)} MiB in /dev/shm for the flow table`, { cause });
  } finally {
    closeSync(fd);
  }
}

function pool(): NatConfig {
  const addresses = Array.from({ length: POOL }, (_, i) => parseAddress(`198.51.100.${i + 1}`)!);
  const behaviour = { ...defaultBehaviour };
  const rule = {
    name: 'pool',
    match: matchAll,
    action: 'pool' as const,
    addresses,
    ports: { first: 1024, last: 65535 },
    behaviour,
  };
  return { rules: [rule], forwards: [], prefixes: [] };
}

/**
 * CPU time in ms of the thread that forwards: other work on the machine disturbs it less than wall time. The compiler has threads of
 * its own, whose time is not that of packets.
 */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 - otherThreadsMs();
}

function otherThreadsMs(): number {
  let ns = 0;
  for (const task of readdirSync('/proc/self/task')) {
    if (Number(task) === process.pid) continue;
    ns += Number(readFileSync(`/proc/self/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return ns / 1e6;
}
