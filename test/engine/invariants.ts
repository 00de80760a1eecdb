/**
 * What must be true of an engine between batches, whatever came: the one place that knows. It asks for no test framework, so
 * that the fuzzer can use it; what is broken is thrown, as a Broken with a permanent `kind`.
 *
 *     checkBooks    every packet ended in one way             cheap, after each batch
 *     checkTable    flow table, its index, the timer wheel    every flow is looked at
 *     checkMappings mappings and the owned bitmap against the flows
 */
import {
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
  TUPLE,
} from '../../src/conntrack/flow-table.ts';
import type { Tracker } from '../../src/conntrack/tracker.ts';
import { REASON_COUNT } from '../../src/core/reasons.ts';
import * as counterNames from '../../src/engine/counters.ts';
import {
  DEVICE_COUNTERS,
  DEVICE_IN_PACKETS,
  DEVICE_OUT_PACKETS,
  DEVICES,
  FLOWS_ENDED,
  FLOWS_ICMP,
  FLOWS_OTHER,
  FLOWS_STARTED,
  FLOWS_TCP,
  FLOWS_UDP,
  HANDED_BACK,
} from '../../src/engine/counters.ts';
import type { Engine } from '../../src/engine/engine.ts';
import type { HeldPorts } from '../../src/nat/mappings.ts';
import { OWNED_BYTES, OWNED_ICMP, OWNED_PROTOCOLS, OWNED_TCP, OWNED_UDP } from '../../src/nat/owned.ts';
import { swap16 } from '../../src/wire/bytes.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../../src/wire/ipv4.ts';

const MAX_DEVICES = 16;

/** Fragments that wait for their first one, where the engine holds any. */
const HELD_FRAGMENTS = (counterNames as Record<string, unknown>)['FRAGMENTS_HELD'] as number | undefined;

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
  let ended = counters[HANDED_BACK]! + (HELD_FRAGMENTS === undefined ? 0 : counters[HELD_FRAGMENTS]!);
  for (let device = 0; device < MAX_DEVICES; device++) {
    received += counters[DEVICES + device * DEVICE_COUNTERS + DEVICE_IN_PACKETS]!;
    ended += counters[DEVICES + device * DEVICE_COUNTERS + DEVICE_OUT_PACKETS]!;
  }
  for (let reason = 0; reason < REASON_COUNT; reason++) ended += counters[reason]!;
  if (received !== ended) throw new Broken('books', `${received} packets came, ${ended} are accounted for`);
}

/** Started − ended is what lives: of an engine that took over no flows from an earlier one. */
export function checkLifetimes(counters: Float64Array, table: FlowTable): void {
  const live = counters[FLOWS_STARTED]! - counters[FLOWS_ENDED]!;
  if (live !== table.count) {
    throw new Broken('lifetimes', `started − ended is ${live}, ${table.count} live`);
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
      // A tuple that two flows share leads to one of them only.
      if (found !== handle)
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

/** Mappings are what the flows say, and the bitmap is what the mappings say. */
export function checkMappings({ engine, owned, ports, held }: Subject): void {
  const { table } = engine.tracker;
  const expected = new Uint8Array(OWNED_BYTES);
  for (const [index, { protocol, name, section }] of SECTIONS.entries()) {
    if (name !== 'icmp') {
      for (let port = ports.first; port <= ports.last; port++) setBit(expected, section, port, true);
      for (const port of held[name]) setBit(expected, section, port, false);
    }
    const mapped = engine.mappings.tables[index]!;
    const users = new Map<number, number>();
    for (const h of liveRecords(table)) {
      if ((table.hot[h + H_STATUS]! & 0xff) !== protocol) continue;
      const replyPorts = table.hot[h + TUPLE + H_PORTS]!;
      const port = swap16(name === 'icmp' ? replyPorts & 0xffff : replyPorts >>> 16);
      users.set(port, (users.get(port) ?? 0) + 1);
      const owner = `${mapped.internalAddress[port]} ${mapped.internalPort[port]}`;
      const user = `${table.hot[h]} ${table.hot[h + H_PORTS]! & 0xffff}`;
      // No two internal endpoints share an external one.
      if (owner !== user)
        throw new Broken('mapping-owner', `${name} ${port} is of ${owner}, used by ${user}`);
    }
    if (mapped.inUse !== users.size) {
      throw new Broken('mapping-count', `${name}: ${mapped.inUse} in use, flows use ${users.size}`);
    }
    for (const [port, count] of users) {
      if (mapped.refs[port] !== count) {
        throw new Broken('mapping-refs', `${name} ${port}: ${mapped.refs[port]} for ${count} flows`);
      }
      setBit(expected, section, port, true);
    }
  }
  for (const h of liveRecords(table)) {
    const protocol = table.hot[h + H_STATUS]! & 0xff;
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
