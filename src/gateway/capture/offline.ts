/**
 * An engine in memory that has a gateway's configuration, for packets out of a capture: what would become of them. Nothing of this host
 * takes part: no device, no socket that holds a port, no other flow than those of the capture.
 *
 * The engine's clock is that of the capture, so timeouts pass as they would have. Each packet is a batch of its own.
 */
import { Engine } from '../../engine/engine.ts';
import { type Route, TO_ENGINE, TO_HOST } from '../../engine/routes.ts';
import { formatState, stateBytes } from '../../engine/state.ts';
import { PRIVATE_SIDE, PUBLIC_SIDE } from '../../engine/tap-filter.ts';
import { formatTap, tapBytes } from '../../engine/tap-ring.ts';
import { MemoryLink } from '../../link/memory.ts';
import { dedicatedPrefixes } from '../../nat/dedicated.ts';
import { OWNED_BYTES } from '../../nat/owned.ts';
import { ruleNames } from '../../policy/firewall/compile.ts';
import { type Prefix, prefixMask } from '../../wire/address.ts';
import { forPrivateNetworks } from '../nat-options.ts';
import { type Explained, explain } from '../observe/explain.ts';
import type { PacketSubject } from '../observe/filter-match.ts';
import { TapGroups } from '../observe/tap-groups.ts';
import { subjectOf, type TapNames } from '../observe/tap-names.ts';
import { memorySource, TapReader } from '../observe/tap-reader.ts';
import type { RunOptions } from '../options.ts';
import { namesByNumber } from '../reload/rule-numbers.ts';
import type { ReadPacket } from './capture-file.ts';

const FLOWS = 65_536;
const RING_WORDS = 2 ** 17;
const SNAP = 65_535;
/** Seed of port searches: the same capture gives the same ports. */
const SEED = 1;
/** The engine's clock is looked at this often where the capture is silent, at most so many times. */
const STEP_MS = 1000;
const MAX_STEPS = 86_400;

export interface OfflineSetup {
  options: Pick<
    RunOptions,
    | 'private'
    | 'public'
    | 'ports'
    | 'nat'
    | 'firewall'
    | 'timeouts'
    | 'helpers'
    | 'clampMss'
    | 'evict'
    | 'unsolicited'
  > & { flows?: number };
  /** Private networks of each private interface, in their order; the first address of the first one is the gateway's. */
  networks: readonly (readonly Prefix[])[];
  /** The public interface's own address, wire order. */
  publicAddress: number;
  /** MTU of all interfaces. */
  mtu: number;
}

export class OfflineGateway {
  readonly names: TapNames;
  private readonly link = new MemoryLink();
  private readonly engine: Engine;
  private readonly reader: TapReader;
  private readonly groups = new TapGroups();
  private readonly sides: ('private' | 'public')[];
  private readonly setup: OfflineSetup;
  private began: number | null = null;
  private now = 0;
  private wall = 0;

  constructor(setup: OfflineSetup) {
    const { options, networks, publicAddress, mtu } = setup;
    this.setup = setup;
    const flows = Math.min(options.flows ?? FLOWS, FLOWS);
    const state = new ArrayBuffer(stateBytes(flows));
    formatState(state, flows, [SEED, ~SEED]);
    const memory = new ArrayBuffer(tapBytes(RING_WORDS));
    formatTap(memory, RING_WORDS);
    const inside = options.private.map(({ name }, i) => {
      const own = networks[i] ?? [];
      const address = own[0] === undefined ? 0 : firstHost(own[0]);
      return { side: 'private' as const, name, address, mtu, networks: own };
    });
    const outside = { side: 'public' as const, name: options.public, address: publicAddress, mtu };
    const devices = [...inside, outside];
    this.sides = devices.map(({ side }) => side);
    this.engine = new Engine({
      arena: this.link.arena,
      state,
      owned: new ArrayBuffer(OWNED_BYTES),
      devices,
      ports: options.ports,
      nat: forPrivateNetworks(options.nat, networks.flat()),
      firewall: options.firewall,
      timeouts: options.timeouts,
      helpers: options.helpers,
      clampMss: options.clampMss,
      evict: options.evict,
      unsolicited: options.unsolicited,
      wallClock: () => this.wall,
      tap: { memory, clock: () => this.wall },
      seed: SEED,
      now: 0,
    });
    this.engine.setRoutes(
      routesOf(
        setup,
        inside.map(({ address }) => address),
      ),
    );
    this.engine.tap!.set([
      { program: [], sides: PRIVATE_SIDE | PUBLIC_SIDE, dropped: false, snapLength: SNAP },
    ]);
    this.reader = new TapReader(memorySource(memory), 'tap', 'now');
    this.names = {
      devices: devices.map(({ name, side }) => ({ name, side })),
      rules: namesByNumber(options.nat.rules),
      firewallRules: ruleNames(options.firewall),
      clients: { nameOf: () => '' },
    };
  }

  /**
   * The device by which a packet of the capture came in: that of its interface where it has one of ours, else that of its source; null:
   * it is one that left.
   */
  deviceOf(packet: ReadPacket, side: 'private' | 'public' | null): number | null {
    if (packet.direction === 'out') return null;
    const named = this.names.devices.findIndex(({ name }) => name === packet.interface);
    if (named >= 0 && side === null) return named;
    const source = new DataView(packet.packet.buffer, packet.packet.byteOffset).getInt32(12, true);
    const inside = this.setup.networks.findIndex((networks) =>
      networks.some(({ address, length }) => (source & prefixMask(length)) === address),
    );
    if (side === 'public' || (side === null && inside < 0)) return this.sides.length - 1;
    return Math.max(inside, 0);
  }

  /** What becomes of a packet that comes in by `device`, where that is one that `matches`. */
  handle(
    { packet, time }: ReadPacket,
    device: number,
    matches: (packet: PacketSubject) => boolean = () => true,
  ): Explained[] {
    this.pass(time);
    const { engine, link } = this;
    link.receive(device, packet);
    const count = link.takeBatch();
    for (let done = 0; done < count; ) {
      done = engine.process(done, count, this.now);
      engine.clearOut();
    }
    engine.tick(this.now);
    const groups = [...this.groups.take(this.reader.read().records), ...this.groups.end()];
    return groups
      .filter(({ came }) => matches(subjectOf(came, this.names)))
      .map(({ came, left }) => explain(came, left, this.names));
  }

  /** The clock goes on to that of the capture; never back. */
  private pass(time: number): void {
    this.wall = time;
    this.began ??= time;
    const until = Math.floor(time - this.began);
    const step = Math.max(STEP_MS, Math.ceil((until - this.now) / MAX_STEPS));
    while (this.now + step < until) {
      this.now += step;
      this.engine.tick(this.now);
    }
    this.now = Math.max(this.now, until);
  }
}

/** Everything that is not private is behind the public interface, one hop away. */
function routesOf({ networks, options, publicAddress }: OfflineSetup, own: readonly number[]): Route[] {
  const onLink = { gateway: 0, mtu: 0 };
  const routes: Route[] = networks.flatMap((list, device) =>
    list.map(({ address, length }) => ({ prefix: address, length, device, ...onLink })),
  );
  routes.push({ prefix: 0, length: 0, device: networks.length, ...onLink });
  for (const address of [...own, publicAddress]) {
    if (address !== 0) routes.push({ prefix: address, length: 32, device: TO_HOST, ...onLink });
  }
  for (const { address, length } of dedicatedPrefixes(options.nat)) {
    routes.push({ prefix: address, length, device: TO_ENGINE, ...onLink });
  }
  return routes;
}

/** The network's first address, or its only one. Wire order. */
function firstHost({ address, length }: Prefix): number {
  return length >= 31 ? address : address | (1 << 24);
}
