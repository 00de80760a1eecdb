/**
 * What NAT is asked to do, as checked values: rules for flows that go out, and what is let in. Addresses are in wire
 * order (wire/address.ts), ports in host order. Nothing here is looked at per packet: rules are asked when a flow begins.
 *
 *     out     the first rule that matches decides: translate to which addresses, behaving how, or leave as it is
 *     in      forwards first, then prefixes (1:1, netmap), then the mappings that rules have made, as their filtering allows
 */

import type { Prefix } from '../wire/address.ts';

/** RFC 4787 4.1 and 5: of what the mapping depends, and who may send to it. */
export type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

/** How an external port is chosen: the internal one if it is free; at random (RFC 6056); the next one up. */
export type PortChoice = 'preserve' | 'random' | 'sequential';

/**
 * Whether one external port may serve several internal endpoints at once, towards different remote endpoints:
 * never; when no other port is free; or whenever the preferred port is another's (what netfilter does).
 */
export type Overload = 'never' | 'exhausted' | 'always';

/**
 * What becomes of flows whose external address the public interface loses: they end, as with MASQUERADE; they stay as
 * they are (the address may come back); or they go on from the new address, which only some protocols bear.
 */
export type OnAddressChange = 'end' | 'keep' | 'remap';

/** How a rule translates. */
export interface NatBehaviour {
  /** Of what, beside the internal endpoint, the external one depends (RFC 4787 4.1). */
  mapping: Dependence;
  /** Who may send to an external endpoint, of those that its internal one has sent to (RFC 4787 5). */
  filtering: Dependence;
  /** Private hosts reach each other by their external endpoints (RFC 4787 REQ-9). */
  hairpin: boolean;
  /** How an external port is chosen. */
  ports: PortChoice;
  /** Even ports stay even, odd ones odd (RFC 4787 REQ-4). */
  parity: boolean;
  /** Ports below 1024 stay below, as far as the range has such (RFC 4787 REQ-3a). */
  portClass: boolean;
  /** All mappings of an internal host have one external address (RFC 4787 REQ-2); else any address of the pool. */
  pairedPooling: boolean;
  /** Whether one external port may serve several internal endpoints. */
  overload: Overload;
  /** A port that came free is not given to another host for so long (RFC 6888 REQ-8). */
  quarantineSeconds: number;
  /** External ports of one protocol that an internal host may have, at most (RFC 6888 REQ-4); 0: no limit. */
  portsPerHost: number;
  /** Flows that an internal host may have, at most (RFC 6888 REQ-5); 0: no limit. */
  flowsPerHost: number;
  /** Ports are given to internal hosts in blocks of so many (RFC 6888 REQ-14); 0: one by one. */
  blockSize: number;
  /** Which block a host has follows from its address alone (RFC 7422), and it never has another. */
  deterministic: boolean;
}

/** The MUSTs of RFC 4787, 5382, 5508 and 6888, and otherwise what MASQUERADE does. */
export const defaultBehaviour: Readonly<NatBehaviour> = {
  mapping: 'endpoint-independent',
  filtering: 'address-and-port-dependent',
  hairpin: true,
  ports: 'preserve',
  parity: true,
  portClass: true,
  pairedPooling: true,
  overload: 'exhausted',
  quarantineSeconds: 120,
  portsPerHost: 0,
  flowsPerHost: 0,
  blockSize: 0,
  deterministic: false,
};

export type { Prefix } from '../wire/address.ts';

/** Ports in host order, both ends included. */
export interface PortRange {
  /** The lowest. */
  first: number;
  /** The highest. */
  last: number;
}

/** What a flow from the private side must be for a rule to decide about it; an empty list matches everything. */
export interface NatMatch {
  /** Internal addresses. */
  sources: readonly Prefix[];
  /** Remote addresses. */
  destinations: readonly Prefix[];
  /** IP protocol numbers. */
  protocols: readonly number[];
  /** Only TCP and UDP have ports; a rule that names some matches no other protocol. */
  destinationPorts: readonly PortRange[];
}

/** What becomes of the flows from the private side that it matches. */
export interface NatRule {
  /** For people: `natgate status` names it. */
  name: string;
  /** Which flows. */
  match: NatMatch;
  /**
   * `masquerade`: to the public interface's own address; `pool`: to `addresses`; `none`: no translation (the flow is
   * tracked all the same).
   */
  action: 'masquerade' | 'pool' | 'none';
  /** Dedicated external addresses of a pool. */
  addresses: readonly number[];
  /** External TCP and UDP ports. Of the shared address of `masquerade`, only those that natgate owns. */
  ports: PortRange;
  /** In RFC 4787's words. */
  behaviour: NatBehaviour;
  /** When the public interface's address changes; `end` where it says nothing. */
  onAddressChange?: OnAddressChange;
  /**
   * What flows and mappings remember of it, 0 to MAX_RULE_NUMBER, each rule its own; its position where it says nothing. A
   * rule that outlives a change of the configuration keeps its number (gateway/reload/rule-numbers.ts).
   */
  number?: number;
}

/** The highest number of a rule; the one above is twice NAT's (conntrack/flow-table.ts MAX_RULES). */
export const MAX_RULE_NUMBER = 510;

/** Where a forward leads. */
export interface ForwardTarget {
  /** Internal address. */
  address: number;
  /** Internal port of the forward's first external one; the others follow in step. */
  port: number;
}

/** A range of external ports whose flows go to internal hosts. */
export interface Forward {
  /** For people. */
  name: string;
  /** PROTO_TCP or PROTO_UDP. */
  protocol: number;
  /** External address; 0: the public interface's own, whatever that is at the time. */
  address: number;
  /** External ports. */
  ports: PortRange;
  /** Who may use it; empty: everybody. */
  sources: readonly Prefix[];
  /** One, or several that take turns. */
  targets: readonly ForwardTarget[];
  /** A remote host stays with its target for so long after its last flow began; 0: each flow is a new turn. */
  affinitySeconds: number;
  /** Twice NAT: the target sees the gateway's own private address as the source. */
  twice: boolean;
  /** When the public interface's address changes, of a forward of that; `end` where it says nothing. */
  onAddressChange?: OnAddressChange;
}

/** Two prefixes of one length, translated address by address, both ways (1:1 NAT; NETMAP). */
export interface PrefixPair {
  /** For people. */
  name: string;
  /** Private addresses. */
  internal: Prefix;
  /** Dedicated addresses. */
  external: Prefix;
}

/** All that NAT is asked to do. */
export interface NatConfig {
  /** The first that matches decides. */
  rules: readonly NatRule[];
  /** Asked before prefixes and mappings. */
  forwards: readonly Forward[];
  /** 1:1 NAT. */
  prefixes: readonly PrefixPair[];
}

/** Every flow. */
export const matchAll: Readonly<NatMatch> = {
  sources: [],
  destinations: [],
  protocols: [],
  destinationPorts: [],
};

/** The recipe: everything masqueraded. */
export function masqueradeAll(ports: PortRange, behaviour: Partial<NatBehaviour> = {}): NatConfig {
  const rule: NatRule = {
    name: 'masquerade',
    match: matchAll,
    action: 'masquerade',
    addresses: [],
    ports,
    behaviour: { ...defaultBehaviour, ...behaviour },
  };
  return { rules: [rule], forwards: [], prefixes: [] };
}
