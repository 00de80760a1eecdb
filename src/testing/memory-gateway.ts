/**
 * A whole gateway in memory: put packets in on one side, take them out on the other. No devices, no root, no clock.
 *
 *     const gateway = new MemoryGateway({ private: '10.77.0.1/24', public: '198.18.0.1/24' });
 *     gateway.sendPrivate(udpPacket({ from: '10.77.0.2:5000', to: '198.18.0.2:53' }));
 *     gateway.receivePublic();   // [the packet, from 198.18.0.1]
 *
 * It is the engine that `natgate run` runs. Everything else is behind the public side, one hop away; the private
 * network is that of the private address.
 */
import { type FlowInfo, listFlows } from '../conntrack/flow-info.ts';
import type { Timeouts } from '../conntrack/timeouts.ts';
import { NatgateError } from '../core/errors.ts';
import { readCounters } from '../engine/counters.ts';
import { Engine } from '../engine/engine.ts';
import { type Route, TO_HOST } from '../engine/routes.ts';
import type { RuleCount } from '../engine/rule-counters.ts';
import { formatState, openState, stateBytes } from '../engine/state.ts';
import { MemoryLink } from '../link/memory.ts';
import type { HelperConfig } from '../nat/alg/registry.ts';
import type { NatConfig, PortRange } from '../nat/config.ts';
import { OWNED_BYTES } from '../nat/owned.ts';
import type { FirewallConfig } from '../policy/firewall-config.ts';
import { parseAddress, parsePrefix, prefixMask } from '../wire/address.ts';

/** How a gateway in memory is made. */
export interface MemoryGatewayOptions {
  /** Address and prefix length on the private side, e.g. '10.77.0.1/24'. */
  private: string;
  /** Address and prefix length on the public side. */
  public: string;
  /** External TCP and UDP ports, default 32768-65535. */
  ports?: PortRange;
  /** Flows that fit, default 4096. */
  flows?: number;
  /** MTU of the private and of the public side, default 1500. */
  /** How flows are translated, and what is let in; default: everything masqueraded. */
  nat?: NatConfig;
  /** Which new flows may cross; default: all that NAT lets in, with anti-spoofing. */
  firewall?: FirewallConfig;
  /** ms since 1970 at `now` 0, for firewall rules with a schedule; default 0. */
  wallClock?: number;
  /** Takes the lines of firewall rules that log; the interfaces are `private` and `public` there. */
  log?: (line: string) => void;
  /** What makes room when the flow table is full: nothing (the default), or flows that are not ASSURED. */
  evict?: 'fair' | 'never' | 'unassured';
  /** What becomes of a SYN from outside that nothing expects (RFC 5382 REQ-4). */
  unsolicited?: 'silent' | 'unreachable';
  /** Bytes of an IPv4 packet, default 1500. */
  mtu?: {
    /** Of the private side. */
    private?: number;
    /** Of the public side. */
    public?: number;
  };
  /** Seconds of silence, where they shall differ from the defaults. */
  timeouts?: Partial<Timeouts>;
  /** Helpers and their ports, none by default: `[{ name: 'ftp', protocol: 6, port: 21 }]`. */
  helpers?: readonly HelperConfig[];
  /** Seed of the port search, default 1: runs repeat. */
  seed?: number;
  /** The present in ms, default 0. */
  now?: number;
}

const PRIVATE_DEVICE = 0;
const PUBLIC_DEVICE = 1;

/** A gateway in memory: packets in on one side, out on the other. */
export class MemoryGateway {
  /** The engine, for what this class does not offer. */
  readonly engine: Engine;
  /** The present, in ms. */
  now: number;
  private readonly link = new MemoryLink();
  private readonly counters: Float64Array;
  private readonly sent: [Uint8Array[], Uint8Array[]] = [[], []];

  constructor(options: MemoryGatewayOptions) {
    const flows = options.flows ?? 4096;
    const seed = options.seed ?? 1;
    const inside = parseInterface(options.private);
    const outside = parseInterface(options.public);
    const state = new ArrayBuffer(stateBytes(flows));
    formatState(state, flows, [seed, ~seed]);
    this.now = options.now ?? 0;
    this.counters = openState(state).counters;
    this.engine = new Engine({
      arena: this.link.arena,
      state,
      owned: new ArrayBuffer(OWNED_BYTES),
      devices: [
        { side: 'private', name: 'private', ...inside, mtu: options.mtu?.private ?? 1500 },
        { side: 'public', name: 'public', ...outside, mtu: options.mtu?.public ?? 1500 },
      ],
      ports: options.ports ?? { first: 32768, last: 65535 },
      timeouts: options.timeouts ?? {},
      ...(options.nat && { nat: options.nat }),
      ...(options.firewall && { firewall: options.firewall }),
      ...(options.log && { log: options.log }),
      wallClock: () => (options.wallClock ?? 0) + this.now,
      ...(options.evict && { evict: options.evict }),
      ...(options.unsolicited && { unsolicited: options.unsolicited }),
      helpers: options.helpers ?? [],
      seed,
      now: this.now,
    });
    const mask = prefixMask(inside.prefixLength);
    const onLink = { gateway: 0, mtu: 0 };
    const routes: Route[] = [
      { prefix: inside.address & mask, length: inside.prefixLength, device: PRIVATE_DEVICE, ...onLink },
      { prefix: 0, length: 0, device: PUBLIC_DEVICE, ...onLink },
      { prefix: inside.address, length: 32, device: TO_HOST, ...onLink },
      { prefix: outside.address, length: 32, device: TO_HOST, ...onLink },
    ];
    this.engine.setRoutes(routes);
  }

  /** A packet arrives from the private side. */
  sendPrivate(packet: Uint8Array, vnet?: Uint8Array): void {
    this.send(PRIVATE_DEVICE, packet, vnet);
  }

  /** A packet arrives from the public side. */
  sendPublic(packet: Uint8Array, vnet?: Uint8Array): void {
    this.send(PUBLIC_DEVICE, packet, vnet);
  }

  /** Takes what was sent to the private side, in order. */
  receivePrivate(): Uint8Array[] {
    return this.sent[PRIVATE_DEVICE].splice(0);
  }

  /** Takes what was sent to the public side, in order. */
  receivePublic(): Uint8Array[] {
    return this.sent[PUBLIC_DEVICE].splice(0);
  }

  /** Lets time pass, in ms; flows whose time is up end. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= 1000) {
      this.now = (this.now + Math.min(left, 1000)) | 0;
      this.engine.tick(this.now);
    }
  }

  /** The live flows. */
  flows(): FlowInfo[] {
    const { table, timeouts } = this.engine.tracker;
    return [...listFlows(table, timeouts, this.now)];
  }

  /** Drops by reason, those that are not zero. */
  drops(): Record<string, number> {
    return readCounters(this.counters).drops;
  }

  /** Counters by name. */
  totals(): Record<string, number> {
    return readCounters(this.counters).totals;
  }

  /** What each firewall rule, and each default, has matched. */
  firewallRules(): RuleCount[] {
    return this.engine.gate.ruleCounts();
  }

  private send(device: number, packet: Uint8Array, vnet?: Uint8Array): void {
    this.link.receive(device, packet, vnet);
    const count = this.link.takeBatch();
    for (let done = 0; done < count; ) {
      done = this.engine.process(done, count, this.now);
      for (const sent of this.link.sent(this.engine.outCount))
        this.sent[sent.device as 0 | 1].push(sent.packet);
      this.engine.clearOut();
    }
    this.engine.tick(this.now);
  }
}

function parseInterface(text: string): { address: number; prefixLength: number } {
  const [address = '', length = ''] = text.split('/');
  const prefix = parsePrefix(text);
  if (prefix === null || length === '') {
    throw new NatgateError('bad_address', `not an address with prefix length: ${text}`, 'e.g. 10.77.0.1/24');
  }
  return { address: parseAddress(address)!, prefixLength: prefix.length };
}
