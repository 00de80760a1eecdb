/**
 * Several engines in memory that share what the workers of one gateway share. A packet goes to the worker that the steering
 * would give it to (or to one that a test names), then all work until no ring has anything.
 */
import { type FlowInfo, listFlows } from '../../src/conntrack/flow-info.ts';
import { readCounters } from '../../src/engine/counters.ts';
import { Engine } from '../../src/engine/engine.ts';
import { makeHub } from '../../src/engine/hub.ts';
import { formatState, openState, stateBytes } from '../../src/engine/state.ts';
import { MemoryLink, type SentPacket } from '../../src/link/memory.ts';
import { OWNED_BYTES, OWNED_ICMP, OWNED_PROTOCOLS, OWNED_TCP, OWNED_UDP } from '../../src/nat/owned.ts';
import { workerOfTuple } from '../../src/nat/port-class.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import {
  KIND_ERROR,
  M_FRAGMENT,
  M_KIND,
  M_L4,
  M_LENGTH,
  M_PORTS,
  M_PROTOCOL,
  META,
  parsePacket,
  parseQuote,
} from '../../src/wire/parse.ts';
import { address, type BedOptions, EXTERNAL, GATEWAY, PRIVATE, PUBLIC, ROUTES } from './bed.ts';

export interface CrewOptions extends BedOptions {
  workers?: number;
  /** A crew whose states and owned bitmap a new one takes over. */
  takesOver?: Crew;
}

/** The worker to whose queue the steering program gives a packet. */
export function queueOf(packet: Uint8Array, device: number, workers: number): number {
  const buffer = new ArrayBuffer((packet.length + 64) & ~7);
  new Uint8Array(buffer).set(packet);
  const bytes = new Bytes(buffer);
  const meta = new Int32Array(2 * META);
  parsePacket(bytes, 0, packet.length, false, meta, 0);
  if (meta[M_FRAGMENT] !== 0) return 0;
  const isInside = device === PRIVATE;
  if (meta[M_KIND] !== KIND_ERROR) return workerOfTuple(meta[M_PROTOCOL]!, meta[M_PORTS]!, isInside, workers);
  parseQuote(bytes, meta[M_L4]!, meta[M_LENGTH]! - meta[M_L4]!, meta, META);
  // The quoted packet went the other way.
  return workerOfTuple(meta[META + M_PROTOCOL]!, meta[META + M_PORTS]!, !isInside, workers);
}

export class Crew {
  readonly workers: number;
  readonly engines: Engine[] = [];
  readonly states: ArrayBuffer[];
  readonly owned: Uint8Array;
  readonly woken = new Set<number>();
  now: number;
  private readonly links: MemoryLink[] = [];

  constructor(options: CrewOptions = {}) {
    const before = options.takesOver;
    this.workers = options.workers ?? before?.workers ?? 4;
    const flows = options.flows ?? 64;
    this.now = options.now ?? before?.now ?? 0;
    this.owned = before?.owned ?? new Uint8Array(OWNED_BYTES);
    const seed = [0x1234567, -0x89abcde] as const;
    const hub = makeHub(this.workers, flows * this.workers, seed);
    this.states = before?.states ?? [];
    for (let number = 0; number < this.workers; number++) {
      if (before === undefined) {
        this.states[number] = new ArrayBuffer(stateBytes(flows));
        formatState(this.states[number]!, flows, seed);
      }
      this.links[number] = new MemoryLink();
      this.engines[number] = new Engine({
        arena: this.links[number]!.arena,
        state: this.states[number]!,
        owned: this.owned.buffer as ArrayBuffer,
        devices: [
          { side: 'private', address: address(GATEWAY), mtu: options.mtu?.[0] ?? 1500 },
          { side: 'public', address: address(options.external ?? EXTERNAL), mtu: options.mtu?.[1] ?? 1500 },
        ],
        ports: options.ports ?? { first: 32768, last: 65535 },
        held: options.held ?? { tcp: [], udp: [] },
        timeouts: options.timeouts ?? {},
        ...(options.nat && { nat: options.nat }),
        ...(options.dns && { dns: options.dns }),
        ...(options.firewall && { firewall: options.firewall }),
        ...(options.evict && { evict: options.evict }),
        helpers: options.helpers ?? [],
        seat: { number, hub, wake: (worker) => void this.woken.add(worker) },
        seed: (options.seed ?? 1) + number,
        now: this.now | 0,
      });
      this.engines[number]!.setRoutes(options.routes ?? ROUTES);
    }
    this.settle();
  }

  /** From the private side, to the worker that the steering says, or to `worker`; all that was sent because of it. */
  out(packet: Uint8Array, worker = queueOf(packet, PRIVATE, this.workers)): SentPacket[] {
    return this.arrive(PRIVATE, packet, worker);
  }

  /** From the public side. */
  in(packet: Uint8Array, worker = queueOf(packet, PUBLIC, this.workers)): SentPacket[] {
    return this.arrive(PUBLIC, packet, worker);
  }

  /** Only gives the packet to the worker; the others do nothing yet. */
  arrive(device: number, packet: Uint8Array, worker: number, settles = true): SentPacket[] {
    this.links[worker]!.receive(device, packet);
    const sent = this.handle(worker, this.links[worker]!.takeBatch());
    return settles ? [...sent, ...this.settle()] : sent;
  }

  /** Lets all workers handle what they have been handed. */
  settle(): SentPacket[] {
    const sent: SentPacket[] = [];
    for (let isBusy = true; isBusy; ) {
      isBusy = false;
      for (const [worker, engine] of this.engines.entries()) {
        engine.handOff!.tellAll();
        if (engine.handOff!.isIdle) continue;
        isBusy = true;
        sent.push(...this.handle(worker, engine.handOff!.receive(this.now | 0)));
        engine.handOff!.received();
      }
    }
    return sent;
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 1000) {
      this.now += Math.min(left, 1000);
      for (const engine of this.engines) engine.tick(this.now | 0);
      this.settle();
    }
  }

  /** The live flows of a worker. */
  flows(worker: number): FlowInfo[] {
    const { table, timeouts } = this.engines[worker]!.tracker;
    return [...listFlows(table, timeouts, this.now | 0)];
  }

  /** How many live flows each worker has. */
  get counts(): number[] {
    return this.engines.map((_, worker) => this.flows(worker).length);
  }

  /** Drops by reason over all workers. */
  get drops(): Record<string, number> {
    return this.sum((state) => readCounters(openState(state).counters).drops);
  }

  get totals(): Record<string, number> {
    return this.sum((state) => readCounters(openState(state).counters).totals);
  }

  /** Packets and bytes in and out of a device, over all workers. */
  device(index: number): number[] {
    const sums = [0, 0, 0, 0];
    for (const state of this.states) {
      const { counters } = openState(state);
      for (let i = 0; i < 4; i++) sums[i]! += counters[128 + index * 8 + i]!;
    }
    return sums;
  }

  isOwned(section: 'tcp' | 'udp' | 'icmp' | 'protocol', number: number): boolean {
    const base = { tcp: OWNED_TCP, udp: OWNED_UDP, icmp: OWNED_ICMP, protocol: OWNED_PROTOCOLS }[section];
    return ((this.owned[base + (number >> 3)]! >> (number & 7)) & 1) === 1;
  }

  private sum(read: (state: ArrayBuffer) => Record<string, number>): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const state of this.states) {
      for (const [name, value] of Object.entries(read(state))) sums[name] = (sums[name] ?? 0) + value;
    }
    return sums;
  }

  private handle(worker: number, count: number): SentPacket[] {
    const engine = this.engines[worker]!;
    const sent: SentPacket[] = [];
    let done = 0;
    do {
      done = engine.process(done, count, this.now | 0);
      sent.push(...this.links[worker]!.sent(engine.outCount));
      engine.clearOut();
    } while (done < count);
    engine.tick(this.now | 0);
    return sent;
  }
}
