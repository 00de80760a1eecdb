/**
 * What workers tell each other besides packets (hand-off.ts): about mappings that a flow of another worker refers to, and about
 * expectations that one has fulfilled. A note must not be lost, so it waits here when the ring is full.
 *
 *     RELEASE    that flow is over, or was never made: give the reference back
 *     ADOPT      such a flow lived on from an earlier engine: take the reference again
 *     USED       a flow that the receiver expects was made by the sender
 */
import type { Expectations } from '../conntrack/expectations.ts';
import { H_DESTINATION, H_PORTS, H_STATUS, HOT, RULE_SHIFT, TUPLE } from '../conntrack/flow-table.ts';
import { portTableOf, SHARED } from '../nat/external-addresses.ts';
import { NO_MAPPING } from '../nat/mappings.ts';
import { workerOfWire } from '../nat/port-class.ts';
import { PRIVATE } from '../policy/admission.ts';
import type { Ring } from './ring.ts';
import type { Sessions } from './sessions.ts';

const RELEASE = 4;
const ADOPT = 5;
const USED = 6;

/** Kind, then the arguments of the record. */
type Note = [kind: number, a: number, b: number, c: number, d: number];

export class Notes {
  /** Flows whose destination is behind another worker's mapping. */
  private readonly guests = new Set<number>();
  private readonly sessions: Sessions;
  private readonly expectations: Expectations;
  private readonly to: readonly Ring[];
  /** By worker. */
  private readonly waiting: Note[][];

  /** `to`: the ring to each worker. */
  constructor(sessions: Sessions, expectations: Expectations, to: readonly Ring[]) {
    this.sessions = sessions;
    this.expectations = expectations;
    this.to = to;
    this.waiting = to.map(() => []);
    for (const flow of sessions.guests.splice(0)) {
      this.guests.add(flow);
      this.tellKeeper(flow, ADOPT);
    }
    sessions.onGuestEnd = (flow) => {
      if (this.guests.delete(flow)) this.tellKeeper(flow, RELEASE);
    };
  }

  /** A flow was made whose destination is behind a mapping of another worker, which has taken a reference for it. */
  addGuest(flow: number): void {
    this.guests.add(flow);
  }

  /**
   * That reference is not needed. `external`: address of the endpoint; `ports`: the internal port behind it, and its own port in
   * the upper half (wire order).
   */
  release(keeper: number, external: number, internal: number, ports: number, protocol: number): void {
    this.tell(keeper, RELEASE, external, internal, ports, protocol);
  }

  /** A flow that `announcer` expects was made here. */
  used(announcer: number, source: number, destination: number, ports: number, protocol: number): void {
    this.waiting[announcer]!.push([USED, source, destination, ports, protocol]);
  }

  /** Writes what waits. Returns who has been told something, as bits. */
  flush(): number {
    let told = 0;
    for (let worker = 0; worker < this.waiting.length; worker++) {
      const notes = this.waiting[worker]!;
      while (notes.length > 0 && this.to[worker]!.putNote(...notes[0]!)) {
        notes.shift();
        told |= 1 << worker;
      }
    }
    return told;
  }

  /** Does what a note from another worker says. */
  hear(ring: Ring, record: number, now: number): void {
    const kind = ring.kind(record);
    const [a, b] = [ring.argument(record, 0), ring.argument(record, 1)];
    const ports = ring.argument(record, 2);
    const what = ring.argument(record, 3);
    if (kind === USED) {
      const expected = this.expectations.match(what, a, b, ports, PRIVATE, now);
      if (expected !== null) this.expectations.use(expected);
      return;
    }
    const { mappings } = this.sessions;
    const protocol = what & 0xff;
    const [port, externalPort] = [ports & 0xffff, ports >>> 16];
    const mapping = mappings.mappingAt(a, portTableOf(protocol), externalPort, b, port);
    if (kind === RELEASE) {
      if (mapping !== NO_MAPPING) mappings.release(mapping, now, false);
    } else if (mapping !== NO_MAPPING) {
      mappings.refer(mapping);
    } else {
      mappings.adopt(what >>> RULE_SHIFT, protocol, b, port, 0, 0, a, externalPort);
    }
  }

  /** A note about the mapping behind the destination of a flow, to the worker that has it. */
  private tellKeeper(flow: number, kind: number): void {
    const { hot } = this.sessions.table;
    const h = flow * HOT;
    const external = hot[h + H_PORTS]! >>> 16;
    const ports = (hot[h + TUPLE + H_PORTS]! & 0xffff) | (external << 16);
    const keeper = workerOfWire(external, this.to.length);
    // The status has protocol and rule.
    this.tell(keeper, kind, hot[h + H_DESTINATION]!, hot[h + TUPLE]!, ports, hot[h + H_STATUS]!);
  }

  private tell(
    keeper: number,
    kind: number,
    external: number,
    internal: number,
    ports: number,
    what: number,
  ): void {
    const { externals } = this.sessions.mappings;
    // An address that is none any more was the public interface's own.
    const number = Math.max(externals.numberOf(external), SHARED);
    this.waiting[keeper]!.push([kind, number, internal, ports, what]);
  }
}
