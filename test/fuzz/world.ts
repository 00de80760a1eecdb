/** An engine on an arena, to which steps happen, and which is looked at after each. */

import {
  ARENA_BYTES,
  BATCH,
  IN_LIST,
  LINEAR_BYTES,
  OUT_LIST,
  overflowOffset,
  packetOffset,
} from '../../src/engine/arena.ts';
import { FLOWS_ENDED, FLOWS_LOST } from '../../src/engine/counters.ts';
import { Engine } from '../../src/engine/engine.ts';
import { formatState, openState, stateBytes } from '../../src/engine/state.ts';
import type { HeldPorts } from '../../src/nat/mappings.ts';
import { OWNED_BYTES } from '../../src/nat/owned.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import { Broken, checkBooks, checkInvariants, checkLifetimes } from '../engine/invariants.ts';
import { Checks } from './checks.ts';
import { type Configuration, GATEWAY, PRIVATE, PUBLIC } from './configurations.ts';
import type { Arrival, Step } from './steps.ts';
import { beat } from './watchdog.ts';

/** One arena for all: what an earlier engine left in it must not matter. */
const arena = new ArrayBuffer(ARENA_BYTES);
const bytes = new Bytes(arena);

/** process() calls that one packet may take. */
const MAX_ROUNDS = 70;

export class World {
  readonly configuration: Configuration;
  readonly bytes = bytes;
  readonly counters: Float64Array;
  /** Called for each entry list before it is cleared. */
  onSent: (count: number) => void = () => {};
  now: number;
  private readonly owned = new Uint8Array(OWNED_BYTES);
  private readonly checks: Checks;
  private readonly state: ArrayBuffer;
  private current: Engine;
  private routes = 0;
  private held: HeldPorts = { tcp: [], udp: [] };
  /** Whether something has happened that may cost flows their place when the engine dies: see dies(). */
  private mayLose = false;
  private count = 0;

  /** `state`: of stateBytes(), zeroed or not; default: one of its own. */
  constructor(configuration: Configuration, state?: ArrayBuffer) {
    this.configuration = configuration;
    const { flows, mtu, now, externals } = configuration;
    this.now = now;
    this.state = state ?? new ArrayBuffer(stateBytes(flows));
    formatState(this.state, flows, [0x1234567, -0x89abcde]);
    this.counters = openState(this.state).counters;
    this.current = this.make(mtu, externals[0]!);
    this.checks = new Checks(bytes, this.current, mtu, GATEWAY, externals[0]!);
  }

  /** The one that lives: another after each kill. */
  get engine(): Engine {
    return this.current;
  }

  /** An engine on the state, told what the host is like now. */
  private make(mtu: readonly number[], external: number): Engine {
    const { ports, timeouts, routes, engine } = this.configuration;
    const made = new Engine({
      arena,
      state: this.state,
      owned: this.owned.buffer as ArrayBuffer,
      devices: [
        { side: 'private', address: GATEWAY, mtu: mtu[PRIVATE]! },
        { side: 'public', address: external, mtu: mtu[PUBLIC]! },
      ],
      ports,
      held: this.held,
      timeouts,
      seed: 1,
      now: this.now,
      ...engine,
    });
    made.setRoutes(routes[this.routes]!);
    return made;
  }

  /**
   * The engine is gone between two steps, with all that is not in the state; the next one adopts that. While the address stays
   * and the host takes no port, no flow is lost.
   */
  private dies(now: number): void {
    const { checks, counters } = this;
    this.now = now;
    const lost = counters[FLOWS_LOST]!;
    const flows = this.current.tracker.table.count;
    this.current = this.make(checks.mtu, checks.external);
    checks.engine = this.current;
    if (!this.mayLose && counters[FLOWS_LOST] !== lost) {
      throw new Broken('lost', `${counters[FLOWS_LOST]! - lost} of ${flows} flows were not adopted`);
    }
    this.checkDeep();
  }

  /** Slots of the batch that are taken. */
  get arrived(): number {
    return this.count;
  }

  /**
   * Puts a packet of `length` bytes into the next slot of the batch. `from` looks like a slot: 2 bytes of padding, 10 of vnet
   * header, then the packet.
   */
  put(device: number, from: Uint8Array, length: number): void {
    const slot = this.count++;
    const { u8, i32 } = bytes;
    const at = packetOffset(slot) - 12;
    const linear = Math.min(length, LINEAR_BYTES) + 12;
    if (linear <= 256) for (let i = 0; i < linear; i++) u8[at + i] = from[i]!;
    else u8.set(from.subarray(0, linear), at);
    if (length > LINEAR_BYTES) u8.set(from.subarray(12 + LINEAR_BYTES, 12 + length), overflowOffset(slot));
    i32[(IN_LIST >> 2) + slot * 2] = device;
    i32[(IN_LIST >> 2) + slot * 2 + 1] = length;
    this.checks.arrived(slot, device, length);
  }

  receive({ device, vnet, packet }: Arrival): void {
    const whole = new Uint8Array(12 + packet.length);
    whole.set(vnet, 2);
    whole.set(packet, 12);
    this.put(device, whole, packet.length);
  }

  /** The packets of the batch, as they are in their slots (before they are handled). */
  arrivals(): Arrival[] {
    return this.listed(IN_LIST >> 2, this.count, true);
  }

  /** The packets of the out list, for onSent. */
  sent(count: number): Arrival[] {
    return this.listed(OUT_LIST >> 2, count, false);
  }

  private listed(list: number, count: number, arriving: boolean): Arrival[] {
    return Array.from({ length: count }, (_, i) => {
      const entry = bytes.i32[list + i * 2]!;
      const length = bytes.i32[list + i * 2 + 1]!;
      const slot = arriving ? i : entry & 0xffff;
      const at = packetOffset(slot);
      const packet = new Uint8Array(length);
      packet.set(bytes.u8.subarray(at, at + Math.min(length, LINEAR_BYTES)));
      if (length > LINEAR_BYTES) {
        const rest = overflowOffset(slot);
        packet.set(bytes.u8.subarray(rest, rest + length - LINEAR_BYTES), LINEAR_BYTES);
      }
      return { device: arriving ? entry : entry >>> 16, vnet: bytes.u8.slice(at - 10, at), packet };
    });
  }

  /** Handles the batch at time `now` and looks at what came of it; then a tick, as in the gateway. */
  run(now: number): void {
    this.handle(now);
    this.tick(now);
    checkBooks(this.counters);
    beat();
  }

  /** run() without the tick. */
  handle(now: number): void {
    const { engine, counters, count } = this;
    this.now = now;
    this.count = 0;
    let stuck = 0;
    for (let done = 0; done < count; ) {
      const ended = counters[FLOWS_ENDED]!;
      const next = engine.process(done, count, now);
      const sent = engine.outCount;
      // With all slots free a packet is handled, however large; only fragments that it sets free may take a few rounds.
      if (next < done || next > count || stuck > MAX_ROUNDS) {
        throw new Broken('progress', `${count} packets, ${done} handled, then ${next}`);
      }
      stuck = next === done ? stuck + 1 : 0;
      this.checks.sent(sent, next, counters[FLOWS_ENDED] !== ended);
      this.onSent(sent);
      engine.clearOut();
      done = next;
    }
  }

  /** From now on every transport checksum is looked at, so that what is found does not depend on what came before. */
  lookClosely(): void {
    this.checks.sumEvery = 1;
  }

  tick(now: number): void {
    const { engine } = this;
    this.now = now;
    engine.tick(now);
    // What was held may be answered now.
    this.checks.sent(engine.outCount, 0, true);
    engine.clearOut();
  }

  apply(step: Step): void {
    const { engine, checks } = this;
    switch (step.kind) {
      case 'batch':
        for (const arrival of step.arrivals.slice(0, BATCH)) this.receive(arrival);
        this.run(step.now);
        break;
      case 'tick':
        this.tick(step.now);
        break;
      case 'routes':
        engine.setRoutes(this.configuration.routes[step.variant]!);
        this.routes = step.variant;
        break;
      case 'device':
        engine.setDevice(step.device, { address: step.address, mtu: step.mtu });
        checks.mtu[step.device] = step.mtu;
        if (step.device === PUBLIC) {
          this.mayLose ||= checks.external !== step.address;
          checks.external = step.address;
        }
        // Private hosts are told of the connections that have ended.
        checks.sent(engine.outCount, 0, true);
        engine.clearOut();
        break;
      case 'held':
        engine.setHeldPorts(step.protocol, step.ports);
        this.mayLose ||= step.ports.length > 0;
        this.held = { ...this.held, [step.protocol === 6 ? 'tcp' : 'udp']: step.ports };
        break;
      case 'neighbour':
        engine.setNeighbour(step.device, step.address, step.failed);
        break;
      case 'kill':
        this.dies(step.now);
        break;
    }
  }

  /** Every flow, mapping and list. */
  checkDeep(): void {
    const { engine, counters, owned, held } = this;
    checkLifetimes(counters, engine.tracker.table);
    const forwards = this.configuration.engine?.nat?.forwards ?? [];
    checkInvariants({ engine, counters, owned, ports: this.configuration.ports, held, forwards });
  }
}
