/**
 * Mappings: internal endpoint → external endpoint (RFC 4787 4.1), made as the rule of the flow says.
 *
 * An endpoint-independent mapping is shared by all flows of an internal (address, port, protocol); one that depends on
 * the remote address, or address and port, by those towards it. A mapping lives as long as flows refer to it; then its
 * port is in quarantine for a while. Protocols without ports have no endpoints; for them a mapping only counts who uses the
 * protocol. Which ports are natgate's at all is in shared-ports.ts.
 */
import type { Random } from '../core/random.ts';
import { HOST_PORT_LIMIT, NO_EXTERNAL_ADDRESS, NO_FREE_PORT, TABLE_FULL } from '../core/reasons.ts';
import { swap16 } from '../wire/bytes.ts';
import type { Forward } from './config.ts';
import { type ExternalAddresses, ICMP, LOCAL, OTHER, portTableOf, SHARED } from './external-addresses.ts';
import type { Hosts } from './hosts.ts';
import { MappingTable, NO_MAPPING } from './mapping-table.ts';
import type { MappingWatch } from './mapping-watch.ts';
import { type FlowsOfMappings, PortAllocator } from './port-allocator.ts';
import { ALL_PORTS, type PortClass, workerOfWire } from './port-class.ts';
import type { PortSpace } from './port-space.ts';
import { ADDRESS_AND_PORT_DEPENDENT, ADDRESS_DEPENDENT, type CompiledRule, OVERLOAD_NEVER } from './rules.ts';
import { type HeldPorts, SharedPorts } from './shared-ports.ts';

export { NO_MAPPING } from './mapping-table.ts';
export type { HeldPorts } from './shared-ports.ts';

/** Ports whose quarantine may end per tick and space. */
const EXPIRY_BUDGET = 256;

export interface MappingsOptions {
  /**
   * A bitmap of OWNED_BYTES, brought to the right state port by port, so that an engine that starts anew never leaves a port
   * to the host in between.
   */
  owned: Uint8Array;
  externals: ExternalAddresses;
  rules: readonly CompiledRule[];
  forwards: readonly Forward[];
  held: HeldPorts;
  /** Mappings that fit. */
  capacity: number;
  hosts: Hosts;
  flows: FlowsOfMappings;
  random: Random;
  /** Keys of hashes. */
  seed: readonly [number, number];
  /** Several workers: whose ports are given here. */
  own?: PortClass;
  /** Uses of protocols without ports, over all workers (256 words). */
  protocols?: Int32Array;
}

export class Mappings {
  readonly externals: ExternalAddresses;
  readonly table: MappingTable;
  /** Why the last acquire() gave NO_MAPPING: a drop reason. */
  refusal = NO_FREE_PORT;
  readonly allocator: PortAllocator;
  /**
   * Several workers: told of a mapping of an internal endpoint whose packets are another worker's by its port, when it begins
   * and when it ends.
   */
  onForeign: (table: number, address: number, port: number, begins: boolean) => void = () => {};
  /** Null: nobody is told. */
  watch: MappingWatch | null = null;
  private readonly own: PortClass;
  readonly rules: readonly CompiledRule[];
  private readonly flows: FlowsOfMappings;
  private readonly hosts: Hosts;
  readonly shared: SharedPorts;
  private readonly random: Random;

  constructor(options: MappingsOptions) {
    const { owned, externals, rules, forwards, held, capacity, hosts, flows, random, seed } = options;
    this.own = options.own ?? ALL_PORTS;
    this.externals = externals;
    this.rules = rules;
    this.hosts = hosts;
    this.flows = flows;
    this.random = random;
    this.table = new MappingTable(capacity, seed);
    this.allocator = new PortAllocator(externals, this.table, flows, random, seed, hosts, this.own.workers);
    this.shared = new SharedPorts(owned, externals, forwards, held, this.own, options.protocols);
  }

  /**
   * The mapping of a flow from an internal endpoint to a remote one by rule number `rule`, made if there is none; one
   * reference more. Ports in wire order; ICMP: `port` is the id, `remotePort` 0. NO_MAPPING: see `refusal`.
   */
  acquire(
    rule: number,
    protocol: number,
    address: number,
    port: number,
    remote: number,
    remotePort: number,
  ): number {
    const t = portTableOf(protocol);
    const compiled = this.rules[rule]!;
    if (t === OTHER) return this.acquireProtocol(rule, compiled, protocol, address);
    const { table } = this;
    const remoteKey = compiled.mapping >= ADDRESS_DEPENDENT ? remote : 0;
    const portKey = compiled.mapping === ADDRESS_AND_PORT_DEPENDENT ? remotePort : 0;
    const known = table.find(rule, t, address, port, remoteKey, portKey);
    if (known === NO_MAPPING) {
      return this.make(rule, compiled, t, address, port, remoteKey, portKey, remote, remotePort);
    }
    // An address that is gone: its mappings stand until their last flow has been found, and nobody may begin by them.
    if (this.externalAddress(known) === 0) return this.refuse(NO_EXTERNAL_ADDRESS);
    if (!this.isShared(known) || !this.isTaken(known, remote, remotePort)) {
      table.refer(known);
      return known;
    }
    // Overloading has its price: another host talks to that remote by this port already.
    const own = table.find(rule, t, address, port, remote, remotePort);
    if (own === NO_MAPPING || own === known) {
      if (compiled.mapping === ADDRESS_AND_PORT_DEPENDENT) return this.refuse(NO_FREE_PORT);
      return this.make(rule, compiled, t, address, port, remote, remotePort, remote, remotePort);
    }
    if (this.externalAddress(own) === 0) return this.refuse(NO_EXTERNAL_ADDRESS);
    if (this.isTaken(own, remote, remotePort)) return this.refuse(NO_FREE_PORT);
    table.refer(own);
    return own;
  }

  /**
   * A mapping of an internal endpoint for flows from outside, before there is one (nat/alg): on external address number
   * `external`, on port `preferred` if that is free. One reference; ports in wire order. NO_MAPPING: see `refusal`.
   */
  reserve(
    rule: number,
    external: number,
    protocol: number,
    address: number,
    port: number,
    preferred: number,
  ): number {
    const t = portTableOf(protocol);
    if (this.externals.addressOf(external) === 0) return this.refuse(NO_EXTERNAL_ADDRESS);
    if (t === OTHER) return this.makeProtocol(rule, protocol, address, external);
    const { table, allocator } = this;
    const known = table.find(rule, t, address, port, 0, 0);
    if (known !== NO_MAPPING && table.external(known) === external) {
      table.refer(known);
      return known;
    }
    if (known !== NO_MAPPING) return this.refuse(NO_FREE_PORT);
    const compiled = this.rules[rule]!;
    const space = this.externals.space(external, t);
    const free = allocator.freePort(compiled, external, space, t, address, swap16(preferred), 0, 0);
    return free < 0 ? this.refuse(NO_FREE_PORT) : this.map(rule, t, address, port, 0, 0, external, free);
  }

  /** Takes a mapping over from an adopted flow. NO_MAPPING when its port cannot be the endpoint's. */
  adopt(
    rule: number,
    protocol: number,
    address: number,
    port: number,
    remote: number,
    remotePort: number,
    external: number,
    externalPort: number,
  ): number {
    const t = portTableOf(protocol);
    const compiled = this.rules[rule];
    if (compiled === undefined || !compiled.translates) return NO_MAPPING;
    if (t === OTHER) return this.makeProtocol(rule, protocol, address, external);
    const { table } = this;
    const number = swap16(externalPort);
    const remoteKey = compiled.mapping >= ADDRESS_DEPENDENT ? remote : 0;
    const portKey = compiled.mapping === ADDRESS_AND_PORT_DEPENDENT ? remotePort : 0;
    const first = table.find(rule, t, address, port, remoteKey, portKey);
    // A second port of one endpoint: only overloading gives one (acquire()).
    const isSecond = first !== NO_MAPPING && !this.isAt(first, external, number);
    if (isSecond && compiled.overload === OVERLOAD_NEVER) return NO_MAPPING;
    const r = isSecond ? remote : remoteKey;
    const p = isSecond ? remotePort : portKey;
    const known = isSecond ? table.find(rule, t, address, port, r, p) : first;
    if (known !== NO_MAPPING) {
      if (!this.isAt(known, external, number)) return NO_MAPPING;
      table.refer(known);
      return known;
    }
    const space = this.externals.space(external, t);
    // Overloaded, or the endpoint's own already: a flow from outside may have come first.
    const isOpen =
      space.isFree(number) ||
      (space.isMapped(number) && compiled.overload !== OVERLOAD_NEVER) ||
      this.mappingAt(external, t, externalPort, address, port) !== NO_MAPPING;
    return isOpen ? this.map(rule, t, address, port, r, p, external, number) : NO_MAPPING;
  }

  private isAt(mapping: number, external: number, number: number): boolean {
    return this.table.external(mapping) === external && this.table.externalPort(mapping) === number;
  }

  /** One reference more, for a flow that begins from outside. */
  refer(mapping: number): void {
    this.table.refer(mapping);
  }

  /** Gives one reference back. `isOver`: nothing of its flow can still be on its way, so no quarantine. */
  release(mapping: number, now: number, isOver: boolean): void {
    const { table } = this;
    if (table.unrefer(mapping) > 0) return;
    const t = table.tableOf(mapping);
    const port = table.externalPort(mapping);
    const external = table.external(mapping);
    const address = table.internalAddress(mapping);
    const rule = this.rules[table.ruleOf(mapping)]!;
    if (t === OTHER) {
      if (external === SHARED) this.shared.use(port, -1);
      table.destroy(mapping);
      return;
    }
    const space = this.externals.space(external, t);
    this.unchain(space, port, mapping);
    this.tellForeign(t, address, table.internalPort(mapping), external, false);
    if (this.watch !== null) this.watch.unmapped(mapping);
    table.destroy(mapping);
    this.hosts.remove(address, t);
    const blocks = this.allocator.blocksOf(rule, external);
    if (blocks !== undefined) {
      blocks.release(port);
      if (blocks.usesOf(port) === 0) this.watch?.blockReturned(external, blocks.firstOf(port));
    }
    if (space.head[port] !== NO_MAPPING) return;
    space.release(port, address, now, isOver || t === ICMP ? 0 : rule.quarantineMs);
    if (external === SHARED) this.shared.show(t, port);
  }

  /** The mapping that has an external TCP or UDP port (wire order) first, or NO_MAPPING. */
  ownerOf(external: number, table: number, port: number): number {
    return this.externals.space(external, table).head[swap16(port)]!;
  }

  /** The external port of a mapping, in wire order. */
  externalPort(mapping: number): number {
    return swap16(this.table.externalPort(mapping));
  }

  /** The external address of a mapping. */
  externalAddress(mapping: number): number {
    return this.externals.addressOf(this.table.external(mapping));
  }

  /** Quarantines that are over end; once a batch. */
  expire(now: number): void {
    this.externals.expire(now, EXPIRY_BUDGET);
  }

  private refuse(reason: number): number {
    this.refusal = reason;
    return NO_MAPPING;
  }

  private make(
    rule: number,
    compiled: CompiledRule,
    t: number,
    address: number,
    port: number,
    remoteKey: number,
    portKey: number,
    remote: number,
    remotePort: number,
  ): number {
    const { hosts, externals, allocator } = this;
    if (compiled.portsPerHost > 0 && hosts.count(address, t) >= compiled.portsPerHost) {
      return this.refuse(HOST_PORT_LIMIT);
    }
    const numbers = compiled.externals;
    // Paired pooling (RFC 4787 REQ-2) without a table: the internal address itself says which.
    const start = compiled.paired
      ? allocator.pairedIndex(compiled, address)
      : (this.random.next() >>> 1) % numbers.length;
    const looks = compiled.paired ? 1 : numbers.length;
    let hasAddress = false;
    for (let way = 0; way < 2; way++) {
      for (let i = 0; i < looks; i++) {
        const number = numbers[(start + i) % numbers.length]!;
        if (externals.addressOf(number) === 0) continue;
        hasAddress = true;
        const space = externals.space(number, t);
        const external =
          way === 0
            ? allocator.freePort(compiled, number, space, t, address, swap16(port), remote, remotePort)
            : allocator.lastResort(compiled, number, space, t, address, swap16(port), remote, remotePort);
        if (external >= 0) return this.map(rule, t, address, port, remoteKey, portKey, number, external);
        if (way === 1) space.exhausted++;
      }
    }
    return this.refuse(hasAddress ? NO_FREE_PORT : NO_EXTERNAL_ADDRESS);
  }

  /** Whether others have the external port of a mapping too. */
  private isShared(mapping: number): boolean {
    const { table } = this;
    const space = this.externals.space(table.external(mapping), table.tableOf(mapping));
    return space.head[table.externalPort(mapping)] !== mapping || table.next(mapping) !== NO_MAPPING;
  }

  private isTaken(mapping: number, remote: number, remotePort: number): boolean {
    const { table } = this;
    return this.flows.isTaken(
      table.tableOf(mapping),
      remote,
      remotePort,
      this.externalAddress(mapping),
      this.externalPort(mapping),
    );
  }

  private map(
    rule: number,
    t: number,
    address: number,
    port: number,
    remote: number,
    remotePort: number,
    external: number,
    externalPort: number,
  ): number {
    const { table } = this;
    const compiled = this.rules[rule]!;
    const blocks = this.allocator.blocksOf(compiled, external);
    if (blocks !== undefined && !blocks.use(externalPort, address)) return this.refuse(NO_FREE_PORT);
    const mapping = table.create(rule, t, address, port, remote, remotePort, external, externalPort);
    if (mapping === NO_MAPPING) {
      blocks?.release(externalPort);
      return this.refuse(TABLE_FULL);
    }
    const space = this.externals.space(external, t);
    const head = space.head[externalPort]!;
    if (head === NO_MAPPING) {
      space.take(externalPort, mapping);
    } else {
      // Behind the first: who came first is whom the port belongs to for those who come from outside.
      table.setNext(mapping, table.next(head));
      table.setNext(head, mapping);
    }
    this.hosts.add(address, t);
    this.tellForeign(t, address, port, external, true);
    if (blocks?.usesOf(externalPort) === 1) {
      this.watch?.blockGiven(rule, address, external, blocks.firstOf(externalPort), blocks.size);
    }
    if (this.watch !== null) this.watch.mapped(mapping);
    if (t === ICMP && external === SHARED) this.shared.show(t, externalPort);
    return mapping;
  }

  /** The mapping of an internal endpoint on an external port, as a RELEASE or ADOPT of another worker names it; or NO_MAPPING. */
  mappingAt(external: number, t: number, externalPort: number, address: number, port: number): number {
    const { table } = this;
    let mapping = this.ownerOf(external, t, externalPort);
    while (mapping !== NO_MAPPING) {
      if (table.internalAddress(mapping) === address && table.internalPort(mapping) === port) return mapping;
      mapping = table.next(mapping);
    }
    return NO_MAPPING;
  }

  private tellForeign(t: number, address: number, port: number, external: number, begins: boolean): void {
    const { workers, number } = this.own;
    // Nobody sends from the private side as whom twice NAT translates.
    if (workers === 1 || external === LOCAL || workerOfWire(port, workers) === number) return;
    this.onForeign(t, address, port, begins);
  }

  private unchain(space: PortSpace, port: number, mapping: number): void {
    const { table } = this;
    const head = space.head[port]!;
    if (head === mapping) {
      space.head[port] = table.next(mapping);
      return;
    }
    let before = head;
    while (table.next(before) !== mapping) before = table.next(before);
    table.setNext(before, table.next(mapping));
  }

  private acquireProtocol(rule: number, compiled: CompiledRule, protocol: number, address: number): number {
    const number = compiled.externals[this.allocator.pairedIndex(compiled, address)]!;
    if (this.externals.addressOf(number) === 0) return this.refuse(NO_EXTERNAL_ADDRESS);
    return this.makeProtocol(rule, protocol, address, number);
  }

  private makeProtocol(rule: number, protocol: number, address: number, external: number): number {
    const { table } = this;
    const known = table.find(rule, OTHER, address, protocol, 0, 0);
    if (known !== NO_MAPPING) {
      table.refer(known);
      return known;
    }
    const mapping = table.create(rule, OTHER, address, protocol, 0, 0, external, protocol);
    if (mapping === NO_MAPPING) return this.refuse(TABLE_FULL);
    if (external === SHARED) this.shared.use(protocol, 1);
    return mapping;
  }
}
