/**
 * What NAT makes of the first packet of a flow: where it really goes, and as whom.
 *
 *     destination()   DNS of the gateway's own address; forwards, then 1:1 prefixes, then mappings as their filtering allows       (netfilter: PREROUTING)
 *     source()        the first rule; a prefix pair before a rule that translates                 (netfilter: POSTROUTING)
 *
 * The answer is in `decision`; the flow's reply tuple is its inverse. Between the two the caller finds the way to the
 * destination. A hairpin is both: a packet from inside to an external endpoint goes to the internal one behind it, from the
 * sender's own external endpoint (RFC 4787 REQ-9a). Filtering is about remote hosts; private ones pass it.
 */
import { FILTERED, NO_EXTERNAL_ADDRESS, NO_FLOW, NO_HAIRPIN, NO_RULE_MATCHES, OK } from '../core/reasons.ts';
import { isIcmpRequest } from '../wire/icmp.ts';
import { PROTO_ICMP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_PORTS, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import type { Forward } from './config.ts';
import type { Dns } from './dns.ts';
import { ICMP, LOCAL, NOT_EXTERNAL, OTHER, portTableOf, SHARED } from './external-addresses.ts';
import { type Forwards, NO_FORWARD, targetPort } from './forwards.ts';
import { type Mappings, NO_MAPPING } from './mappings.ts';
import { NO_ADDRESS, type PrefixPairs } from './prefixes.ts';
import { ADDRESS_DEPENDENT, ENDPOINT_INDEPENDENT, NO_RULE, type Rules } from './rules.ts';

/** Words of a decision. */
export const D_SOURCE = 0;
export const D_DESTINATION = 1;
/** Ports word of the packet as it leaves. */
export const D_PORTS = 2;
/** What found the destination: DIRECT, FORWARD, PREFIX, MAPPED, RESOLVER, ANNOUNCED. */
export const D_KIND = 3;
/** Number of the rule that gave the source; of the first one, where none did. */
export const D_RULE = 4;
/** Mapping that gave the source (a reference is taken), or NO_MAPPING. */
export const D_MAPPING = 5;
/** Mapping that gave the destination (no reference is taken), or NO_MAPPING. */
export const D_TARGET = 6;
const WORDS = 7;
/** Stands for the public interface's address where it does not matter which that is: no forward has it of its own. */
const ANY_SHARED = 0;

export const DIRECT = 0;
export const FORWARD = 1;
export const PREFIX = 2;
export const MAPPED = 3;
/** A query to the gateway's own address (dns.ts): the destination is a resolver, on either side. */
export const RESOLVER = 4;
/** Another flow announced the packet's; nobody was asked. */
export const ANNOUNCED = 5;

export class Decider {
  readonly decision = new Int32Array(WORDS);
  /** The gateway's own address where the flow that is decided about leaves; asked for twice NAT only. 0: none. */
  local = 0;
  /** The resolver that was decided about is behind the interface where the query came in: it must answer the gateway. */
  turnsBack = false;
  private readonly dns: Dns;
  private readonly rules: Rules;
  readonly forwards: Forwards;
  private readonly prefixes: PrefixPairs;
  private readonly mappings: Mappings;
  /** Number of the rule that gives the source of twice NAT. */
  private readonly twiceRule: number;
  /** Remote addresses that the owner of a mapping has flows to, where filtering is address-dependent: how many. */
  private readonly contacts = new Map<number, number>();
  private forward = NO_FORWARD;
  /** What another worker found behind the external endpoint of the next packet: address (0: nothing), port, rule. */
  private foreignAddress = 0;
  private foreignPort = 0;
  private foreignRule = 0;

  constructor(
    rules: Rules,
    forwards: Forwards,
    prefixes: PrefixPairs,
    mappings: Mappings,
    twiceRule: number,
    dns: Dns,
  ) {
    this.dns = dns;
    this.rules = rules;
    this.forwards = forwards;
    this.prefixes = prefixes;
    this.mappings = mappings;
    this.twiceRule = twiceRule;
  }

  /**
   * Where the packet of row `m` goes. `isInside`: it comes from the private side. OK (DIRECT: as it says), or a drop
   * reason when its destination is an external address and nothing is behind it for this source.
   */
  destination(meta: Int32Array, m: number, isInside: boolean, now: number): number {
    const { decision, mappings, forwards } = this;
    const protocol = meta[m + M_PROTOCOL]!;
    const source = meta[m + M_SOURCE]!;
    const destination = meta[m + M_DESTINATION]!;
    const ports = meta[m + M_PORTS]!;
    const { externals } = mappings;
    decision[D_SOURCE] = source;
    decision[D_DESTINATION] = destination;
    decision[D_PORTS] = ports;
    decision[D_KIND] = DIRECT;
    decision[D_RULE] = Math.max(this.rules.first, 0);
    decision[D_MAPPING] = NO_MAPPING;
    decision[D_TARGET] = NO_MAPPING;
    this.turnsBack = false;
    const resolver = isInside ? this.dns.resolverFor(protocol, destination, ports) : 0;
    if (resolver !== 0) {
      decision[D_DESTINATION] = resolver;
      decision[D_KIND] = RESOLVER;
      return OK;
    }
    const number = externals.numberOf(destination);
    if (number !== NOT_EXTERNAL && forwards.list.length > 0) {
      // A former address of the public interface is as good as the present one.
      const shared = number === SHARED ? destination : externals.addressOf(SHARED);
      this.forward = forwards.find(protocol, destination, ports >>> 16, source, shared);
      if (this.forward !== NO_FORWARD) {
        const target = forwards.target(this.forward, source, now);
        const port = targetPort(forwards.list[this.forward]!, target, ports >>> 16);
        decision[D_DESTINATION] = target.address;
        decision[D_PORTS] = (ports & 0xffff) | (port << 16);
        decision[D_KIND] = FORWARD;
        return OK;
      }
    }
    const internal = this.prefixes.toInternal(destination);
    if (internal !== NO_ADDRESS) {
      decision[D_DESTINATION] = internal;
      decision[D_KIND] = PREFIX;
      return OK;
    }
    return number === NOT_EXTERNAL ? OK : this.mapped(number, protocol, source, ports, isInside);
  }

  /**
   * As whom a packet that destination() was asked about leaves towards the public side, or back to the private one
   * (hairpin). `original`: the destination it came with; rules see it, or the resolver. Takes a reference of a mapping. OK or a drop reason.
   */
  source(protocol: number, source: number, original: number, ports: number): number {
    const { decision, mappings } = this;
    const rule = this.rules.ruleOf(source, this.seenBy(original), protocol, ports);
    if (rule === NO_RULE || this.rules.rules[rule]!.translates) {
      const external = this.prefixes.toExternal(source);
      if (external !== NO_ADDRESS) {
        decision[D_SOURCE] = external;
        return OK;
      }
      if (rule === NO_RULE) return NO_RULE_MATCHES;
    } else {
      decision[D_RULE] = rule;
      return OK;
    }
    if (protocol === PROTO_ICMP && decision[D_KIND] === MAPPED) {
      // A query has one id, and that is the destination's here: the address alone is translated.
      decision[D_RULE] = rule;
      decision[D_SOURCE] = original;
      return OK;
    }
    return this.translateSource(rule, protocol, source, mappings);
  }

  /** Whether source() would give the packet that destination() was asked about another source. */
  translatesSource(protocol: number, source: number, original: number, ports: number): boolean {
    const rule = this.rules.ruleOf(source, this.seenBy(original), protocol, ports);
    if (rule === NO_RULE) return this.prefixes.toExternal(source) !== NO_ADDRESS;
    return this.rules.rules[rule]!.translates;
  }

  /** Twice NAT: whether the flow that destination() decided about shall seem to come from the gateway; then OK or a reason. */
  get isTwice(): boolean {
    return this.decision[D_KIND] === FORWARD && this.forwards.list[this.forward]!.twice;
  }

  /** The source is `local`, whatever address the mapping of its port has. */
  twiceSource(protocol: number, source: number): number {
    if (this.local === 0) return NO_EXTERNAL_ADDRESS;
    const refused = this.translateSource(this.twiceRule, protocol, source, this.mappings);
    this.decision[D_SOURCE] = this.local;
    return refused;
  }

  /**
   * Number of the external address that the packet of row `m`, from inside, is for, where nothing but the mappings says what is
   * behind it; else NOT_EXTERNAL.
   */
  onlyMapped(meta: Int32Array, m: number): number {
    const { forwards, mappings, prefixes } = this;
    const destination = meta[m + M_DESTINATION]!;
    const number = mappings.externals.numberOf(destination);
    if (number === NOT_EXTERNAL || number === LOCAL) return NOT_EXTERNAL;
    if (this.dns.resolverFor(meta[m + M_PROTOCOL]!, destination, meta[m + M_PORTS]!) !== 0)
      return NOT_EXTERNAL;
    const shared = number === SHARED ? destination : mappings.externals.addressOf(SHARED);
    const port = meta[m + M_PORTS]! >>> 16;
    const forward = forwards.find(meta[m + M_PROTOCOL]!, destination, port, meta[m + M_SOURCE]!, shared);
    if (forward !== NO_FORWARD || prefixes.toInternal(destination) !== NO_ADDRESS) return NOT_EXTERNAL;
    return number;
  }

  /** The forward of the public interface's own address, whatever that is, that a flow from `source` to `port` is by; or null. */
  forwardOfShared(protocol: number, port: number, source: number): Forward | null {
    const { forwards } = this;
    const found = forwards.find(protocol, ANY_SHARED, port, source, ANY_SHARED);
    return found === NO_FORWARD ? null : forwards.list[found]!;
  }

  /** What another worker's mapping has behind the external endpoint of the next packet; address 0: nothing. `port`: wire order. */
  setForeign(address: number, port: number, rule: number): void {
    this.foreignAddress = address;
    this.foreignPort = port;
    this.foreignRule = rule;
  }

  /** A flow of `mapping` to `remote` begins (+1) or ends (-1): what address-dependent filtering goes by. */
  contact(mapping: number, remote: number, by: 1 | -1): void {
    const rule = this.rules.rules[this.mappings.table.ruleOf(mapping)]!;
    if (rule.filtering !== ADDRESS_DEPENDENT) return;
    const key = contactKey(mapping, remote);
    const count = (this.contacts.get(key) ?? 0) + by;
    if (count > 0) this.contacts.set(key, count);
    else this.contacts.delete(key);
  }

  /** Who has been sent to is known no more: contact() is to be called for each flow anew. */
  forgetContacts(): void {
    this.contacts.clear();
  }

  private translateSource(rule: number, protocol: number, source: number, mappings: Mappings): number {
    const { decision } = this;
    const ports = decision[D_PORTS]!;
    const remotePort = protocol === PROTO_ICMP ? 0 : ports >>> 16;
    // Who is refused is refused by this rule.
    decision[D_RULE] = rule;
    const mapping = mappings.acquire(
      rule,
      protocol,
      source,
      ports & 0xffff,
      decision[D_DESTINATION]!,
      remotePort,
    );
    if (mapping === NO_MAPPING) return mappings.refusal;
    decision[D_MAPPING] = mapping;
    decision[D_SOURCE] = mappings.externalAddress(mapping);
    if (portTableOf(protocol) !== OTHER) {
      decision[D_PORTS] = (ports & ~0xffff) | mappings.externalPort(mapping);
    }
    return OK;
  }

  /** The destination that rules are asked about. */
  private seenBy(original: number): number {
    return this.decision[D_KIND] === RESOLVER ? this.decision[D_DESTINATION]! : original;
  }

  /** Behind an external endpoint that a mapping has given out. */
  private mapped(number: number, protocol: number, source: number, ports: number, isInside: boolean): number {
    const { decision, mappings } = this;
    const t = portTableOf(protocol);
    if (t === OTHER) return NO_FLOW;
    // Queries from outside are the host's own to answer; only private hosts reach each other by an id (RFC 7857, hairpinning of ICMP).
    if (t === ICMP && !(isInside && isIcmpRequest((ports >>> 16) & 0xff))) return NO_FLOW;
    const owner = mappings.ownerOf(number, t, t === ICMP ? ports & 0xffff : ports >>> 16);
    if (owner === NO_MAPPING && this.foreignAddress !== 0 && isInside) {
      decision[D_DESTINATION] = this.foreignAddress;
      decision[D_PORTS] = (ports & 0xffff) | (this.foreignPort << 16);
      decision[D_KIND] = MAPPED;
      decision[D_RULE] = this.foreignRule;
      return OK;
    }
    if (owner === NO_MAPPING || number === LOCAL) return NO_FLOW;
    const rule = this.rules.rules[mappings.table.ruleOf(owner)]!;
    if (isInside && !rule.hairpin) return NO_HAIRPIN;
    if (!isInside && !this.passes(owner, rule.filtering, source)) return FILTERED;
    const port = mappings.table.internalPort(owner);
    decision[D_DESTINATION] = mappings.table.internalAddress(owner);
    decision[D_PORTS] = t === ICMP ? (ports & ~0xffff) | port : (ports & 0xffff) | (port << 16);
    decision[D_KIND] = MAPPED;
    decision[D_RULE] = mappings.table.ruleOf(owner);
    decision[D_TARGET] = owner;
    return OK;
  }

  /** Whether a remote host that the owner has no flow with may send to a mapping. */
  private passes(mapping: number, filtering: number, remote: number): boolean {
    if (filtering === ENDPOINT_INDEPENDENT) return true;
    return filtering === ADDRESS_DEPENDENT && this.contacts.has(contactKey(mapping, remote));
  }
}

function contactKey(mapping: number, remote: number): number {
  return mapping * 2 ** 32 + (remote >>> 0);
}
