/**
 * The one filter of all verbs that look: `flows`, `drops`, `trace`, `capture`, `events`. A tree of tests.
 *
 *     text  ── parseFilter (filter-parse.ts) ──▶ ┌──────┐ ── flowMatcher (filter-match.ts) ──▶ predicate over flows and packets
 *     flags ── filterOfFlags (filter-flags.ts) ▶ │ tree │ ── compileForEngine (filter-program.ts) ──▶ program for the engine
 *                                                └──────┘ ── formatFilter ──▶ text, which parses to the same tree
 *
 * `src`, `dst`, `sport`, `dport` are of the original direction of a flow, as conntrack's --src and the rest are; of a packet, of what
 * stands in it. `host` and `port` are of any end, before and after translation. `ext` is our address as the outside sees it.
 */

import { formatPrefix, type Prefix } from '../../wire/address.ts';
import { protocolName } from '../../wire/protocols.ts';

/** Which address of a flow or packet a test is about. `client`: the private host whose flow it is. */
export type AddressAt =
  | 'source'
  | 'destination'
  | 'replySource'
  | 'replyDestination'
  | 'host'
  | 'external'
  | 'client';

/** Which port; of ICMP queries the id. */
export type PortAt = 'source' | 'destination' | 'replySource' | 'replyDestination' | 'any' | 'external';

export type Test =
  | { kind: 'protocol'; protocol: number }
  | { kind: 'address'; at: AddressAt; network: Prefix }
  | { kind: 'port'; at: PortAt; first: number; last: number }
  /** A state of TCP or SCTP, or one of ASSURED, UNREPLIED, RELATED. */
  | { kind: 'state'; name: string }
  | { kind: 'rule' | 'reason' | 'client'; name: string }
  | { kind: 'side'; side: 'private' | 'public' };

export type Filter = { kind: 'and' | 'or'; of: readonly Filter[] } | { kind: 'not'; of: Filter } | Test;

/** What no filter at all is. */
export const EVERYTHING: Filter = { kind: 'and', of: [] };

export function isEverything(filter: Filter): boolean {
  return filter.kind === 'and' && filter.of.length === 0;
}

/** All of them; what one of them is not needed for is left out. */
export function allOf(filters: readonly Filter[]): Filter {
  const needed = filters.filter((filter) => !isEverything(filter));
  return needed.length === 1 ? needed[0]! : { kind: 'and', of: needed };
}

export const ADDRESS_WORDS: Record<AddressAt, string> = {
  source: 'src',
  destination: 'dst',
  replySource: 'reply-src',
  replyDestination: 'reply-dst',
  host: 'host',
  external: 'ext',
  client: 'client',
};

export const PORT_WORDS: Record<PortAt, string> = {
  source: 'sport',
  destination: 'dport',
  replySource: 'reply-sport',
  replyDestination: 'reply-dport',
  any: 'port',
  external: 'extport',
};

/** The tree as text, from which parseFilter() makes the same one. Everything is the empty text. */
export function formatFilter(filter: Filter): string {
  switch (filter.kind) {
    case 'and':
      return filter.of.map((part) => inner(part)).join(' and ');
    case 'or':
      return filter.of.map((part) => inner(part)).join(' or ');
    case 'not':
      return `not ${inner(filter.of)}`;
    case 'protocol':
      return `proto ${protocolName(filter.protocol) ?? filter.protocol}`;
    case 'address':
      return `${ADDRESS_WORDS[filter.at]} ${formatPrefix(filter.network).replace(/\/32$/, '')}`;
    case 'port': {
      const { first, last } = filter;
      return `${PORT_WORDS[filter.at]} ${first === last ? first : `${first}-${last}`}`;
    }
    case 'side':
      return `side ${filter.side}`;
    default:
      return `${filter.kind} "${filter.name.replace(/["\\]/g, '\\$&')}"`;
  }
}

function inner(filter: Filter): string {
  return filter.kind === 'and' || filter.kind === 'or' ? `(${formatFilter(filter)})` : formatFilter(filter);
}
