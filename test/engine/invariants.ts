/**
 * What must be true of an engine between batches, whatever came: the one place that knows. It asks for no test framework, so
 * that the fuzzer can use it; what is broken is thrown, as a Broken with a permanent `kind`.
 *
 *     checkBooks    every packet ended in one way             cheap, after each batch
 *     checkTable    flow table, its index, the timer wheel    every flow is looked at
 *     checkMappings mappings and the owned bitmap against the flows
 */
import {
  C_MAPPING,
  C_NEXT,
  C_PREVIOUS,
  COLD,
  type FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  LIVE,
  ORIGINAL_SIDE,
  TUPLE,
} from '../../src/conntrack/flow-table.ts';
import type { Tracker } from '../../src/conntrack/tracker.ts';
import { REASON_COUNT } from '../../src/core/reasons.ts';
import {
  DEVICE_COUNTERS,
  DEVICE_IN_PACKETS,
  DEVICE_OUT_PACKETS,
  DEVICES,
  FLOWS_ENDED,
  FLOWS_ICMP,
  FLOWS_LOST,
  FLOWS_OTHER,
  FLOWS_STARTED,
  FLOWS_TCP,
  FLOWS_UDP,
  FRAGMENTS_HELD,
  HANDED_BACK,
} from '../../src/engine/counters.ts';
import type { Engine } from '../../src/engine/engine.ts';
import type { Forward } from '../../src/nat/config.ts';
import { SHARED } from '../../src/nat/external-addresses.ts';
import type { HeldPorts } from '../../src/nat/mappings.ts';
import { OWNED_BYTES, OWNED_ICMP, OWNED_PROTOCOLS, OWNED_TCP, OWNED_UDP } from '../../src/nat/owned.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../../src/wire/ipv4.ts';

const MAX_DEVICES = 16;

export class Broken extends Error {
  /** Which rule, a permanent word; the message has the particulars. */
  readonly kind: string;

  constructor(kind: string, particulars: string) {
    super(`${kind}: ${particulars}`);
    this.kind = kind;
  }
}

export interface Subject {
  engine: Engine;
  counters: Float64Array;
  owned: Uint8Array;
  ports: { first: number; last: number };
  held: HeldPorts;
  forwards?: readonly Forward[];
}

export function checkInvariants(subject: Subject): void {
  checkBooks(subject.counters);
  checkTable(subject.engine.tracker);
  checkGauges(subject.counters, subject.engine.tracker.table);
  checkMappings(subject);
}

/** Packets in = packets on + dropped + handed back + held. */
export function checkBooks(counters: Float64Array): void {
  let received = 0;
  let ended = counters[HANDED_BACK]! + counters[FRAGMENTS_HELD]!;
  for (let device = 0; device < MAX_DEVICES; device++) {
    received += counters[DEVICES + device * DEVICE_COUNTERS + DEVICE_IN_PACKETS]!;
    ended += counters[DEVICES + device * DEVICE_COUNTERS + DEVICE_OUT_PACKETS]!;
  }
  for (let reason = 0; reason < REASON_COUNT; reason++) ended += counters[reason]!;
  if (received !== ended) throw new Broken('books', `${received} packets came, ${ended} are accounted for`);
}

/** Started − ended − lost at restarts is what lives. */
export function checkLifetimes(counters: Float64Array, table: FlowTable): void {
  const live = counters[FLOWS_STARTED]! - counters[FLOWS_ENDED]! - counters[FLOWS_LOST]!;
  if (live !== table.count) {
    throw new Broken('lifetimes', `started − ended − lost is ${live}, ${table.count} live`);
  }
}

/** The gauges say how many flows of which protocols live. */
export function checkGauges(counters: Float64Array, table: FlowTable): void {
  const expected = new Map([FLOWS_TCP, FLOWS_UDP, FLOWS_ICMP, FLOWS_OTHER].map((gauge) => [gauge, 0]));
  for (let flow = 0; flow < table.capacity; flow++) {
    if (!table.isLive(flow)) continue;
    const gauge = gaugeOf(table.hot[flow * HOT + H_STATUS]! & 0xff);
    expected.set(gauge, expected.get(gauge)! + 1);
  }
  for (const [gauge, count] of expected) {
    if (counters[gauge] !== count) {
      throw new Broken('gauges', `gauge ${gauge} says ${counters[gauge]}, not ${count}`);
    }
  }
}

function gaugeOf(protocol: number): number {
  if (protocol === PROTO_TCP) return FLOWS_TCP;
  if (protocol === PROTO_UDP) return FLOWS_UDP;
  return protocol === PROTO_ICMP ? FLOWS_ICMP : FLOWS_OTHER;
}

/** Every live flow is found by both its tuples, and by nothing else; it hangs on the wheel once; no record is lost. */
export function checkTable(tracker: Tracker): void {
  const { table } = tracker;
  const { hot } = table;
  let live = 0;
  for (let flow = 0; flow < table.capacity; flow++) {
    const h = flow * HOT;
    if ((hot[h + H_SEQUENCE]! & 1) !== 0) throw new Broken('sequence', `flow ${flow} is being written`);
    if ((hot[h + H_STATUS]! & LIVE) === 0) continue;
    live++;
    for (const direction of [0, 1]) {
      const t = h + direction * TUPLE;
      const handle = (flow << 1) | direction;
      const found = table.lookup(
        hot[t]!,
        hot[t + H_DESTINATION]!,
        hot[t + H_PORTS]!,
        hot[h + H_STATUS]! & 0xff,
      );
      // Who sends to its own external endpoint has a flow that is its own inverse.
      const isMirror = [0, 1, 2].every((w) => hot[h + w] === hot[h + TUPLE + w]);
      // A tuple that two flows share leads to one of them only.
      if (found !== handle && !(isMirror && found === (handle ^ 1)))
        throw new Broken('tuple', `flow ${flow}, direction ${direction} leads to ${found}`);
    }
  }
  if (live !== table.count) throw new Broken('table-count', `${live} live, count says ${table.count}`);
  let entries = 0;
  for (const word of table.index.words) if (word !== 0) entries++;
  if (entries !== 2 * live) throw new Broken('index', `${entries} index entries for ${live} flows`);
  checkFree(table, live);
  checkWheel(table, (tracker as unknown as { wheel: { heads: Int32Array } }).wheel.heads, live);
}

/** Dead records are on the free list, or were never used. */
function checkFree(table: FlowTable, live: number): void {
  const lists = table as unknown as { free: number; fresh: number };
  let free = 0;
  for (let flow = lists.free; flow >= 0; flow = table.cold[flow * COLD + C_NEXT]!) {
    if (table.isLive(flow)) throw new Broken('free-list', `live flow ${flow} is on it`);
    if (++free > table.capacity) throw new Broken('free-list', 'it is a ring');
  }
  if (free + live !== lists.fresh) {
    throw new Broken('free-list', `${free} free and ${live} live of ${lists.fresh} records`);
  }
}

function checkWheel(table: FlowTable, heads: Int32Array, live: number): void {
  let hung = 0;
  for (let slot = 0; slot < heads.length; slot++) {
    let previous = -2 - slot;
    for (let flow = heads[slot]!; flow >= 0; flow = table.cold[flow * COLD + C_NEXT]!) {
      if (!table.isLive(flow)) throw new Broken('wheel', `dead flow ${flow} hangs in slot ${slot}`);
      if (table.cold[flow * COLD + C_PREVIOUS] !== previous) {
        throw new Broken('wheel', `flow ${flow} in slot ${slot} does not point back`);
      }
      if (++hung > live) throw new Broken('wheel', 'more flows hang than live');
      previous = flow;
    }
  }
  if (hung !== live) throw new Broken('wheel', `${hung} of ${live} flows hang on it`);
}

const SECTIONS = [
  { protocol: PROTO_TCP, name: 'tcp', section: OWNED_TCP },
  { protocol: PROTO_UDP, name: 'udp', section: OWNED_UDP },
  { protocol: PROTO_ICMP, name: 'icmp', section: OWNED_ICMP },
] as const;

/** Mappings are what the flows say (and what is reserved), and the bitmap is what the mappings say. */
export function checkMappings(subject: Subject): void {
  const uses = usesOfMappings(subject.engine);
  const { table: mappings } = subject.engine.mappings;
  for (const [mapping, count] of uses) {
    if (mappings.refs(mapping) !== count) {
      throw new Broken('mapping-refs', `${mapping}: ${mappings.refs(mapping)} for ${count} flows`);
    }
  }
  checkPorts(subject.engine, uses);
  checkOwned(subject);
}

/** By mapping: how many flows refer to it. Their internal endpoints are its own. */
function usesOfMappings(engine: Engine): Map<number, number> {
  const { table } = engine.tracker;
  const { hot, cold } = table;
  const { table: mappings } = engine.mappings;
  const uses = new Map<number, number>();
  const use = (mapping: number, t: number) => {
    uses.set(mapping, (uses.get(mapping) ?? 0) + 1);
    const isOwn =
      mappings.tableOf(mapping) > 2 || mappings.internalPort(mapping) === (hot[t + H_PORTS]! & 0xffff);
    if (mappings.internalAddress(mapping) !== hot[t] || !isOwn) {
      throw new Broken('mapping-owner', `mapping ${mapping} is used by another endpoint`);
    }
  };
  for (const h of liveRecords(table)) {
    const isInside = (hot[h + H_STATUS]! & ORIGINAL_SIDE) === 0;
    const mapping = cold[(h / HOT) * COLD + C_MAPPING]!;
    const target = engine.sessions.targets.get(h / HOT);
    if (mapping >= 0) use(mapping, isInside ? h : h + TUPLE);
    if (target !== undefined) use(target, isInside ? h + TUPLE : h);
  }
  for (const { mapping } of engine.helpers.expectations.all()) {
    if (mapping >= 0) uses.set(mapping, (uses.get(mapping) ?? 0) + 1);
  }
  return uses;
}

/** A mapped port has a chain of mappings, each with flows; no two flows share an external tuple unless it is overloaded. */
function checkPorts(engine: Engine, uses: Map<number, number>): void {
  const { externals, table: mappings } = engine.mappings;
  externals.each((space, number, table) => {
    let mapped = 0;
    for (let port = 0; port < 65536; port++) {
      if (space.head[port]! < 0) continue;
      mapped++;
      for (let at = space.head[port]!; at >= 0; at = mappings.next(at)) {
        const isPlaced = mappings.externalPort(at) === port && mappings.external(at) === number;
        if (!isPlaced || mappings.tableOf(at) !== table) {
          throw new Broken('mapping-chain', `${at} hangs on port ${port} of address ${number}`);
        }
        if (!uses.has(at)) throw new Broken('mapping-count', `${at} is mapped for no flow`);
      }
    }
    if (space.inUse !== mapped) throw new Broken('mapping-count', `${space.inUse} in use, ${mapped} mapped`);
  });
}

function checkOwned({ engine, owned, ports, held, forwards }: Subject): void {
  const { externals } = engine.mappings;
  const expected = new Uint8Array(OWNED_BYTES);
  for (const [index, { protocol, name, section }] of SECTIONS.entries()) {
    if (name !== 'icmp') {
      for (let port = ports.first; port <= ports.last; port++) setBit(expected, section, port, true);
      for (const port of held[name]) setBit(expected, section, port, false);
      for (const forward of forwards ?? []) {
        if (forward.address !== 0 || forward.protocol !== protocol) continue;
        for (let port = forward.ports.first; port <= forward.ports.last; port++) {
          setBit(expected, section, port, true);
        }
      }
    }
    const space = externals.space(SHARED, index);
    for (let port = 0; port < 65536; port++) {
      if (space.head[port]! >= 0) setBit(expected, section, port, true);
    }
  }
  const { table } = engine.tracker;
  for (const h of liveRecords(table)) {
    const protocol = table.hot[h + H_STATUS]! & 0xff;
    const mapping = table.cold[(h / HOT) * COLD + C_MAPPING]!;
    if (mapping < 0 || engine.mappings.table.external(mapping) !== SHARED) continue;
    if (gaugeOf(protocol) === FLOWS_OTHER) setBit(expected, OWNED_PROTOCOLS, protocol, true);
  }
  if (Buffer.compare(owned.subarray(0, OWNED_BYTES), expected) === 0) return;
  const at = expected.findIndex((byte, i) => owned[i] !== byte);
  throw new Broken('owned', `byte ${at} is ${owned[at]!.toString(2)}, not ${expected[at]!.toString(2)}`);
}

function* liveRecords(table: FlowTable): Generator<number> {
  for (let flow = 0; flow < table.capacity; flow++) if (table.isLive(flow)) yield flow * HOT;
}

function setBit(bitmap: Uint8Array, section: number, number: number, value: boolean): void {
  const mask = 1 << (number & 7);
  const at = section + (number >> 3);
  bitmap[at] = value ? bitmap[at]! | mask : bitmap[at]! & ~mask;
}
