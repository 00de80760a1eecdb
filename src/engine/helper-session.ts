/**
 * What a helper can ask for (nat/alg/session.ts), for one packet of one flow: external ports from the mappings,
 * expectations in the table, calls in the GRE keys. One object, set anew for each packet that a helper reads.
 *
 * What an expectation leads to follows from its master. An endpoint of the sender's is announced to the receiver; so
 * the new flow arrives where the receiver is, at the address by which the receiver knows the sender, and goes to the
 * announced endpoint, seen there as coming from whom the sender knows. Where these addresses are the same nothing is to
 * be translated, and the new flow is made as any other.
 */
import { END_CLOSED } from '../conntrack/end-reasons.ts';
import { ANY, type Expectation, type Expectations, WITH_MASTER } from '../conntrack/expectations.ts';
import { type FlowTable, H_DESTINATION, H_PORTS, H_STATUS, HOT, TUPLE } from '../conntrack/flow-table.ts';
import type { GreKeys } from '../conntrack/gre-keys.ts';
import type { Tracker } from '../conntrack/tracker.ts';
import type { AlgSession, Wanted } from '../nat/alg/session.ts';
import { swap16 } from '../wire/bytes.ts';
import { PROTO_GRE } from '../wire/ipv4.ts';
import type { ExternalPorts } from './external-ports.ts';

/** Kind of the expectations of GRE calls: no helper's own. */
const CALL = 100;
/** How often a pair of neighbouring ports is looked for. */
const PAIR_TRIES = 16;
const CALL_ID_TRIES = 65535;

export class HelperSession implements AlgSession {
  protocol = 0;
  direction: 0 | 1 = 0;
  source = 0;
  sourcePort = 0;
  destination = 0;
  destinationPort = 0;
  newSource = 0;
  newSourcePort = 0;
  newDestination = 0;
  newDestinationPort = 0;
  /** The flow's last endpoint with an external port of its own: port << 16 | external port, host order; 0: none. */
  announced = 0;
  private flow = 0;
  private helper = 0;
  private now = 0;
  private isKept = false;
  private readonly table: FlowTable;
  private readonly tracker: Tracker;
  private readonly ports: ExternalPorts;
  private readonly expectations: Expectations;
  private readonly greKeys: GreKeys;

  constructor(tracker: Tracker, ports: ExternalPorts, expectations: Expectations, greKeys: GreKeys) {
    this.table = tracker.table;
    this.tracker = tracker;
    this.ports = ports;
    this.expectations = expectations;
    this.greKeys = greKeys;
  }

  /** Sets the session to a packet of `handle`, read by the helper of that place among helperKinds. */
  begin(handle: number, helper: number, now: number): void {
    const { hot } = this.table;
    const h = (handle >> 1) * HOT;
    const tuple = h + (handle & 1) * TUPLE;
    const other = h + TUPLE - (handle & 1) * TUPLE;
    this.flow = handle >> 1;
    this.helper = helper;
    this.now = now;
    this.isKept = false;
    this.protocol = hot[h + H_STATUS]! & 0xff;
    this.direction = (handle & 1) as 0 | 1;
    this.source = hot[tuple]!;
    this.destination = hot[tuple + H_DESTINATION]!;
    this.sourcePort = swap16(hot[tuple + H_PORTS]! & 0xffff);
    this.destinationPort = swap16(hot[tuple + H_PORTS]! >>> 16);
    this.newSource = hot[other + H_DESTINATION]!;
    this.newDestination = hot[other]!;
    this.newSourcePort = swap16(hot[other + H_PORTS]! >>> 16);
    this.newDestinationPort = swap16(hot[other + H_PORTS]! & 0xffff);
  }

  /** Whether keep() was called. */
  get kept(): boolean {
    return this.isKept;
  }

  keep(): void {
    this.isKept = true;
  }

  expect(wanted: Wanted): number {
    // An engine that was killed may have told the receiver of this port already.
    const before = this.announced >>> 16 === wanted.port ? this.announced & 0xffff : wanted.port;
    return this.announce(wanted, before);
  }

  expectPair(wanted: Wanted): number {
    let preferred = wanted.port;
    const control = { ...wanted, port: wanted.port + 1 };
    for (let i = 0; i < PAIR_TRIES; i++) {
      const lower = this.announce(wanted, preferred);
      if (lower < 0) return -1;
      if ((lower & 1) === (wanted.port & 1) && this.announce(control, lower + 1) === lower + 1) return lower;
      this.withdraw(control);
      this.withdraw(wanted);
      preferred = (lower & 1) === (wanted.port & 1) ? lower + 2 : lower + 1;
    }
    // An endpoint that has its mapping already keeps it, odd or even; media matters more than its reports.
    const lower = this.announce(wanted, preferred);
    if (lower >= 0) this.announce(control, lower + 1);
    return lower;
  }

  portOf(protocol: number, address: number, port: number): number {
    for (const known of this.expectations.of(this.flow)) {
      if (known.protocol === protocol && known.address === address && known.port === swap16(port)) {
        return swap16(known.destinationPort);
      }
    }
    return -1;
  }

  refresh(protocol: number, externalPort: number, kind: number, seconds: number): void {
    for (const known of this.expectations.of(this.flow)) {
      if (known.kind !== kind || known.protocol !== protocol) continue;
      if (known.destinationPort !== swap16(externalPort)) continue;
      known.inactive = false;
      known.deadline = (this.now + seconds * 1000) | 0;
    }
  }

  forget(kinds: readonly number[]): void {
    for (const known of [...this.expectations.of(this.flow)]) {
      if (kinds.includes(known.kind)) this.expectations.remove(known);
    }
  }

  callId(id: number): number {
    const { hot } = this.table;
    const r = this.flow * HOT + TUPLE;
    // Who is not translated is known by its own id.
    if (hot[this.flow * HOT] === hot[r + H_DESTINATION]) return id;
    for (let i = 0, told = id; i < CALL_ID_TRIES; i++) {
      if (told !== 0 && this.greKeys.portsOf(hot[r]!, hot[r + H_DESTINATION]!, swap16(told)) === 0)
        return told;
      told = (told + 1) & 0xffff;
    }
    return -1;
  }

  call(own: number, told: number, peer: number): boolean {
    const { hot } = this.table;
    const o = this.flow * HOT;
    const r = o + TUPLE;
    const [ownId, toldId, peerId] = [swap16(own), swap16(told), swap16(peer)];
    // The id was free when the call was asked for; another client's may have been answered first.
    if (this.greKeys.portsOf(hot[r]!, hot[r + H_DESTINATION]!, toldId) !== 0) return false;
    if (!this.greKeys.add(hot[o]!, hot[o + H_DESTINATION]!, peerId, ownId)) return false;
    if (!this.greKeys.add(hot[r]!, hot[r + H_DESTINATION]!, toldId, peerId)) return false;
    // As they leave: that is how ICMP errors quote them.
    this.greKeys.add(hot[r + H_DESTINATION]!, hot[r]!, peerId, toldId);
    this.greKeys.add(hot[o + H_DESTINATION]!, hot[o]!, ownId, peerId);
    this.expectCall(0, ownId | (peerId << 16), peerId, toldId);
    this.expectCall(1, peerId | (toldId << 16), ownId, peerId);
    return true;
  }

  hangUp(own: number, told: number, peer: number): void {
    const { hot } = this.table;
    const o = this.flow * HOT;
    const r = o + TUPLE;
    const [ownId, toldId, peerId] = [swap16(own), swap16(told), swap16(peer)];
    const ports = ownId | (peerId << 16);
    const handle = this.table.lookup(hot[o]!, hot[o + H_DESTINATION]!, ports, PROTO_GRE);
    this.greKeys.remove(hot[o]!, hot[o + H_DESTINATION]!, peerId);
    this.greKeys.remove(hot[r]!, hot[r + H_DESTINATION]!, toldId);
    this.greKeys.remove(hot[r + H_DESTINATION]!, hot[r]!, peerId);
    this.greKeys.remove(hot[o + H_DESTINATION]!, hot[o]!, ownId);
    this.forget([CALL]);
    if (handle >= 0) this.tracker.close(handle >> 1, END_CLOSED);
  }

  /** GRE of either end may come first, and again after a silence: both directions are expected as long as the call lasts. */
  private expectCall(direction: 0 | 1, ports: number, replyFrom: number, replyTo: number): void {
    const { table } = this;
    const { hot } = table;
    const handle = (this.flow << 1) | direction;
    const tuple = this.flow * HOT + direction * TUPLE;
    const other = this.flow * HOT + TUPLE - direction * TUPLE;
    // Meanwhile the protocol is natgate's, not the host's: the server's may come first.
    const mapping = this.ports.acquire(
      this.flow,
      hot[this.flow * HOT + TUPLE + H_DESTINATION]!,
      PROTO_GRE,
      hot[this.flow * HOT]!,
      0,
      0,
    );
    const expectation: Expectation = {
      protocol: PROTO_GRE,
      source: hot[tuple]!,
      sourcePort: ports & 0xffff,
      destination: hot[tuple + H_DESTINATION]!,
      destinationPort: ports >>> 16,
      side: table.sideOf(handle),
      toSide: table.sideOf(handle ^ 1),
      master: this.flow,
      kind: CALL,
      helper: -1,
      permanent: true,
      translated: true,
      address: hot[other]!,
      port: replyFrom,
      from: hot[other + H_DESTINATION]!,
      fromPort: replyTo,
      mapping,
      inactive: false,
      deadline: WITH_MASTER,
    };
    if (!this.expectations.add(expectation, 2) && mapping >= 0) this.ports.release(mapping);
  }

  private announce(wanted: Wanted, preferred: number): number {
    const { protocol, address, port } = wanted;
    const known = this.known(wanted);
    if (known !== undefined) {
      if (!wanted.inactive) known.deadline = (this.now + wanted.seconds * 1000) | 0;
      return swap16(known.destinationPort);
    }
    const translated = this.newSource !== this.source;
    let external = wanted.own === true ? this.newSourcePort : port;
    let mapping = -1;
    if (translated && wanted.own !== true && this.ports.gives(this.newSource)) {
      mapping = this.ports.acquire(
        this.flow,
        this.newSource,
        protocol,
        address,
        swap16(port),
        swap16(preferred),
      );
      if (mapping < 0) return -1;
      external = swap16(this.ports.externalPort(mapping));
      this.announced = (port << 16) | external;
    }
    const handle = (this.flow << 1) | this.direction;
    const expectation: Expectation = {
      protocol,
      source: wanted.from === 'peer' ? this.newDestination : ANY,
      sourcePort: ANY,
      destination: translated ? this.newSource : address,
      destinationPort: swap16(external),
      side: this.table.sideOf(handle ^ 1),
      toSide: this.table.sideOf(handle),
      master: this.flow,
      kind: wanted.kind,
      helper: wanted.helped === true ? this.helper : -1,
      permanent: wanted.permanent === true,
      translated,
      address,
      port: swap16(port),
      from: wanted.from === 'peer' ? this.destination : ANY,
      fromPort: ANY,
      mapping,
      inactive: wanted.inactive === true,
      deadline: (this.now + wanted.seconds * 1000) | 0,
    };
    if (this.expectations.add(expectation, wanted.limit)) return external;
    if (mapping >= 0) this.ports.release(mapping);
    return -1;
  }

  private withdraw(wanted: Wanted): void {
    const known = this.known(wanted);
    if (known !== undefined) this.expectations.remove(known);
  }

  private known({ protocol, address, port, kind }: Wanted): Expectation | undefined {
    return this.expectations
      .of(this.flow)
      .find(
        (entry) =>
          entry.protocol === protocol &&
          entry.address === address &&
          entry.port === swap16(port) &&
          entry.kind === kind,
      );
  }
}
