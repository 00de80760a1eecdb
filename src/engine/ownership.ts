/**
 * Which worker has what, where there are several. Every flow has one owner: the worker that its first packet was given to. Mostly
 * that is the one to which the steering gives the packets of both directions, since a mapping keeps the class of its port
 * (nat/port-class.ts). Where it is not (a forward that shifts ports, a hairpin, what a helper expects), the owner says so in the
 * shared keys, and the others hand packets to it (hand-off.ts).
 */
import { ANY, type Expectation } from '../conntrack/expectations.ts';
import { type FlowTable, H_DESTINATION, H_PORTS, H_STATUS, HOT, TUPLE } from '../conntrack/flow-table.ts';
import { TCP } from '../nat/external-addresses.ts';
import { type PortClass, workerOfTuple } from '../nat/port-class.ts';
import { PRIVATE } from '../policy/admission.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import type { WorkerSeat } from './hub.ts';
import { ANNOUNCED, DESTINATION, NOBODY, SharedKeys, SOURCE, TUPLE as TUPLE_KEY } from './shared-keys.ts';

export class Ownership {
  readonly class: PortClass;
  readonly number: number;
  private readonly workers: number;
  private readonly keys: SharedKeys;

  constructor({ number, hub }: WorkerSeat) {
    this.number = number;
    this.workers = hub.workers;
    this.class = { workers: hub.workers, number };
    this.keys = new SharedKeys(new Int32Array(hub.keys), hub.seed);
  }

  /** The worker that has, or would make, the flow of a packet with this tuple that comes from `side`. */
  ownerOf(protocol: number, source: number, destination: number, ports: number, side: number): number {
    const { keys } = this;
    const isInside = side === PRIVATE;
    if (!keys.isEmpty) {
      let owner = keys.find(TUPLE_KEY, protocol, source, destination, ports);
      if (owner === NOBODY && isInside) owner = keys.find(SOURCE, protocol, source, 0, ports & 0xffff);
      if (owner === NOBODY) owner = keys.find(DESTINATION, protocol, destination, side, ports >>> 16);
      if (owner !== NOBODY) return owner;
    }
    return workerOfTuple(protocol, ports, isInside, this.workers);
  }

  /** Nothing is anywhere else than its port says. */
  get isBare(): boolean {
    return this.keys.isEmpty;
  }

  flowBegun(table: FlowTable, flow: number): void {
    this.showFlow(table, flow, true);
  }

  flowEnded(table: FlowTable, flow: number): void {
    this.showFlow(table, flow, false);
  }

  /** The mapping of an internal endpoint of another worker's class begins or ends; `port` in wire order. */
  mapping(table: number, address: number, port: number, begins: boolean): void {
    const protocol = table === TCP ? PROTO_TCP : PROTO_UDP;
    this.show(begins, SOURCE, protocol, address, 0, port);
  }

  /**
   * A flow is expected, or not any more. One that is not translated, and may begin without being expected, is made by the
   * worker of its port as any other, which marks it and tells the owner.
   */
  expectation(expected: Expectation, begins: boolean): void {
    const { protocol, source, destination, destinationPort, side } = expected;
    if (side === PRIVATE && !expected.translated && expected.helper < 0) {
      this.show(begins, ANNOUNCED, protocol, destination, source, destinationPort);
    } else {
      this.show(begins, DESTINATION, protocol, destination, side, destinationPort);
    }
  }

  /** The worker that expects this flow from inside, which is made here; NOBODY where nobody does. */
  announcedBy(protocol: number, source: number, destination: number, ports: number): number {
    const { keys } = this;
    if (keys.isEmpty) return NOBODY;
    const owner = keys.find(ANNOUNCED, protocol, destination, source, ports >>> 16);
    return owner === NOBODY ? keys.find(ANNOUNCED, protocol, destination, ANY, ports >>> 16) : owner;
  }

  private showFlow(table: FlowTable, flow: number, begins: boolean): void {
    const { hot } = table;
    const h = flow * HOT;
    const protocol = hot[h + H_STATUS]! & 0xff;
    for (let direction = 0; direction < 2; direction++) {
      const t = h + direction * TUPLE;
      const ports = hot[t + H_PORTS]!;
      const isInside = table.sideOf((flow << 1) | direction) === PRIVATE;
      if (workerOfTuple(protocol, ports, isInside, this.workers) === this.number) continue;
      this.show(begins, TUPLE_KEY, protocol, hot[t]!, hot[t + H_DESTINATION]!, ports);
    }
  }

  private show(begins: boolean, kind: number, protocol: number, a: number, b: number, c: number): void {
    if (begins) this.keys.put(kind, this.number, protocol, a, b, c);
    else this.keys.remove(kind, this.number, protocol, a, b, c);
  }
}
