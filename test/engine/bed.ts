/**
 * An engine on a memory link, with everything in reach: batches of any make-up, vnet headers, routes, the owned
 * bitmap, the state. MemoryGateway (src/testing) is the same for those who only want packets in and out.
 *
 *     10.77.0.0/24 ── .1 device 0 │ engine │ device 1 198.18.0.1 ── 198.18.0.0/24 ── .254 ── the rest
 */
import { expect } from 'vitest';
import { type FlowInfo, listFlows } from '../../src/conntrack/flow-info.ts';
import type { Timeouts } from '../../src/conntrack/timeouts.ts';
import { readCounters } from '../../src/engine/counters.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { EventPlace } from '../../src/engine/event-log.ts';
import { type Route, TO_HOST } from '../../src/engine/routes.ts';
import { readShortages } from '../../src/engine/shortages.ts';
import { formatState, openState, stateBytes } from '../../src/engine/state.ts';
import type { TapRecord } from '../../src/engine/tap-record.ts';
import { formatTap, tapBytes } from '../../src/engine/tap-ring.ts';
import { memorySource, TapReader } from '../../src/gateway/observe/tap-reader.ts';
import { MemoryLink, type SentPacket } from '../../src/link/memory.ts';
import type { HelperConfig } from '../../src/nat/alg/registry.ts';
import type { Forward, NatConfig } from '../../src/nat/config.ts';
import type { DnsState } from '../../src/nat/dns.ts';
import type { HeldPorts } from '../../src/nat/mappings.ts';
import { OWNED_BYTES, OWNED_ICMP, OWNED_PROTOCOLS, OWNED_TCP, OWNED_UDP } from '../../src/nat/owned.ts';
import type { FirewallConfig } from '../../src/policy/firewall-config.ts';
import { formatAddress, parseAddress, parsePrefix } from '../../src/wire/address.ts';
import { checkInvariants } from './invariants.ts';

export const PRIVATE = 0;
export const PUBLIC = 1;
export const EXTERNAL = '198.18.0.1';
export const GATEWAY = '10.77.0.1';
export const NEXT_HOP = '198.18.0.254';

export interface Arriving {
  device: number;
  packet: Uint8Array;
  vnet?: Uint8Array;
}

export interface BedOptions {
  flows?: number;
  /** false: nothing is written down. */
  tap?: boolean;
  ports?: { first: number; last: number };
  mtu?: [private_: number, public_: number];
  held?: HeldPorts;
  timeouts?: Partial<Timeouts>;
  clampMss?: boolean;
  helpers?: readonly HelperConfig[];
  seed?: number;
  now?: number;
  external?: string;
  /** Former addresses of the public interface that it still has. */
  former?: string[];
  /** Private devices after the two, from number 2. */
  further?: readonly { address: string; mtu?: number }[];
  routes?: Route[];
  nat?: NatConfig;
  evict?: 'fair' | 'never' | 'unassured';
  unsolicited?: 'silent' | 'unreachable';
  firewall?: FirewallConfig;
  dns?: DnsState;
  log?: (line: string) => void;
  events?: EventPlace;
  /** A bed whose state and owned bitmap a new engine takes over. */
  after?: Pick<Bed, 'state' | 'owned' | 'now'>;
}

export function address(text: string): number {
  return parseAddress(text)!;
}

/** `10.0.0.0/8 device [gateway] [mtu]` */
export function route(prefix: string, device: number, gateway = '', mtu = 0): Route {
  const { address: network, length } = parsePrefix(prefix)!;
  return { prefix: network, length, device, gateway: gateway === '' ? 0 : address(gateway), mtu };
}

export const ROUTES: Route[] = [
  route('10.77.0.0/24', PRIVATE),
  route('198.18.0.0/24', PUBLIC),
  route('0.0.0.0/0', PUBLIC, NEXT_HOP),
  route(`${GATEWAY}/32`, TO_HOST),
  route(`${EXTERNAL}/32`, TO_HOST),
];

const TAP_WORDS = 2 ** 18;

export class Bed {
  readonly engine: Engine;
  readonly state: ArrayBuffer;
  readonly owned: Uint8Array;
  readonly link = new MemoryLink();
  readonly tap = new ArrayBuffer(tapBytes(TAP_WORDS));
  now: number;
  forwards: readonly Forward[];
  /** process() calls that the last batch took. */
  rounds = 0;

  constructor(options: BedOptions = {}) {
    const { after } = options;
    const flows = options.flows ?? 64;
    this.forwards = options.nat?.forwards ?? [];
    this.now = options.now ?? after?.now ?? 0;
    this.state = after?.state ?? new ArrayBuffer(stateBytes(flows));
    if (after === undefined) formatState(this.state, flows, [0x1234567, -0x89abcde]);
    this.owned = after?.owned ?? new Uint8Array(OWNED_BYTES);
    formatTap(this.tap, TAP_WORDS);
    const [privateMtu, publicMtu] = options.mtu ?? [1500, 1500];
    const external = address(options.external ?? EXTERNAL);
    this.engine = new Engine({
      arena: this.link.arena,
      state: this.state,
      owned: this.owned.buffer as ArrayBuffer,
      devices: [
        { side: 'private', name: 'inside', address: address(GATEWAY), mtu: privateMtu },
        {
          side: 'public',
          name: 'outside',
          address: external,
          mtu: publicMtu,
          former: (options.former ?? []).map(address),
        },
        ...(options.further ?? []).map(
          (one, i) =>
            ({
              side: 'private',
              name: `further${i}`,
              address: address(one.address),
              mtu: one.mtu ?? 1500,
            }) as const,
        ),
      ],
      ports: options.ports ?? { first: 32768, last: 65535 },
      held: options.held ?? { tcp: [], udp: [] },
      timeouts: options.timeouts ?? {},
      ...(options.nat && { nat: options.nat }),
      ...(options.dns && { dns: options.dns }),
      ...(options.firewall && { firewall: options.firewall }),
      ...(options.log && { log: options.log }),
      ...(options.events && { events: options.events }),
      ...(options.evict && { evict: options.evict }),
      ...(options.unsolicited && { unsolicited: options.unsolicited }),
      ...(options.clampMss !== undefined && { clampMss: options.clampMss }),
      helpers: options.helpers ?? [],
      ...(options.tap !== false && { tap: { memory: this.tap, clock: () => this.now } }),
      seed: options.seed ?? 1,
      now: this.now | 0,
    });
    this.engine.setRoutes(options.routes ?? ROUTES);
  }

  /** One batch; what was sent because of it, in order. */
  run(batch: Arriving[]): SentPacket[] {
    for (const { device, packet, vnet } of batch) {
      expect(this.link.receive(device, packet, vnet)).toBe(true);
    }
    const count = this.link.takeBatch();
    const sent: SentPacket[] = [];
    this.rounds = 0;
    let done = 0;
    do {
      const next = this.engine.process(done, count, this.now | 0);
      expect(next, 'an engine with all slots free takes a packet').toBeGreaterThanOrEqual(
        this.engine.outCount === 0 && this.rounds > 0 ? done + 1 : done,
      );
      done = next;
      this.rounds++;
      sent.push(...this.link.sent(this.engine.outCount));
      this.engine.clearOut();
    } while (done < count);
    this.engine.tick(this.now | 0);
    return sent;
  }

  /** From the private side, one packet; all that was sent. */
  out(packet: Uint8Array, vnet?: Uint8Array): SentPacket[] {
    return this.run([{ device: PRIVATE, packet, ...(vnet && { vnet }) }]);
  }

  /** From the public side. */
  in(packet: Uint8Array, vnet?: Uint8Array): SentPacket[] {
    return this.run([{ device: PUBLIC, packet, ...(vnet && { vnet }) }]);
  }

  /** The public interface has this address now, and still these former ones; what was sent because of it, to the last. */
  moveTo(external: string, former: string[] = []): SentPacket[] {
    this.engine.setDevice(PUBLIC, { address: address(external), mtu: 1500, former: former.map(address) });
    return this.settle();
  }

  /** What the engine has to send by itself. */
  settle(): SentPacket[] {
    const sent: SentPacket[] = [];
    do {
      sent.push(...this.link.sent(this.engine.outCount));
      this.engine.clearOut();
      this.engine.tick(this.now | 0);
    } while (this.engine.addressChange.isSweeping || this.engine.outCount > 0);
    return sent;
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 1000) {
      this.now += Math.min(left, 1000);
      this.engine.tick(this.now | 0);
    }
  }

  flows(): FlowInfo[] {
    const { table, timeouts } = this.engine.tracker;
    return [...listFlows(table, timeouts, this.now | 0)];
  }

  get drops(): Record<string, number> {
    return readCounters(openState(this.state).counters).drops;
  }

  /** The records of dropped packets, oldest first, and how many were only counted. */
  get dropLog(): { records: TapRecord[]; leftOut: number } {
    const reader = new TapReader(memorySource(this.tap), 'drops', 'oldest');
    const records: TapRecord[] = [];
    for (let more = true; more; ) {
      const batch = reader.read();
      records.push(...batch.records);
      more = batch.more;
    }
    return { records, leftOut: reader.leftOut };
  }

  get totals(): Record<string, number> {
    return readCounters(openState(this.state).counters).totals;
  }

  get shortages(): object[] {
    return readShortages(openState(this.state).shortages).map(({ host, rule, reason, count }) => ({
      host: formatAddress(host),
      rule,
      reason,
      count,
    }));
  }

  /** Packets and bytes in and out of a device. */
  device(index: number): { inPackets: number; inBytes: number; outPackets: number; outBytes: number } {
    const [inPackets, inBytes, outPackets, outBytes] = openState(this.state).counters.subarray(
      128 + index * 8,
      132 + index * 8,
    ) as unknown as [number, number, number, number];
    return { inPackets, inBytes, outPackets, outBytes };
  }

  isOwned(section: 'tcp' | 'udp' | 'icmp' | 'protocol', number: number): boolean {
    const base = { tcp: OWNED_TCP, udp: OWNED_UDP, icmp: OWNED_ICMP, protocol: OWNED_PROTOCOLS }[section];
    return ((this.owned[base + (number >> 3)]! >> (number & 7)) & 1) === 1;
  }

  /** What must be true between batches, whatever came. */
  checkInvariants(ports = { first: 32768, last: 65535 }, held: HeldPorts = { tcp: [], udp: [] }): void {
    const { engine, owned, forwards } = this;
    checkInvariants({
      engine,
      owned,
      ports,
      held,
      forwards,
      counters: openState(this.state).counters,
    });
  }
}

/** The packets that went to one device. */
export function to(device: number, sent: SentPacket[]): Uint8Array[] {
  return sent.filter((packet) => packet.device === device).map(({ packet }) => packet);
}

/** A vnet header, numbers as in linux/virtio_net.h. */
export function vnetHeader(fields: {
  flags?: number;
  gso?: number;
  hdrLen?: number;
  gsoSize?: number;
  csumStart?: number;
  csumOffset?: number;
}): Uint8Array {
  const view = new DataView(new ArrayBuffer(10));
  view.setUint8(0, fields.flags ?? 0);
  view.setUint8(1, fields.gso ?? 0);
  view.setUint16(2, fields.hdrLen ?? 0, true);
  view.setUint16(4, fields.gsoSize ?? 0, true);
  view.setUint16(6, fields.csumStart ?? 0, true);
  view.setUint16(8, fields.csumOffset ?? 0, true);
  return new Uint8Array(view.buffer);
}
