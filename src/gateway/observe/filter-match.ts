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

/** What the tests of a tree look at, for a flow or one version of a packet. */
interface View extends Named {
  protocol: number;
  state: string;
  assured: boolean;
  unreplied: boolean;
  related: boolean;
  addresses: Record<AddressAt, readonly (number | undefined)[]>;
  ports: Record<PortAt, readonly number[]>;
}

/** Whether a flow is one that the filter means. */
export function flowMatcher(filter: Filter): (flow: FlowSubject) => boolean {
  const matches = matcher(filter);
  return (flow) => matches(viewOfFlow(flow));
}

/** Whether a packet is: as it came, or as it left. */
export function packetMatcher(filter: Filter): (packet: PacketSubject) => boolean {
  const matches = matcher(filter);
  return (packet) =>
    matches(viewOfPacket(packet, packet.came, packet.side, false)) ||
    (packet.left !== null && matches(viewOfPacket(packet, packet.left, packet.to, true)));
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
      return (view) => view.protocol === test.protocol;
    case 'address': {
      const { at, network } = test;
      const mask = prefixMask(network.length);
      return (view) =>
        view.addresses[at].some((address) => address !== undefined && (address & mask) === network.address);
    }
    case 'port': {
      const { at, first, last } = test;
      return (view) => view.ports[at].some((port) => port >= first && port <= last);
    }
    case 'state':
      return FLAG_STATES.includes(test.name)
        ? (view) => view[test.name.toLowerCase() as 'assured' | 'unreplied' | 'related']
        : (view) => view.state === test.name;
    case 'side':
      return (view) => view.side === test.side;
    default: {
      const { kind } = test;
      const name = test.name.toLowerCase();
      return (view) => view[kind]?.toLowerCase() === name;
    }
  }
}

function viewOfFlow(flow: FlowSubject): View {
  const { original, reply } = flow;
  const isInbound = flow.side === 'public';
  return {
    ...flow,
    addresses: {
      source: [original.src],
      destination: [original.dst],
      replySource: [reply.src],
      replyDestination: [reply.dst],
      host: [original.src, original.dst, reply.src, reply.dst],
      external: [isInbound ? original.dst : reply.dst],
      client: [isInbound ? reply.src : original.src],
    },
    ports: {
      source: [original.sport],
      destination: [original.dport],
      replySource: [reply.sport],
      replyDestination: [reply.dport],
      any: [original.sport, original.dport, reply.sport, reply.dport],
      external: [isInbound ? original.dport : reply.dport],
    },
  };
}

/** `end`: the packet at an interface of this side, `leaves` by it. Its answer would be the inverse. */
function viewOfPacket(packet: PacketSubject, end: End, side: Side | undefined, leaves: boolean): View {
  const isPublic = side === 'public';
  const external = leaves ? [end.src, end.sport] : [end.dst, end.dport];
  return {
    ...packet,
    state: packet.state ?? '',
    assured: packet.assured ?? false,
    unreplied: packet.unreplied ?? false,
    related: packet.related ?? false,
    side,
    addresses: {
      source: [end.src],
      destination: [end.dst],
      replySource: [end.dst],
      replyDestination: [end.src],
      host: [end.src, end.dst],
      external: isPublic ? [external[0]] : [],
      client: [packet.clientAddress],
    },
    ports: {
      source: [end.sport],
      destination: [end.dport],
      replySource: [end.dport],
      replyDestination: [end.sport],
      any: [end.sport, end.dport],
      external: isPublic ? [external[1]!] : [],
    },
  };
}
