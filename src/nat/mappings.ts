/**
 * Mappings: internal endpoint → external port (RFC 4787 4.1).
 *
 * Endpoint-independent: all flows of an internal (address, port, protocol) share one external port, which is
 * nobody else's meanwhile. The internal port is kept when it is free. A mapping lives as long as flows refer to it.
 * Protocols without ports have no endpoints; for them a mapping only counts who uses the protocol, and whether a
 * remote is taken already is a question of tuples, which the caller asks the flow table.
 *
 * A mapping is named by `table << 16 | port`: table 0 TCP, 1 UDP, 2 ICMP, 3 other protocols (port = protocol).
 * Invariant: an external port's owner is in the index exactly while the port is mapped. The owned bitmap has TCP
 * and UDP ports of the range that the host does not hold, ICMP ids and protocols only while they are mapped, since
 * those are shared with the host.
 */

import { TagIndex } from '../conntrack/tag-index.ts';
import { hashTuple } from '../conntrack/tuple.ts';
import type { Random } from '../core/random.ts';
import { swap16 } from '../wire/bytes.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { OWNED_BYTES, OWNED_ICMP, OWNED_PROTOCOLS, OWNED_TCP, OWNED_UDP, setOwned } from './owned.ts';
import { PortTable } from './port-table.ts';

export const NO_MAPPING = -1;

const TCP = 0;
const UDP = 1;
const ICMP = 2;
const OTHER = 3;
const SECTIONS = [OWNED_TCP, OWNED_UDP, OWNED_ICMP] as const;
const PROTOCOLS = [PROTO_TCP, PROTO_UDP, PROTO_ICMP] as const;

function tableOf(protocol: number): number {
  return protocol === PROTO_TCP ? TCP : protocol === PROTO_UDP ? UDP : protocol === PROTO_ICMP ? ICMP : OTHER;
}

/** Ports of the range that sockets of the host hold, host order. */
export interface HeldPorts {
  tcp: readonly number[];
  udp: readonly number[];
}

export class Mappings {
  /** TCP, UDP, ICMP. */
  readonly tables: readonly [PortTable, PortTable, PortTable];
  private readonly others = new Int32Array(256);
  private readonly owned: Uint8Array;
  private readonly random: Random;
  private readonly index: TagIndex;
  private readonly key0: number;
  private readonly key1: number;
  private readonly hashOf: (mapping: number) => number;

  /**
   * `owned`: a bitmap of OWNED_BYTES, brought to the right state port by port, so that an engine that starts anew
   * never leaves a port to the host in between. `first`, `last`: range of TCP and UDP ports.
   */
  constructor(
    owned: Uint8Array,
    first: number,
    last: number,
    held: HeldPorts,
    random: Random,
    seed: readonly [number, number],
  ) {
    this.owned = owned;
    this.random = random;
    this.tables = [new PortTable(first, last), new PortTable(first, last), new PortTable(0, 65535)];
    this.index = new TagIndex(new Int32Array(TagIndex.slots(3 * 65536)), 3 * 65536);
    this.key0 = seed[0];
    this.key1 = seed[1];
    this.hashOf = (mapping) => {
      const table = this.tables[(mapping >> 16) as 0 | 1 | 2];
      const port = mapping & 0xffff;
      return this.hash(mapping >> 16, table.internalAddress[port]!, table.internalPort[port]!);
    };
    for (const [t, ports] of [
      [TCP, held.tcp],
      [UDP, held.udp],
    ] as const) {
      for (const port of ports) this.tables[t].hold(port, true);
      for (let port = 0; port < 65536; port++) {
        setOwned(owned, SECTIONS[t], port, port >= first && port <= last && !this.tables[t].isHeld(port));
      }
    }
    owned.fill(0, OWNED_ICMP, OWNED_BYTES);
  }

  /**
   * The mapping of an internal endpoint, made if there is none; one reference more. `port` in wire order (of other
   * protocols: ignored). A new one gets the external port `preferred`, if that is free. NO_MAPPING when no port is.
   */
  acquire(protocol: number, address: number, port: number, preferred = port): number {
    const t = tableOf(protocol);
    if (t === OTHER) return this.acquireProtocol(protocol);
    const table = this.tables[t as 0 | 1 | 2];
    const hash = this.hash(t, address, port);
    const known = this.find(t, address, port, hash);
    if (known >= 0) {
      table.refs[known & 0xffff] = table.refs[known & 0xffff]! + 1;
      return known;
    }
    let external = swap16(preferred);
    if (!table.isFree(external)) external = table.search(this.random.next());
    if (external < 0) return NO_MAPPING;
    return this.map(t, external, address, port, hash);
  }

  /** Takes a mapping over from an adopted flow. NO_MAPPING when the port belongs to somebody else. */
  adopt(protocol: number, address: number, port: number, externalPort: number): number {
    const t = tableOf(protocol);
    if (t === OTHER) return this.acquireProtocol(protocol);
    const table = this.tables[t as 0 | 1 | 2];
    const external = swap16(externalPort);
    const hash = this.hash(t, address, port);
    const known = this.find(t, address, port, hash);
    if (known >= 0) {
      if ((known & 0xffff) !== external) return NO_MAPPING;
      table.refs[external] = table.refs[external]! + 1;
      return known;
    }
    return table.isFree(external) ? this.map(t, external, address, port, hash) : NO_MAPPING;
  }

  /** Gives one reference back. */
  release(mapping: number): void {
    const t = mapping >> 16;
    const port = mapping & 0xffff;
    if (t === OTHER) {
      this.others[port] = this.others[port]! - 1;
      if (this.others[port] === 0) setOwned(this.owned, OWNED_PROTOCOLS, port, false);
      return;
    }
    const table = this.tables[t as 0 | 1 | 2];
    table.refs[port] = table.refs[port]! - 1;
    if (table.refs[port] !== 0) return;
    this.index.remove(this.hashOf(mapping), mapping, this.hashOf);
    table.release(port);
    if (t === ICMP || table.isHeld(port)) setOwned(this.owned, SECTIONS[t as 0 | 1 | 2], port, false);
  }

  /** Whether an external TCP or UDP port (wire order) is natgate's and not the host's. */
  owns(protocol: number, externalPort: number): boolean {
    const table = this.tables[tableOf(protocol) as 0 | 1 | 2];
    const port = swap16(externalPort);
    return port >= table.first && port <= table.last && (!table.isHeld(port) || table.refs[port] !== 0);
  }

  /** The external port of a mapping, in wire order. */
  externalPort(mapping: number): number {
    return swap16(mapping & 0xffff);
  }

  /** Says which ports of the range sockets of the host hold. Replaces what was said before. */
  setHeld(protocol: typeof PROTO_TCP | typeof PROTO_UDP, ports: readonly number[]): void {
    const t = protocol === PROTO_TCP ? TCP : UDP;
    const table = this.tables[t];
    const held = new Set(ports);
    for (let port = table.first; port <= table.last; port++) {
      if (table.isHeld(port) === held.has(port)) continue;
      table.hold(port, held.has(port));
      if (table.refs[port] === 0) setOwned(this.owned, SECTIONS[t], port, !held.has(port));
    }
  }

  private acquireProtocol(protocol: number): number {
    this.others[protocol] = this.others[protocol]! + 1;
    setOwned(this.owned, OWNED_PROTOCOLS, protocol, true);
    return (OTHER << 16) | protocol;
  }

  private map(t: number, external: number, address: number, port: number, hash: number): number {
    const mapping = (t << 16) | external;
    this.tables[t as 0 | 1 | 2].take(external, address, port);
    this.index.insert(hash, mapping);
    if (t === ICMP) setOwned(this.owned, OWNED_ICMP, external, true);
    return mapping;
  }

  private find(t: number, address: number, port: number, hash: number): number {
    const table = this.tables[t as 0 | 1 | 2];
    let slot = this.index.seek(hash, hash);
    while (slot >= 0) {
      const mapping = this.index.valueAt(slot);
      const external = mapping & 0xffff;
      if (
        mapping >> 16 === t &&
        table.internalAddress[external] === address &&
        table.internalPort[external] === port
      ) {
        return mapping;
      }
      slot = this.index.seek(hash, slot + 1);
    }
    return NO_MAPPING;
  }

  private hash(t: number, address: number, port: number): number {
    return hashTuple(address, 0, port, PROTOCOLS[t as 0 | 1 | 2], this.key0, this.key1);
  }
}
