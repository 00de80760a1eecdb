/**
 * Taking over the flows of an earlier process: each gets back the mappings that its tuples and its rule say it had. One
 * whose external endpoint cannot be its own any more (an address that is gone, a rule or forward that is no more, a port
 * that another flow has) is lost.
 */
import { END_LOST } from '../conntrack/end-reasons.ts';
import {
  C_MAPPING,
  COLD,
  type FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_ROUTE,
  H_STATUS,
  HOT,
  ORIGINAL_SIDE,
  REPLY_SIDE,
  RULE_SHIFT,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { hasState, mend } from '../conntrack/plausible.ts';
import type { Tracker } from '../conntrack/tracker.ts';
import type { Forward } from '../nat/config.ts';
import type { Dns } from '../nat/dns.ts';
import { ICMP, LOCAL, NOT_EXTERNAL, OTHER, portTableOf, SHARED } from '../nat/external-addresses.ts';
import { type Mappings, NO_MAPPING } from '../nat/mappings.ts';
import { type PortClass, workerOfPort } from '../nat/port-class.ts';
import { NO_ADDRESS, type PrefixPairs } from '../nat/prefixes.ts';
import {
  ADDRESS_AND_PORT_DEPENDENT,
  ADDRESS_DEPENDENT,
  type CompiledRule,
  ON_CHANGE_END,
  onChangeOf,
  type Rules,
} from '../nat/rules.ts';
import { swap16 } from '../wire/bytes.ts';
import { PROTO_ICMP } from '../wire/ipv4.ts';
import type { EventLog } from './event-log.ts';
import type { FlowLosses } from './losses.ts';

export interface NatOfFlows {
  mappings: Mappings;
  rules: Rules;
  forwards: readonly Forward[];
  prefixes: PrefixPairs;
  dns: Dns;
  /** Several workers: whose ports are given here. */
  own: PortClass;
  /** Called for a flow whose destination is behind another worker's mapping. */
  guest(flow: number): void;
  /** Called with an external address that is gone, of a flow that may outlive it. */
  lost(address: number): void;
  /** Who is told of flows that live on, or do not; null: nobody. */
  events: EventLog | null;
}

/** The flow needs no mapping, or cannot have the one it had. */
const NONE_NEEDED = -1;
const LOST = -2;

/**
 * Adopts what the tracker's table holds. `begun` is called for each flow that lives on, its C_MAPPING set, with its second
 * mapping or NO_MAPPING; `tracker.onClose` for each that has to go again (flow-adoption.ts). Returns what was lost.
 */
export function adoptFlows(
  tracker: Tracker,
  nat: NatOfFlows,
  now: number,
  begun: (flow: number, target: number) => void,
): FlowLosses {
  const { table } = tracker;
  const { hot, cold } = table;
  const { events } = nat;
  let gone = 0;
  let impossible = 0;
  const adopt = (flow: number) => {
    if (events?.isEnded(flow)) return false;
    const h = flow * HOT;
    if (!hasState(hot[h + H_STATUS]!)) {
      impossible++;
      events?.gone(flow);
      return false;
    }
    mend(table, flow, now);
    const isInside = (hot[h + H_STATUS]! & ORIGINAL_SIDE) === 0;
    const leaves = (hot[h + H_STATUS]! & REPLY_SIDE) !== 0;
    const source = isInside ? sourceMapping(table, flow, nat) : twiceMapping(table, flow, nat);
    const target = targetOf(table, flow, nat, isInside && leaves);
    if (source === LOST || target === LOST) {
      if (source >= 0) nat.mappings.release(source, now, true);
      if (target >= 0) nat.mappings.release(target, now, true);
      events?.gone(flow);
      gone++;
      return false;
    }
    cold[flow * COLD + C_MAPPING] = Math.max(isInside ? source : target, NO_MAPPING);
    // Route classes are numbered anew.
    hot[h + H_ROUTE] = 0;
    begun(flow, Math.max(isInside ? target : source, NO_MAPPING));
    events?.adopted(flow);
    return true;
  };
  const { torn, damaged, twice, doubtful } = tracker.adopt(
    now,
    adopt,
    (flow) => events?.gone(flow),
    (flow) => touchSource(table, flow, nat),
  );
  for (const flow of doubtful) tracker.close(flow, END_LOST);
  return { torn, damaged: damaged + impossible, twice, gone };
}

/** The second mapping; a resolver's needs none. `goesOut`: the flow is from inside out. */
function targetOf(table: FlowTable, flow: number, nat: NatOfFlows, goesOut: boolean): number {
  if (nat.dns.isFlow(table, flow)) return nat.dns.mayGoOn(table, flow) ? NONE_NEEDED : LOST;
  return goesOut ? NONE_NEEDED : targetMapping(table, flow, nat);
}

/** The mapping of a flow from inside. */
function sourceMapping(table: FlowTable, flow: number, nat: NatOfFlows): number {
  const { mappings, rules, prefixes } = nat;
  const { hot } = table;
  const h = flow * HOT;
  const external = hot[h + TUPLE + H_DESTINATION]!;
  const leaves = (hot[h + H_STATUS]! & REPLY_SIDE) !== 0;
  // From one private network to another.
  if (!leaves && external === hot[h] && hot[h + H_DESTINATION] === hot[h + TUPLE]) return NONE_NEEDED;
  // To a resolver on the private side.
  if (!leaves && nat.dns.isFlow(table, flow)) return twiceMapping(table, flow, nat);
  if (prefixes.toExternal(hot[h]!) === external) return NONE_NEEDED;
  const number = hot[h + H_STATUS]! >>> RULE_SHIFT;
  const rule = rules.rules[number];
  if (rule === undefined) return LOST;
  if (!rule.translates) return external === hot[h] ? NONE_NEEDED : LOST;
  const externalNumber = numberOf(external, survives(rule), nat);
  // A query that is a hairpin has its destination's id.
  if (!leaves && (hot[h + H_STATUS]! & 0xff) === PROTO_ICMP) return NONE_NEEDED;
  return externalNumber === NOT_EXTERNAL ? LOST : adoptSource(table, flow, mappings, number, externalNumber);
}

/** The mapping of a flow to the private side whose source is translated too; most have none. */
function twiceMapping(table: FlowTable, flow: number, { mappings, rules }: NatOfFlows): number {
  const { hot } = table;
  const h = flow * HOT;
  const source = hot[h + TUPLE + H_DESTINATION]!;
  if (source === hot[h]) return NONE_NEEDED;
  if (!mappings.externals.isLocal(source)) return LOST;
  return adoptSource(table, flow, mappings, rules.twice, LOCAL);
}

/** What sourceMapping() will look at, for most flows. The record may be damaged. */
function touchSource({ hot }: FlowTable, flow: number, { mappings, rules }: NatOfFlows): number {
  const h = flow * HOT;
  const status = hot[h + H_STATUS]!;
  const t = portTableOf(status & 0xff);
  const number = status >>> RULE_SHIFT;
  const rule = rules.rules[number];
  if ((status & ORIGINAL_SIDE) !== 0 || t >= ICMP || rule === undefined) return 0;
  const external = mappings.externals.numberOf(hot[h + TUPLE + H_DESTINATION]!);
  if (external === NOT_EXTERNAL) return 0;
  const reply = hot[h + TUPLE + H_PORTS]!;
  const remote = rule.mapping >= ADDRESS_DEPENDENT ? hot[h + TUPLE]! : 0;
  const remotePort = rule.mapping === ADDRESS_AND_PORT_DEPENDENT ? reply & 0xffff : 0;
  const port = hot[h + H_PORTS]! & 0xffff;
  return (
    mappings.table.touch(number, t, hot[h]!, port, remote, remotePort) |
    mappings.ownerOf(external, t, reply >>> 16)
  );
}

function adoptSource(
  table: FlowTable,
  flow: number,
  mappings: Mappings,
  rule: number,
  external: number,
): number {
  const { hot } = table;
  const h = flow * HOT;
  const protocol = hot[h + H_STATUS]! & 0xff;
  const reply = hot[h + TUPLE + H_PORTS]!;
  const isIcmp = protocol === PROTO_ICMP;
  const mapping = mappings.adopt(
    rule,
    protocol,
    hot[h]!,
    hot[h + H_PORTS]! & 0xffff,
    hot[h + TUPLE]!,
    isIcmp ? 0 : reply & 0xffff,
    external,
    isIcmp ? reply & 0xffff : reply >>> 16,
  );
  return mapping === NO_MAPPING ? LOST : mapping;
}

/** Whether flows of the rule may outlive the public interface's address. */
function survives(rule: CompiledRule | undefined): boolean {
  return rule !== undefined && rule.onAddressChange !== ON_CHANGE_END && rule.externals.includes(SHARED);
}

/** Number of a flow's external address; if `mayOutlive`, of one that is gone as well. */
function numberOf(address: number, mayOutlive: boolean, { mappings, lost }: NatOfFlows): number {
  const known = mappings.externals.numberOf(address);
  if (known !== NOT_EXTERNAL || !mayOutlive) return known;
  lost(address);
  return SHARED;
}

/** The mapping behind the destination of a flow from outside, or of a hairpin. */
function targetMapping(table: FlowTable, flow: number, nat: NatOfFlows): number {
  const { hot } = table;
  const h = flow * HOT;
  const { mappings, forwards, prefixes } = nat;
  const { externals } = mappings;
  const protocol = hot[h + H_STATUS]! & 0xff;
  const destination = hot[h + H_DESTINATION]!;
  const internal = hot[h + TUPLE]!;
  if (destination === internal) return NONE_NEEDED;
  if (prefixes.toInternal(destination) !== NO_ADDRESS) {
    return prefixes.toInternal(destination) === internal ? NONE_NEEDED : LOST;
  }
  const port = swap16(hot[h + H_PORTS]! >>> 16);
  const isShared = externals.numberOf(destination) === SHARED;
  for (const forward of forwards) {
    if (forward.protocol !== protocol || port < forward.ports.first || port > forward.ports.last) continue;
    if (forward.address !== 0) {
      if (forward.address !== destination) continue;
    } else if (!isShared) {
      const mayOutlive = onChangeOf(forward.onAddressChange) !== ON_CHANGE_END;
      if (numberOf(destination, mayOutlive, nat) === NOT_EXTERNAL) continue;
    }
    return forward.targets.some((target) => target.address === internal) ? NONE_NEEDED : LOST;
  }
  const rule = hot[h + H_STATUS]! >>> RULE_SHIFT;
  const number = numberOf(destination, survives(nat.rules.rules[rule]), nat);
  if (number === NOT_EXTERNAL) return LOST;
  if (protocol !== PROTO_ICMP && workerOfPort(port, nat.own.workers) !== nat.own.number) {
    nat.guest(flow);
    return NONE_NEEDED;
  }
  // The internal endpoint's own flows bring the mapping back; one that nobody else refers to is made as its rule would.
  const isIcmp = protocol === PROTO_ICMP;
  const reply = hot[h + TUPLE + H_PORTS]! & 0xffff;
  const external = isIcmp ? hot[h + H_PORTS]! & 0xffff : hot[h + H_PORTS]! >>> 16;
  // Where ports are overloaded an endpoint may have several: this one, for whatever remote its own flows made it.
  const t = portTableOf(protocol);
  const known = t === OTHER ? NO_MAPPING : mappings.mappingAt(number, t, external, internal, reply);
  if (known !== NO_MAPPING) {
    mappings.refer(known);
    return known;
  }
  const remotePort = isIcmp ? 0 : hot[h + H_PORTS]! & 0xffff;
  const mapping = mappings.adopt(rule, protocol, internal, reply, hot[h]!, remotePort, number, external);
  return mapping === NO_MAPPING ? LOST : mapping;
}
