/** A filter as a predicate: over flows, and over packets that somebody wrote down. Not for the hot path. */
import type { FlowInfo, FlowTuple } from '../../conntrack/flow-info.ts';
import { prefixMask } from '../../wire/address.ts';
import type { AddressAt, Filter, PortAt, Test } from './filter.ts';
import { FLAG_STATES } from './filter-words.ts';

type Side = 'private' | 'public';

/** What a reader may know besides. A test of what it does not know is false. */
export interface Named {
  /** Where the flow began, or the packet came in. */
  side?: Side | undefined;
  /** Name of the NAT rule. */
  rule?: string | undefined;
  /** Name of the private host. */
  client?: string | undefined;
  /** Why it was dropped, or ended. */
  reason?: string | undefined;
}

export type FlowSubject = Named &
  Pick<FlowInfo, 'protocol' | 'state' | 'original' | 'reply' | 'assured' | 'unreplied' | 'related'>;

type End = Pick<FlowTuple, 'src' | 'dst' | 'sport' | 'dport'>;

export interface PacketSubject extends Named {
  protocol: number;
  /** As it came; ports in host order, of ICMP queries the id in both, 0 without. */
  came: End;
  /** As it left; null when it did not. */
  left: End | null;
  /** Where it went. */
  to?: Side | undefined;
  /** Of its flow. */
  state?: string | undefined;
  assured?: boolean | undefined;
  unreplied?: boolean | undefined;
  related?: boolean | undefined;
  /** Address of the private host whose it is, wire order. */
  clientAddress?: number | undefined;
}

/** What the tests of a tree look at: a flow, or one version of a packet. Made once and pointed at one after the other. */
interface View {
  readonly subject: Named & {
    protocol: number;
    state?: string | undefined;
    assured?: boolean | undefined;
    unreplied?: boolean | undefined;
    related?: boolean | undefined;
  };
  readonly side: Side | undefined;
  hasAddress(at: AddressAt, network: number, mask: number): boolean;
  hasPort(at: PortAt, first: number, last: number): boolean;
}

/** Whether a flow is one that the filter means. */
export function flowMatcher(filter: Filter): (flow: FlowSubject) => boolean {
  const matches = matcher(filter);
  const view = new FlowView();
  return (flow) => {
    view.subject = flow;
    return matches(view);
  };
}

/** Whether a packet is: as it came, or as it left. */
export function packetMatcher(filter: Filter): (packet: PacketSubject) => boolean {
  const matches = matcher(filter);
  const view = new PacketView();
  return (packet) => {
    view.show(packet, packet.came, packet.side, false);
    if (matches(view)) return true;
    if (packet.left === null) return false;
    view.show(packet, packet.left, packet.to, true);
    return matches(view);
  };
}

function matcher(filter: Filter): (view: View) => boolean {
  switch (filter.kind) {
    case 'and': {
      const parts = filter.of.map(matcher);
      return (view) => parts.every((part) => part(view));
    }
    case 'or': {
      const parts = filter.of.map(matcher);
      return (view) => parts.some((part) => part(view));
    }
    case 'not': {
      const part = matcher(filter.of);
      return (view) => !part(view);
    }
    default:
      return tester(filter);
  }
}

function tester(test: Test): (view: View) => boolean {
  switch (test.kind) {
    case 'protocol':
      return (view) => view.subject.protocol === test.protocol;
    case 'address': {
      const { at, network } = test;
      const mask = prefixMask(network.length);
      return (view) => view.hasAddress(at, network.address, mask);
    }
    case 'port': {
      const { at, first, last } = test;
      return (view) => view.hasPort(at, first, last);
    }
    case 'state': {
      const { name } = test;
      const flag = name.toLowerCase() as 'assured' | 'unreplied' | 'related';
      return FLAG_STATES.includes(name)
        ? ({ subject }) => subject[flag] === true
        : ({ subject }) => subject.state === name;
    }
    case 'side':
      return (view) => view.side === test.side;
    default: {
      const { kind } = test;
      const name = test.name.toLowerCase();
      return ({ subject }) => subject[kind]?.toLowerCase() === name;
    }
  }
}

class FlowView implements View {
  subject!: FlowSubject;

  get side(): Side | undefined {
    return this.subject.side;
  }

  hasAddress(at: AddressAt, network: number, mask: number): boolean {
    const { original, reply, side } = this.subject;
    const is = (address: number) => (address & mask) === network;
    switch (at) {
      case 'source':
        return is(original.src);
      case 'destination':
        return is(original.dst);
      case 'replySource':
        return is(reply.src);
      case 'replyDestination':
        return is(reply.dst);
      case 'host':
        return is(original.src) || is(original.dst) || is(reply.src) || is(reply.dst);
      case 'external':
        return is(side === 'public' ? original.dst : reply.dst);
      case 'client':
        return is(side === 'public' ? reply.src : original.src);
    }
  }

  hasPort(at: PortAt, first: number, last: number): boolean {
    const { original, reply, side } = this.subject;
    const is = (port: number) => port >= first && port <= last;
    switch (at) {
      case 'source':
        return is(original.sport);
      case 'destination':
        return is(original.dport);
      case 'replySource':
        return is(reply.sport);
      case 'replyDestination':
        return is(reply.dport);
      case 'any':
        return is(original.sport) || is(original.dport) || is(reply.sport) || is(reply.dport);
      case 'external':
        return is(side === 'public' ? original.dport : reply.dport);
    }
  }
}

class PacketView implements View {
  subject!: PacketSubject;
  side: Side | undefined;
  private end!: End;
  private leaves = false;

  /** `end`: the packet at an interface of this side; it `leaves` by it. Its answer would be the inverse. */
  show(packet: PacketSubject, end: End, side: Side | undefined, leaves: boolean): void {
    this.subject = packet;
    this.end = end;
    this.side = side;
    this.leaves = leaves;
  }

  hasAddress(at: AddressAt, network: number, mask: number): boolean {
    const { src, dst } = this.end;
    const { clientAddress } = this.subject;
    const is = (address: number) => (address & mask) === network;
    switch (at) {
      case 'source':
      case 'replyDestination':
        return is(src);
      case 'destination':
      case 'replySource':
        return is(dst);
      case 'host':
        return is(src) || is(dst);
      case 'external':
        return this.side === 'public' && is(this.leaves ? src : dst);
      case 'client':
        return clientAddress !== undefined && is(clientAddress);
    }
  }

  hasPort(at: PortAt, first: number, last: number): boolean {
    const { sport, dport } = this.end;
    const is = (port: number) => port >= first && port <= last;
    switch (at) {
      case 'source':
      case 'replyDestination':
        return is(sport);
      case 'destination':
      case 'replySource':
        return is(dport);
      case 'any':
        return is(sport) || is(dport);
      case 'external':
        return this.side === 'public' && is(this.leaves ? sport : dport);
    }
  }
}
