/**
 * An internet in memory: hosts that talk UDP and TCP, directly attached or behind NATs, on one virtual clock. For tests of
 * NAT traversal, without root, sockets or waiting; a run repeats exactly.
 *
 *     const net = new VirtualNetwork();
 *     const server = net.host().udp(3478, ({ from }, socket) => socket.send(from, from));
 *     const peer = net.host({ behind: 'symmetric' }).udp(5000);
 *     peer.send(server.endpoint, 'who am I?');
 *     net.run();
 *     peer.received[0].text          // '198.18.1.1:…': how the server sees it
 *
 *     203.0.113.0/24    hosts of the internet
 *     198.18.k.1        NAT k outside; its pool, if it has one, behind it
 *     10.k.0.0/24       LAN of NAT k; of a carrier-grade one 100.64.k.0/24
 */
import { NatgateError } from '../core/errors.ts';
import { FaultLink, type Faults } from '../link/fault-link.ts';
import type { NatBehaviour } from '../nat/config.ts';
import { parseAddress } from '../wire/address.ts';
import type { NatName } from './named-nats.ts';
import { type Attachment, Segment, type Wiretap } from './segment.ts';
import { VirtualClock } from './virtual-clock.ts';
import { VirtualHost } from './virtual-host.ts';
import { VirtualNat } from './virtual-nat.ts';

/** How a network is made. */
export interface VirtualNetworkOptions {
  /** ms that a packet takes on the link of a host or NAT, each way, where that says nothing else. Default 10. */
  latency?: number;
  /** Seed of the NATs' port choice, default 1. */
  seed?: number;
  /** Told about every packet on every segment, as one line. */
  trace?: (line: string) => void;
  /** Asked about every packet on every segment: true loses it. */
  lose?: (packet: Uint8Array, now: number) => boolean;
  /** What every wire does to every packet; `setFaults` changes it. */
  faults?: Faults;
}

/** Where a host or NAT is. */
export interface PlaceOptions {
  /** The NAT that it is behind; a name stands for a NAT of its own. Default: directly on the internet. */
  behind?: VirtualNat | NatName;
  /** ms that a packet takes on its link, each way. */
  latency?: number;
  /** What its link does to the packets that it sends, and to those that it receives. Of a NAT: its link outside. */
  faults?: LinkFaults;
}

/** A bad wire, each way. */
export interface LinkFaults {
  /** What becomes of packets that leave. */
  sends?: Faults;
  /** What becomes of packets that arrive. */
  receives?: Faults;
}

/** How a NAT is made. */
export interface VirtualNatOptions extends PlaceOptions {
  /** What it does otherwise than NATs of its name. */
  behaviour?: Partial<NatBehaviour>;
  /** Address and prefix length (at most 24) of its LAN side, e.g. '192.168.1.1/24'. */
  inside?: string;
}

/** Hosts on a segment: .2 to .254, or .1 to .254 of the internet. */
const LAST_HOST = 254;

/** An internet in memory. */
export class VirtualNetwork {
  private readonly clock = new VirtualClock();
  private readonly options: VirtualNetworkOptions;
  private readonly internet: Segment;
  private readonly tap: Wiretap;
  private nats = 0;
  private wires = 0;

  /** An internet without hosts. */
  constructor(options: VirtualNetworkOptions = {}) {
    this.options = options;
    this.tap = { ...options, faults: null };
    this.setFaults(options.faults ?? null);
    this.internet = new Segment(this.clock, this.tap, true);
  }

  /** The present: ms since the network was made. */
  get now(): number {
    return this.clock.now;
  }

  /** A new host. */
  host(options: PlaceOptions = {}): VirtualHost {
    const nat = this.place(options);
    const segment = nat?.lan ?? this.internet;
    const network = nat === null ? '203.0.113.0' : nat.inside.split('/')[0]!;
    const latency = options.latency ?? this.options.latency ?? 10;
    const host = new VirtualHost(this.clock, segment, freeAddress(segment, network), latency);
    if (options.faults !== undefined) host.faults = this.bothWays(options.faults);
    return host;
  }

  /** A new NAT. Behind another one it makes what is called NAT444. */
  nat(name: NatName, options: VirtualNatOptions = {}): VirtualNat {
    const nat = this.place(options);
    const k = ++this.nats;
    if (k > LAST_HOST) throw full('the network', `${LAST_HOST} NATs`);
    const outside = nat?.lan ?? this.internet;
    const place = {
      outside,
      address: nat === null ? address(`198.18.${k}.1`) : freeAddress(outside, nat.inside.split('/')[0]!),
      inside: options.inside ?? (name === 'carrier-grade' ? `100.64.${k}.1/24` : `10.${k}.0.1/24`),
      latency: options.latency ?? this.options.latency ?? 10,
      seed: (this.options.seed ?? 1) * 1000 + k,
      ...(options.faults && { faults: this.bothWays(options.faults) }),
    };
    return new VirtualNat(this.clock, this.tap, name, place, options.behaviour ?? {});
  }

  /**
   * Lets `ms` pass; without, everything that is under way comes to its end: packets arrive, and what is not answered is
   * given up. Throws NatgateError `network_busy` when there is no end.
   */
  run(ms?: number): void {
    this.clock.run(ms);
  }

  /** Does something `ms` from now, within run(). Returns what calls it off. */
  after(ms: number, action: () => void): () => void {
    return this.clock.after(ms, action);
  }

  /**
   * From now on every wire does this to every packet; null: nothing. The seed (default: the network's) makes a run repeat exactly.
   * Hosts drop what is damaged, as hosts do; NATs do what natgate does with it. Throws NatgateError `bad_faults`.
   */
  setFaults(faults: Faults | null, seed = this.options.seed ?? 1): void {
    this.tap.faults = faults === null ? null : new FaultLink(faults, seed);
  }

  private bothWays({ sends, receives }: LinkFaults): NonNullable<Attachment['faults']> {
    const seed = (this.options.seed ?? 1) * 1000 + 2 * ++this.wires;
    return {
      ...(sends && { sends: new FaultLink(sends, seed) }),
      ...(receives && { receives: new FaultLink(receives, seed + 1) }),
    };
  }

  private place({ behind }: PlaceOptions): VirtualNat | null {
    if (behind === undefined) return null;
    return typeof behind === 'string' ? this.nat(behind) : behind;
  }
}

function freeAddress(segment: Segment, network: string): number {
  const prefix = network.slice(0, network.lastIndexOf('.'));
  for (let host = 1; host <= LAST_HOST; host++) {
    const candidate = address(`${prefix}.${host}`);
    if (!segment.isTaken(candidate)) return candidate;
  }
  throw full(`${prefix}.0/24`, `${LAST_HOST} hosts`);
}

function address(text: string): number {
  return parseAddress(text)!;
}

function full(what: string, limit: string): NatgateError {
  return new NatgateError('network_full', `${what} has ${limit}`, 'make another VirtualNetwork');
}
