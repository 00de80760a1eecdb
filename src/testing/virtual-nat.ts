/**
 * A NAT of a virtual network: a MemoryGateway between a LAN of its own and the segment that it is attached to. Its clock is
 * brought up to the network's before each packet.
 */
import type { NatBehaviour } from '../nat/config.ts';
import { formatAddress, parseAddress } from '../wire/address.ts';
import { IP_DESTINATION } from '../wire/ipv4.ts';
import { MemoryGateway } from './memory-gateway.ts';
import { type NatName, namedNat } from './named-nats.ts';
import { type Attachment, Segment, type Wiretap } from './segment.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** How a NAT is attached. */
export interface NatPlace {
  outside: Segment;
  /** The address outside; a pool's are the four behind it. */
  address: number;
  /** Address and prefix length inside. */
  inside: string;
  latency: number;
  seed: number;
  /** What its link outside does to packets. */
  faults?: NonNullable<Attachment['faults']>;
}

const PORTS = { first: 1024, last: 65535 };
const POOL = 4;

/** A NAT, made by `VirtualNetwork.nat`. */
export class VirtualNat {
  /** What kind of NAT it is. */
  readonly name: NatName;
  /** Its address on the outside. */
  readonly address: string;
  /** The gateway that does the work: its flows and drops tell what happened. */
  readonly gateway: MemoryGateway;
  /** @internal */
  readonly lan: Segment;
  /** Address and prefix length of its LAN side. */
  readonly inside: string;
  private readonly clock: VirtualClock;
  private readonly outside: Segment;
  private readonly own: ReadonlySet<number>;
  private readonly outer: Attachment;
  private readonly inner: Attachment;

  /** @internal */
  constructor(
    clock: VirtualClock,
    tap: Wiretap,
    name: NatName,
    place: NatPlace,
    changes: Partial<NatBehaviour>,
  ) {
    this.clock = clock;
    this.name = name;
    this.outside = place.outside;
    this.inside = place.inside;
    this.address = formatAddress(place.address);
    const pool = name === 'carrier-grade' ? behind(place.outside, place.address, POOL) : [];
    const options = {
      private: place.inside,
      public: `${this.address}/24`,
      ports: PORTS,
      seed: place.seed,
      now: clock.now,
      nat: namedNat(name, PORTS, pool, changes),
    };
    this.gateway = new MemoryGateway(options);
    this.lan = new Segment(clock, tap, false);
    this.outer = {
      latency: place.latency,
      deliver: (packet) => this.pass('sendPublic', packet),
      ...(place.faults && { faults: place.faults }),
    };
    this.inner = { latency: 0, deliver: (packet) => this.pass('sendPrivate', packet) };
    this.lan.uplink = this.inner;
    this.lan.attach(parseAddress(place.inside.split('/')[0]!)!, this.inner);
    this.own = new Set([place.address, ...pool]);
    for (const address of this.own) this.outside.attach(address, this.outer);
  }

  private pass(side: 'sendPublic' | 'sendPrivate', packet: Uint8Array): void {
    const { gateway, clock } = this;
    gateway.advance(clock.now - gateway.now);
    gateway[side](packet);
    for (const sent of gateway.receivePublic()) {
      // What is the gateway's own comes back unchanged, for the host that it would run on. There is none.
      if (!this.own.has(destination(sent))) this.outside.send(sent, this.outer);
    }
    for (const sent of gateway.receivePrivate()) this.lan.send(sent, this.inner);
  }
}

function destination(packet: Uint8Array): number {
  return new DataView(packet.buffer, packet.byteOffset).getInt32(IP_DESTINATION, true);
}

/** The first `count` free addresses that follow one of a segment. */
function behind(segment: Segment, address: number, count: number): number[] {
  const free: number[] = [];
  for (let last = (address >>> 24) + 1; last < 255 && free.length < count; last++) {
    const candidate = (address & 0xffffff) | (last << 24);
    if (!segment.isTaken(candidate)) free.push(candidate);
  }
  return free;
}
