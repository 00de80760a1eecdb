/**
 * Finding an external port for a new mapping. When none is free, in this order:
 *
 *     1. a TCP port all of whose flows are over (TIME_WAIT) changes hands      (counted)
 *     2. the port that has been in quarantine longest                          (counted)
 *     3. a port is overloaded: another host's, towards other remotes (RFC 7857), unless the rule forbids it (counted)
 *     4. of a host that has more ports, a port whose only flow never became ASSURED (`evict: fair`)
 *
 * So that those who have few find one free: of the last eighth nothing is given, by 2 neither, to a host that has its share, which is the
 * range divided by the hosts that have anything. No other live mapping ever makes room. Where hosts have blocks of their own, what is in them is all they get.
 */
import { hashTuple } from '../conntrack/tuple.ts';
import type { Random } from '../core/random.ts';
import { swap16 } from '../wire/bytes.ts';
import { type ExternalAddresses, ICMP, TCP } from './external-addresses.ts';
import type { Hosts } from './hosts.ts';
import { type MappingTable, NO_MAPPING } from './mapping-table.ts';
import { blockAt, PortBlocks, placeOf } from './port-blocks.ts';
import { choosePort } from './port-choice.ts';
import type { PortSpace } from './port-space.ts';
import { type CompiledRule, OVERLOAD_ALWAYS, OVERLOAD_NEVER, PRESERVE } from './rules.ts';

/** Ports looked at for one to overload, or to take from a flow that is over. */
const TRIES = 128;
/** From so many ports on a range has a reserve. */
const RESERVE_FROM = 1024;

/** What mappings ask of those who know the flows. */
export interface FlowsOfMappings {
  /** Whether a flow has the reply tuple of (remote → external endpoint); ports in wire order. */
  isTaken(table: number, remote: number, remotePort: number, external: number, externalPort: number): boolean;
  /** Ends `flow`, the last of a mapping, if it is over and may make room for one to `remote`; whether it did. */
  endFinished(mapping: number, flow: number, remote: number, remotePort: number): boolean;
  /** Ends `flow`, the last of a mapping, if it never became ASSURED; whether it did. */
  endUnassured(mapping: number, flow: number): boolean;
}

export class PortAllocator {
  /** How often each of the ways out of a shortage was taken. */
  recycled = 0;
  quarantineCut = 0;
  overloaded = 0;
  private readonly externals: ExternalAddresses;
  private readonly table: MappingTable;
  private readonly flows: FlowsOfMappings;
  private readonly random: Random;
  private readonly seed: readonly [number, number];
  private readonly hosts: Hosts;
  private readonly workers: number;
  private readonly blocks = new Map<number, PortBlocks>();

  constructor(
    externals: ExternalAddresses,
    table: MappingTable,
    flows: FlowsOfMappings,
    random: Random,
    seed: readonly [number, number],
    hosts: Hosts,
    workers: number,
  ) {
    this.externals = externals;
    this.table = table;
    this.flows = flows;
    this.random = random;
    this.seed = seed;
    this.hosts = hosts;
    this.workers = workers;
  }

  /** A port that is nobody's, or, where the rule says so, one that others have towards other remotes. */
  freePort(
    rule: CompiledRule,
    number: number,
    space: PortSpace,
    t: number,
    address: number,
    wanted: number,
    remote: number,
    remotePort: number,
  ): number {
    const first = t === ICMP ? 0 : Math.max(rule.first, space.first);
    const last = t === ICMP ? 65535 : Math.min(rule.last, space.last);
    if (rule.overload === OVERLOAD_ALWAYS && rule.choice === PRESERVE && wanted >= first && wanted <= last) {
      if (this.canOverload(space, t, number, wanted, remote, remotePort)) {
        this.overloaded++;
        return wanted;
      }
    }
    if (rule.blockSize === 0) {
      if (this.isGreedy(rule, space, t, address, last - first + 1)) return -1;
      return this.choose(space, rule, first, last, address, wanted, t);
    }
    if (rule.numbered.length > 0) {
      const place = blockAt(
        placeOf(address, rule.numbered),
        rule.externals.length,
        rule.first,
        rule.last,
        rule.blockSize,
      );
      return place === null ? -1 : this.choose(space, rule, place.first, place.last, address, wanted, t);
    }
    const blocks = this.blocksOf(rule, number)!;
    for (const begin of blocks.of(address)) {
      const port = this.choose(space, rule, begin, begin + rule.blockSize - 1, address, wanted, t);
      if (port >= 0) return port;
    }
    const begin = blocks.allocate(address);
    return begin < 0 ? -1 : this.choose(space, rule, begin, begin + rule.blockSize - 1, address, wanted, t);
  }

  private choose(
    space: PortSpace,
    rule: CompiledRule,
    first: number,
    last: number,
    address: number,
    wanted: number,
    t: number,
  ): number {
    return choosePort(space, rule, first, last, address, wanted, t === ICMP, this.random);
  }

  /** No port is free: see the head of this file. Not where hosts have ports of their own (blocks). */
  lastResort(
    rule: CompiledRule,
    number: number,
    space: PortSpace,
    t: number,
    address: number,
    wanted: number,
    remote: number,
    remotePort: number,
  ): number {
    if (rule.blockSize > 0) return -1;
    const first = t === ICMP ? 0 : Math.max(rule.first, space.first);
    const last = t === ICMP ? 65535 : Math.min(rule.last, space.last);
    if (first > last) return -1;
    if (t === TCP) {
      const port = this.finishedPort(space, first, last, wanted, remote, remotePort);
      if (port >= 0 && space.isFreeFor(port, address)) {
        this.recycled++;
        return port;
      }
    }
    const isGreedy = this.isGreedy(rule, space, t, address, last - first + 1);
    const waited = isGreedy ? -1 : space.takeOldest(first, last);
    if (waited >= 0) {
      this.quarantineCut++;
      return waited;
    }
    const size = last - first + 1;
    if (rule.overload !== OVERLOAD_NEVER) {
      const start =
        rule.choice === PRESERVE && wanted >= first && wanted <= last ? wanted - first : this.offset(size);
      for (let i = 0; i < Math.min(TRIES, size); i++) {
        const port = first + ((start + i) % size);
        if (!this.canOverload(space, t, number, port, remote, remotePort)) continue;
        this.overloaded++;
        return port;
      }
    }
    return this.hosts.isFair && !isGreedy ? this.richPort(space, t, address, first, size) : -1;
  }

  /** Whether ports are short and a host has its share of them. `size`: of the range. */
  private isGreedy(rule: CompiledRule, space: PortSpace, t: number, address: number, size: number): boolean {
    const { hosts } = this;
    const own = size / this.workers;
    if (!hosts.isFair || own < RESERVE_FROM || space.inUse < own - own / 8) return false;
    return hosts.countHere(address, t) * hosts.active >= own * rule.externals.length;
  }

  /** Takes a port from a host that has more than `address`, and one more at least: one whose flow was never ASSURED; -1 for none. */
  private richPort(space: PortSpace, t: number, address: number, first: number, size: number): number {
    const { table, hosts } = this;
    const least = hosts.countHere(address, t) + 1;
    const start = this.offset(size);
    for (let i = 0; i < Math.min(TRIES, size); i++) {
      const port = first + ((start + i) % size);
      const mapping = space.head[port]!;
      if (mapping === NO_MAPPING || table.refs(mapping) !== 1 || table.next(mapping) !== NO_MAPPING) continue;
      if (hosts.countHere(table.internalAddress(mapping), t) <= least) continue;
      if (!this.flows.endUnassured(mapping, table.lastFlow(mapping))) continue;
      if (space.isFree(port)) return port;
      // It waits, as the only one: it has no time to.
      const freed = space.takeOldest(first, first + size - 1);
      if (freed >= 0) return freed;
    }
    return -1;
  }

  /** Ends a flow that is over, of a mapping that has no other, and returns the port that this frees; else -1. */
  private finishedPort(
    space: PortSpace,
    first: number,
    last: number,
    wanted: number,
    remote: number,
    remotePort: number,
  ): number {
    const { table } = this;
    const size = last - first + 1;
    const start = wanted >= first && wanted <= last ? wanted - first : this.offset(size);
    for (let i = 0; i < Math.min(TRIES, size); i++) {
      const port = first + ((start + i) % size);
      const mapping = space.head[port]!;
      if (mapping === NO_MAPPING || table.refs(mapping) !== 1 || table.next(mapping) !== NO_MAPPING) continue;
      if (this.flows.endFinished(mapping, table.lastFlow(mapping), remote, remotePort)) return port;
    }
    return -1;
  }

  private offset(size: number): number {
    return (this.random.next() >>> 1) % size;
  }

  private canOverload(
    space: PortSpace,
    t: number,
    number: number,
    port: number,
    remote: number,
    remotePort: number,
  ): boolean {
    if (!space.isMapped(port)) return false;
    const external = this.externals.addressOf(number);
    return !this.flows.isTaken(t, remote, remotePort, external, swap16(port));
  }

  /** Which of the rule's addresses a host has: its own address says it, so no table is needed. */
  pairedIndex(rule: CompiledRule, address: number): number {
    if (rule.externals.length === 1) return 0;
    if (rule.numbered.length > 0) {
      const place = placeOf(address, rule.numbered);
      const block =
        place < 0 ? null : blockAt(place, rule.externals.length, rule.first, rule.last, rule.blockSize);
      return block === null ? 0 : block.externalIndex;
    }
    // Hosts of one network differ in the highest bits of the word: all of them have to count.
    const mixed = hashTuple(address, 0, 0, 0, this.seed[0], this.seed[1]);
    return (mixed >>> 0) % rule.externals.length;
  }

  /** The blocks that hosts have: number of the external address, first port, ports, host. */
  eachBlock(visit: (external: number, first: number, size: number, host: number) => void): void {
    for (const [external, blocks] of this.blocks) {
      blocks.each((first, host) => visit(external, first, blocks.size, host));
    }
  }

  /** The blocks of an external address that are given on demand; undefined where the rule has none such. */
  blocksOf(rule: CompiledRule, external: number): PortBlocks | undefined {
    if (rule.blockSize === 0 || rule.numbered.length > 0) return undefined;
    const known = this.blocks.get(external);
    if (known !== undefined) return known;
    const blocks = new PortBlocks(rule.first, rule.last, rule.blockSize);
    this.blocks.set(external, blocks);
    return blocks;
  }
}
