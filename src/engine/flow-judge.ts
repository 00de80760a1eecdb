/**
 * Whether a flow that lives would end with another configuration, and why. Pure: it looks at a flow's record and at the two
 * configurations, so that a reload, which ends the flow, and `natgate plan`, which says that it would, cannot differ.
 *
 * Who made the flow need not be the first that would match now: a rule put before another takes none of its flows, as in netfilter,
 * where NAT is decided once. What a flow was made by must be there still, and must be such that it could have made the flow:
 *
 *     its source        the rule, by its number; or the prefix pair
 *     its destination   the forward; the prefix pair; or the rule of the mapping it goes to
 *     the flow itself   the firewall, asked as for its first packet, where its configuration is another
 *
 * What a record does not tell speaks for the flow: the rule of a hairpin's destination where only the record is at hand, and of what a
 * helper announced everything but the external address.
 */
import {
  EXPECTED,
  H_DESTINATION,
  H_PORTS,
  H_STATUS,
  HOT,
  ORIGINAL_SIDE,
  REPLY_SIDE,
  RULE_SHIFT,
  TUPLE,
} from '../conntrack/flow-table.ts';
import type { Forward, NatConfig, NatRule } from '../nat/config.ts';
import { targetPort } from '../nat/forwards.ts';
import { NO_ADDRESS, PrefixPairs } from '../nat/prefixes.ts';
import { applies, isWithin, ruleNumber } from '../nat/rules.ts';
import { swap16 } from '../wire/bytes.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';

/** Why a flow ends: what is no more, or refuses it, and its name. */
export interface EndCause {
  kind: 'rule' | 'forward' | 'pair' | 'address' | 'firewall' | 'anti-spoofing';
  name: string;
}

/** The firewall's part: what would refuse flow number `flow` if it began now; null: nothing. */
export type FirewallOfFlows = (flow: number) => EndCause | null;

/** Of a rule, from one configuration to the next. */
const SAME = 0;
const CHANGED = 1;
const GONE = 2;

/** judge(): the flow has no mapping of a rule that it could be told by, or nobody knows. */
export const UNKNOWN_RULE = -1;

interface Fate {
  kind: number;
  before: NatRule;
  after: NatRule | undefined;
}

export class FlowJudge {
  /** Whether there can be a flow that ends: else none need be looked at. */
  readonly mayEnd: boolean;
  private readonly fates = new Map<number, Fate>();
  private readonly before: Side;
  private readonly after: Side;
  private readonly firewall: FirewallOfFlows | null;

  /** `firewall`: null where that part of the configuration has not changed. */
  constructor(before: NatConfig, after: NatConfig, firewall: FirewallOfFlows | null) {
    this.before = new Side(before);
    this.after = new Side(after);
    this.firewall = firewall;
    const rules = new Map(after.rules.map((rule, i) => [ruleNumber(rule, i), rule]));
    before.rules.forEach((rule, i) => {
      const number = ruleNumber(rule, i);
      const now = rules.get(number);
      const kind = now === undefined ? GONE : makesSame(rule, now) ? SAME : CHANGED;
      this.fates.set(number, { kind, before: rule, after: now });
    });
    const isLess = <T>(a: readonly T[], b: readonly T[]) => JSON.stringify(a) !== JSON.stringify(b);
    this.mayEnd =
      firewall !== null ||
      [...this.fates.values()].some(({ kind }) => kind !== SAME) ||
      isLess(before.forwards, after.forwards) ||
      isLess(before.prefixes, after.prefixes);
  }

  /**
   * Why the live flow ends, or null. `mapping`: whether it refers to a mapping (C_MAPPING); `target`: number of the rule of the
   * mapping behind the destination of a hairpin, or UNKNOWN_RULE.
   */
  judge(hot: Int32Array, flow: number, mapping: boolean, target: number): EndCause | null {
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    const isInside = (status & ORIGINAL_SIDE) === 0;
    const isTurned = hot[h + H_DESTINATION] !== hot[h + TUPLE];
    const leaves = (status & REPLY_SIDE) !== 0;
    return (
      // From one private network to another nothing is translated.
      (isInside && (leaves || isTurned) ? this.source(hot, h, mapping, leaves) : null) ??
      (isTurned ? this.destination(hot, h, mapping, target) : null) ??
      (this.firewall === null ? null : this.firewall(flow))
    );
  }

  private source(hot: Int32Array, h: number, mapping: boolean, leaves: boolean): EndCause | null {
    const { before, after } = this;
    const status = hot[h + H_STATUS]!;
    const protocol = status & 0xff;
    const source = hot[h]!;
    const external = hot[h + TUPLE + H_DESTINATION]!;
    const isTranslated = external !== source;
    if (isTranslated && before.pairs.toExternal(source) === external) {
      return after.pairs.toExternal(source) === external ? null : before.pairOf(source, 'internal');
    }
    const isExpected = (status & EXPECTED) !== 0;
    if (isExpected && !mapping) return isTranslated ? this.addressOf(external) : null;
    const fate = this.fates.get(status >>> RULE_SHIFT);
    if (fate === undefined || fate.kind === SAME) return null;
    const cause = { kind: 'rule', name: fate.before.name } as const;
    if (fate.kind === GONE) return cause;
    const rule = fate.after!;
    if (isExpected) return isTranslated ? this.allowed(fate, external) : null;
    const ports = hot[h + H_PORTS]!;
    if (!applies(rule.match, source, hot[h + H_DESTINATION]!, protocol, ports)) return cause;
    // A query that is a hairpin keeps its id, and gets its destination's address.
    if (!leaves && protocol === PROTO_ICMP) return null;
    if ((rule.action === 'none') === isTranslated) return cause;
    if (!isTranslated) return null;
    return this.allowed(fate, external) ?? this.allowedPort(fate, protocol, hot[h + TUPLE + H_PORTS]! >>> 16);
  }

  private destination(hot: Int32Array, h: number, mapping: boolean, target: number): EndCause | null {
    const { before, after } = this;
    const status = hot[h + H_STATUS]!;
    const destination = hot[h + H_DESTINATION]!;
    const internal = hot[h + TUPLE]!;
    const isInside = (status & ORIGINAL_SIDE) === 0;
    const twice = !isInside && hot[h] !== hot[h + TUPLE + H_DESTINATION];
    const forward = before.forwardOf(hot, h);
    if (forward !== undefined) {
      const now = after.forwardOf(hot, h);
      const stays = now !== undefined && (isInside || now.twice === twice);
      return stays ? null : { kind: 'forward', name: forward.name };
    }
    if (before.pairs.toInternal(destination) === internal) {
      return after.pairs.toInternal(destination) === internal ? null : before.pairOf(destination, 'external');
    }
    if ((status & EXPECTED) !== 0 && !mapping) return this.addressOf(destination);
    const fate = this.fates.get(isInside ? target : status >>> RULE_SHIFT);
    if (fate === undefined || fate.kind === SAME) return null;
    const { match, action } = fate.after ?? fate.before;
    const covers = match.sources.length === 0 || isWithin(match.sources, internal);
    if (fate.kind === GONE || action === 'none' || !covers) return { kind: 'rule', name: fate.before.name };
    return this.allowed(fate, destination);
  }

  /** Whether a rule still translates to an address. */
  private allowed({ after }: Fate, external: number): EndCause | null {
    const { action, addresses } = after!;
    const has = action === 'pool' ? addresses.includes(external) : this.before.isShared(external);
    return has ? null : this.before.address(external);
  }

  private allowedPort({ before, after }: Fate, protocol: number, port: number): EndCause | null {
    if (protocol !== PROTO_TCP && protocol !== PROTO_UDP) return null;
    const { first, last } = after!.ports;
    if (first <= before.ports.first && last >= before.ports.last) return null;
    const number = swap16(port);
    return number >= first && number <= last ? null : { kind: 'rule', name: before.name };
  }

  /** Whether an address is external as it was before. */
  private addressOf(external: number): EndCause | null {
    const { before, after } = this;
    const stays = before.isShared(external) ? after.isShared(external) : !after.isShared(external);
    return stays ? null : before.address(external);
  }
}

/** What one configuration says of addresses and forwards. */
class Side {
  readonly pairs: PrefixPairs;
  private readonly config: NatConfig;
  private readonly dedicated: ReadonlySet<number>;

  constructor(config: NatConfig) {
    this.config = config;
    this.pairs = new PrefixPairs(config.prefixes);
    this.dedicated = dedicatedAddresses(config);
  }

  /** Whether an external address of a flow is the public interface's own, now or when the flow began. */
  isShared(address: number): boolean {
    return !this.dedicated.has(address) && this.pairs.toInternal(address) === NO_ADDRESS;
  }

  /** The forward that leads the flow at `h` to where it goes: the first that is about it, if one of its targets is that. */
  forwardOf(hot: Int32Array, h: number): Forward | undefined {
    const protocol = hot[h + H_STATUS]! & 0xff;
    const destination = hot[h + H_DESTINATION]!;
    const internal = hot[h + TUPLE]!;
    const port = hot[h + H_PORTS]! >>> 16;
    const number = swap16(port);
    const internalPort = hot[h + TUPLE + H_PORTS]! & 0xffff;
    const forward = this.config.forwards.find(
      ({ protocol: own, ports, address, sources }) =>
        own === protocol &&
        number >= ports.first &&
        number <= ports.last &&
        (address === 0 ? this.isShared(destination) : address === destination) &&
        (sources.length === 0 || isWithin(sources, hot[h]!)),
    );
    const isThere = forward?.targets.some(
      (target) => target.address === internal && targetPort(forward, target, port) === internalPort,
    );
    return isThere === true ? forward : undefined;
  }

  pairOf(address: number, end: 'internal' | 'external'): EndCause {
    const pair = this.config.prefixes.find((each) => isWithin([each[end]], address));
    return { kind: 'pair', name: pair?.name ?? '' };
  }

  /** By the rule that an address was one of. */
  address(external: number): EndCause {
    const rule = this.config.rules.find(({ addresses }) => addresses.includes(external));
    return { kind: 'address', name: rule?.name ?? 'masquerade' };
  }
}

/** The external addresses that rules and forwards name: those that have numbers in the engine. */
export function dedicatedAddresses({ rules, forwards }: NatConfig): Set<number> {
  return new Set([
    ...rules.flatMap((rule) => (rule.action === 'pool' ? rule.addresses : [])),
    ...forwards.map((forward) => forward.address).filter((address) => address !== 0),
  ]);
}

/** Whether all flows that a rule made, another makes just so. */
function makesSame(a: NatRule, b: NatRule): boolean {
  const what = ({ match, action, addresses, ports }: NatRule) =>
    JSON.stringify([match, action, addresses, ports]);
  return what(a) === what(b);
}
