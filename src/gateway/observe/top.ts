/**
 * Who moves how much, now: a pass over all flows each second or so, summed up by private host, by destination and by endpoint, and the
 * busiest flows themselves. A rate is what a flow's byte counters have gained since the last pass, so the first pass has none.
 *
 *     seen (per worker): life, bytes out, bytes in   of each record at the last pass, 20 bytes a record
 *
 * Invariant: a flow that began since the last pass counts from 0. One that ended since is not counted any more: what it moved after the
 * last pass is lost to the rates (the interfaces' counters have it).
 */
import {
  H_BYTES,
  H_BYTES_HIGH,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  ORIGINAL_SIDE,
  TUPLE,
} from '../../conntrack/flow-table.ts';
import { swap16 } from '../../wire/bytes.ts';
import type { RunRecord } from '../run/run-record.ts';
import { workerStatePath } from '../run/state-path.ts';
import { type FlowContext, type ListedFlow, listedFlow } from './flow-list.ts';
import { FlowReader, type RawFlow } from './flow-reader.ts';

export interface Usage {
  flows: number;
  /** Bytes of the flows that live. */
  out: number;
  in: number;
  /** Bytes a second. */
  outRate: number;
  inRate: number;
}

export type TopOrder = 'rate' | 'bytes' | 'flows';

export interface TopSample {
  /** Flows that the filter means. */
  flows: number;
  /** By address, wire order. */
  clients: Map<number, Usage>;
  destinations: Map<number, Usage>;
  /** By protocol, address and port of the remote end (endpointKey). */
  endpoints: Map<number, Usage & { protocol: number; address: number; port: number }>;
  busiest: (ListedFlow & Usage)[];
}

/** Busiest flows that are kept. */
const KEPT = 256;
/** Flows of one step. */
const STEP = 4096;

interface Seen {
  reader: FlowReader;
  life: Int32Array;
  out: Float64Array;
  in: Float64Array;
}

export class TopSampler {
  private readonly workers: Seen[] = [];
  private readonly context: FlowContext;
  private time: number | null = null;

  /** Throws the system's error when a state file is not there. */
  constructor(record: RunRecord, context: FlowContext) {
    this.context = context;
    try {
      for (let worker = 0; worker < (record.workers ?? 1); worker++) {
        const reader = new FlowReader(workerStatePath(record.statePath, worker));
        const { capacity } = reader;
        this.workers.push({
          reader,
          life: new Int32Array(capacity),
          out: new Float64Array(capacity),
          in: new Float64Array(capacity),
        });
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    for (const { reader } of this.workers.splice(0)) reader.close();
  }

  /** `matches`: null for all. `time`: ms, now. `order`: what the busiest flows are the first by. */
  sample(time: number, order: TopOrder, matches: ((flow: ListedFlow) => boolean) | null): TopSample {
    const steps = this.steps(time, order, matches);
    for (;;) {
      const step = steps.next();
      if (step.done) return step.value;
    }
  }

  /** The same in steps of some thousand flows, for who has other things to do in between. */
  *steps(
    time: number,
    order: TopOrder,
    matches: ((flow: ListedFlow) => boolean) | null,
  ): Generator<void, TopSample, void> {
    const seconds = this.time === null ? 0 : (time - this.time) / 1000;
    this.time = time;
    const sample: TopSample = {
      flows: 0,
      clients: new Map(),
      destinations: new Map(),
      endpoints: new Map(),
      busiest: [],
    };
    const busiest = new Busiest(order);
    for (const [worker, seen] of this.workers.entries()) {
      const now = seen.reader.now();
      let looked = 0;
      for (const raw of seen.reader.read()) {
        if (++looked % STEP === 0) yield;
        const usage = usageOf(raw, seen, seconds);
        let listed: ListedFlow | null = null;
        if (matches !== null) {
          listed = listedFlow(raw, worker, this.context, now);
          if (!matches(listed)) continue;
        }
        sample.flows++;
        count(sample, raw, usage);
        if (busiest.wants(usage)) {
          busiest.add({ ...(listed ?? listedFlow(raw, worker, this.context, now)), ...usage });
        }
      }
    }
    sample.busiest = busiest.list();
    return sample;
  }
}

/** What the flow has moved, and since the last pass; remembers it for the next. */
function usageOf({ flow, hot }: RawFlow, seen: Seen, seconds: number): Usage {
  const high = hot[H_BYTES_HIGH]!;
  const original = (hot[H_BYTES]! >>> 0) + (high & 0xffff) * 2 ** 32;
  const reply = (hot[H_BYTES + 1]! >>> 0) + (high >>> 16) * 2 ** 32;
  const isInside = (hot[H_STATUS]! & ORIGINAL_SIDE) === 0;
  const out = isInside ? original : reply;
  const back = isInside ? reply : original;
  const isKnown = seen.life[flow] === hot[H_SEQUENCE];
  const rate = (bytes: number, before: number) =>
    seconds > 0 ? Math.max(bytes - (isKnown ? before : 0), 0) / seconds : 0;
  const usage = {
    flows: 1,
    out,
    in: back,
    outRate: rate(out, seen.out[flow]!),
    inRate: rate(back, seen.in[flow]!),
  };
  seen.life[flow] = hot[H_SEQUENCE]!;
  seen.out[flow] = out;
  seen.in[flow] = back;
  return usage;
}

function count(sample: TopSample, { hot }: RawFlow, usage: Usage): void {
  const isInside = (hot[H_STATUS]! & ORIGINAL_SIDE) === 0;
  const protocol = hot[H_STATUS]! & 0xff;
  const client = isInside ? hot[0]! : hot[TUPLE]!;
  const remote = isInside ? hot[1]! : hot[0]!;
  const ports = hot[H_PORTS]!;
  // Of ICMP queries the second half is type and code.
  const port = protocol === 1 ? 0 : swap16(isInside ? ports >>> 16 : ports & 0xffff);
  add(sample.clients, client, usage);
  add(sample.destinations, remote, usage);
  // Who calls from outside has a port of his own each time.
  if (!isInside) return;
  const key = endpointKey(protocol, remote, port);
  const known = sample.endpoints.get(key);
  if (known !== undefined) addTo(known, usage);
  else {
    const { flows, out, in: back, outRate, inRate } = usage;
    sample.endpoints.set(key, { flows, out, in: back, outRate, inRate, protocol, address: remote, port });
  }
}

/** 53 bits: the address, the port, and of the protocol what tells those with ports apart (TCP 6, UDP 17, SCTP 132, others by chance). */
function endpointKey(protocol: number, address: number, port: number): number {
  return ((address >>> 0) * 65_536 + port) * 32 + ((protocol ^ (protocol >> 5)) & 31);
}

function copyOf({ flows, out, in: back, outRate, inRate }: Usage): Usage {
  return { flows, out, in: back, outRate, inRate };
}

function add(map: Map<number, Usage>, key: number, usage: Usage): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, copyOf(usage));
  else addTo(known, usage);
}

function addTo(sum: Usage, { flows, out, in: back, outRate, inRate }: Usage): void {
  sum.flows += flows;
  sum.out += out;
  sum.in += back;
  sum.outRate += outRate;
  sum.inRate += inRate;
}

/** What an order is by. */
export function weightOf(order: TopOrder, usage: Usage): number {
  if (order === 'flows') return usage.flows;
  return order === 'rate' ? usage.outRate + usage.inRate : usage.out + usage.in;
}

/** Entries in their order; those that are equal by what they have moved. */
export function ordered<T extends Usage>(usages: Iterable<T>, order: TopOrder): T[] {
  return [...usages].sort(
    (a, b) => weightOf(order, b) - weightOf(order, a) || weightOf('bytes', b) - weightOf('bytes', a),
  );
}

class Busiest {
  private readonly order: TopOrder;
  private kept: (ListedFlow & Usage)[] = [];
  private least = Number.NEGATIVE_INFINITY;

  constructor(order: TopOrder) {
    this.order = order === 'flows' ? 'bytes' : order;
  }

  wants(usage: Usage): boolean {
    return weightOf(this.order, usage) > this.least;
  }

  add(flow: ListedFlow & Usage): void {
    this.kept.push(flow);
    if (this.kept.length < 4 * KEPT) return;
    this.kept = this.list();
    this.least = weightOf(this.order, this.kept.at(-1)!);
  }

  list(): (ListedFlow & Usage)[] {
    return ordered(this.kept, this.order).slice(0, KEPT);
  }
}
