/**
 * What of the shared address is natgate's and what the host's: the owned bitmap (owned.ts), kept true port by port.
 *
 * Invariant: the bitmap has the TCP and UDP ports of the range that the host does not hold, mapped ones, and forwarded
 * ones, wherever they are; ICMP ids and protocols only while somebody uses them, since those are shared with the host.
 * Twice NAT takes ports of the gateway's private address, which is steered by the same bitmap: what the host holds is held
 * there too. Several workers write one bitmap, each the bits of its own ports. Limit: a socket that begins to hold such a port while a flow has it at the private address takes the answers.
 */
import { swap16 } from '../wire/bytes.ts';
import type { Forward } from './config.ts';
import { type ExternalAddresses, ICMP, LOCAL, portTableOf, SHARED, TCP, UDP } from './external-addresses.ts';
import {
  OWNED_BYTES,
  OWNED_ICMP,
  OWNED_PROTOCOLS,
  OWNED_TCP,
  OWNED_UDP,
  setOwned,
  setOwnedAtomic,
} from './owned.ts';
import { ALL_PORTS, type PortClass, workerOfPort } from './port-class.ts';
import { HELD_BY_FORWARD, HELD_BY_HOST, type PortSpace } from './port-space.ts';

const SECTIONS = [OWNED_TCP, OWNED_UDP, OWNED_ICMP] as const;

/** Ports of the range that sockets of the host hold, host order. */
export interface HeldPorts {
  tcp: readonly number[];
  udp: readonly number[];
}

export class SharedPorts {
  private readonly owned: Uint8Array;
  private readonly externals: ExternalAddresses;
  /** The host's addresses whose ports natgate gives. */
  private ofHost: readonly number[];
  /** Uses of protocols without ports. */
  private readonly protocols: Int32Array;
  private readonly own: PortClass;
  private readonly set: typeof setOwned;

  /**
   * `owned`: a bitmap of OWNED_BYTES, brought to the right state port by port, so that an engine that starts anew never
   * leaves a port to the host in between. With several workers `own` says whose ports these are, and `protocols` (256 words)
   * counts for all of them.
   */
  constructor(
    owned: Uint8Array,
    externals: ExternalAddresses,
    forwards: readonly Forward[],
    held: HeldPorts,
    own: PortClass = ALL_PORTS,
    protocols: Int32Array = new Int32Array(256),
  ) {
    this.own = own;
    this.protocols = protocols;
    this.set = own.workers === 1 ? setOwned : setOwnedAtomic;
    this.owned = owned;
    this.externals = externals;
    this.ofHost = forwards.some((forward) => forward.twice) ? [SHARED, LOCAL] : [SHARED];
    this.holdForwards(forwards);
    for (const [table, ports] of [
      [TCP, held.tcp],
      [UDP, held.udp],
    ] as const) {
      for (const number of this.ofHost) {
        for (const port of ports) externals.space(number, table).hold(port, HELD_BY_HOST, true);
      }
      for (let port = 0; port < 65536; port++) this.show(table, port);
    }
    if (own.workers === 1) owned.fill(0, OWNED_ICMP, OWNED_BYTES);
    else this.clearOwn();
  }

  /** Other forwards hold ports from now on. */
  setForwards(before: readonly Forward[], after: readonly Forward[]): void {
    const { externals } = this;
    const isNew = this.holdForwards(after);
    for (const { number, table, port } of this.portsOf(before)) {
      if (isNew.has(keyOf(number, table, port))) continue;
      externals.space(number, table).hold(port, HELD_BY_FORWARD, false);
      if (number === SHARED) this.show(table, port);
    }
    for (const { number, table, port } of this.portsOf(after)) if (number === SHARED) this.show(table, port);
    const ofHost = after.some((forward) => forward.twice) ? [SHARED, LOCAL] : [SHARED];
    if (ofHost.length > this.ofHost.length) {
      for (const table of [TCP, UDP]) this.holdLocal(table);
    }
    this.ofHost = ofHost;
  }

  /** The private address has the host's sockets that the public one has. */
  private holdLocal(table: number): void {
    const shared = this.externals.space(SHARED, table);
    const local = this.externals.space(LOCAL, table);
    for (let port = shared.first; port <= shared.last; port++) {
      local.hold(port, HELD_BY_HOST, (shared.holders(port) & HELD_BY_HOST) !== 0);
    }
  }

  /** Returns what is held, by keyOf(). */
  private holdForwards(forwards: readonly Forward[]): Set<number> {
    const held = new Set<number>();
    for (const { number, table, port } of this.portsOf(forwards)) {
      this.externals.space(number, table).hold(port, HELD_BY_FORWARD, true);
      held.add(keyOf(number, table, port));
    }
    return held;
  }

  private *portsOf(forwards: readonly Forward[]): Generator<{ number: number; table: number; port: number }> {
    for (const { address, protocol, ports } of forwards) {
      const number = address === 0 ? SHARED : this.externals.add(address);
      const table = portTableOf(protocol);
      for (let port = ports.first; port <= ports.last; port++) yield { number, table, port };
    }
  }

  /** What an earlier process left of ids and protocols: each worker clears its own ids, and protocols that nobody uses yet. */
  private clearOwn(): void {
    for (let id = 0; id < 65536; id++) this.show(ICMP, id);
    for (let protocol = 0; protocol < 256; protocol++) {
      if (Atomics.load(this.protocols, protocol) === 0) this.showProtocol(protocol);
    }
  }

  /** Brings the bit of a port or id up to date. */
  show(table: number, port: number): void {
    const { own } = this;
    if (workerOfPort(port, own.workers) !== own.number) return;
    const space = this.externals.space(SHARED, table);
    const isOwned = table === ICMP ? space.isMapped(port) : isOurs(space, port);
    this.set(this.owned, SECTIONS[table as 0 | 1 | 2], port, isOwned);
  }

  /** One use more, or one less, of a protocol without ports. */
  use(protocol: number, by: 1 | -1): void {
    Atomics.add(this.protocols, protocol, by);
    this.showProtocol(protocol);
  }

  /** Another worker may begin to use it at the same time: who clears the bit looks again. */
  private showProtocol(protocol: number): void {
    for (;;) {
      const isUsed = Atomics.load(this.protocols, protocol) > 0;
      this.set(this.owned, OWNED_PROTOCOLS, protocol, isUsed);
      if (isUsed || Atomics.load(this.protocols, protocol) === 0) return;
    }
  }

  /** Whether a TCP or UDP port (wire order) is natgate's and not the host's. */
  owns(protocol: number, port: number): boolean {
    return isOurs(this.externals.space(SHARED, portTableOf(protocol)), swap16(port));
  }

  /** Says which TCP or UDP ports of the range sockets of the host hold. Replaces what was said before. */
  setHeld(protocol: number, ports: readonly number[]): void {
    const table = portTableOf(protocol);
    const held = new Set(ports);
    for (const number of this.ofHost) {
      const space = this.externals.space(number, table);
      for (let port = space.first; port <= space.last; port++) {
        if (((space.holders(port) & HELD_BY_HOST) !== 0) === held.has(port)) continue;
        space.hold(port, HELD_BY_HOST, held.has(port));
        if (number === SHARED) this.show(table, port);
      }
    }
  }
}

function keyOf(number: number, table: number, port: number): number {
  return (number * 4 + table) * 65536 + port;
}

function isOurs(space: PortSpace, port: number): boolean {
  const holders = space.holders(port);
  if ((holders & HELD_BY_FORWARD) !== 0 || space.isMapped(port)) return true;
  return port >= space.first && port <= space.last && holders === 0;
}
