/** The document's `firewall`, as FirewallConfig. What rules say together (chains, shadows) is firewall-findings.ts's. */
import type {
  ConnectionLimit,
  Criterion,
  FirewallAction,
  FirewallConfig,
  FirewallMatch,
  FirewallRule,
  RateLimit,
  Schedule,
} from '../../policy/firewall-config.ts';
import { prefix } from '../nat-syntax.ts';
import { parseInterface } from '../options.ts';
import { addressRanges, type Sets } from './addresses.ts';
import { findings } from './firewall-findings.ts';
import { elements, listOf, portList, protocolList } from './lists.ts';
import type { Path } from './problems.ts';
import type { Reader } from './reader.ts';
import type { ConfigDocument } from './schema.ts';
import { DAYS } from './schema-firewall.ts';
import { icmpType, moment, ratePerSecond, tcpFlags, timeOfDay, timeZone } from './words.ts';

type Section = ConfigDocument['firewall'];
type Rule = Section['rules'][number];
type Policy = FirewallConfig['policies']['inbound'];

/** `served`: names of the interfaces. */
export function compileFirewall(
  section: Section,
  sets: Sets,
  served: ReadonlySet<string>,
  reader: Reader,
): FirewallConfig {
  const compile = (path: Path, rules: readonly Rule[]) => rulesOf(reader, path, rules, sets, served);
  const policies = section.default;
  const policy = (direction: 'outbound' | 'inbound' | 'between'): Policy => {
    const word = typeof policies === 'string' ? policies : policies[direction];
    return word === 'reject' ? { kind: 'reject', with: 'port-unreachable' } : { kind: word };
  };
  const firewall: FirewallConfig = {
    rules: compile(['firewall', 'rules'], section.rules),
    chains: Object.fromEntries(
      Object.entries(section.chains).map(([name, rules]) => [
        name,
        compile(['firewall', 'chains', name], rules),
      ]),
    ),
    policies: { outbound: policy('outbound'), inbound: policy('inbound'), between: policy('between') },
    antiSpoofing: section['anti-spoofing'],
    trustedOutside:
      listOf(reader, ['firewall', 'trusted-outside'], section['trusted-outside'], (path, text) =>
        prefix(reader.text(path, 'trusted-outside', text, '100.64.0.0/10'), text),
      ) ?? [],
  };
  findings(firewall, reader);
  return firewall;
}

function rulesOf(
  reader: Reader,
  path: Path,
  rules: readonly Rule[],
  sets: Sets,
  served: ReadonlySet<string>,
): FirewallRule[] {
  const names = new Set<string>();
  return rules.map((rule, i) => {
    const at = [...path, i];
    const name = rule.name ?? `rule ${i + 1}`;
    if (names.has(name)) {
      const key = rule.name === undefined ? at : [...at, 'name'];
      reader.error(key, `another rule of this chain has the name ${name}`, 'give each its own');
    }
    names.add(name);
    return new RuleReader(reader, at, rule, sets, served).rule(name);
  });
}

class RuleReader {
  readonly #reader: Reader;
  readonly #path: Path;
  readonly #rule: Rule;
  readonly #sets: Sets;
  readonly #served: ReadonlySet<string>;

  constructor(reader: Reader, path: Path, rule: Rule, sets: Sets, served: ReadonlySet<string>) {
    this.#reader = reader;
    this.#path = path;
    this.#rule = rule;
    this.#sets = sets;
    this.#served = served;
  }

  rule(name: string): FirewallRule {
    const rule = this.#rule;
    const action = this.#action();
    const match = this.#match();
    if (action.kind === 'reject' && action.with === 'tcp-reset' && !onlyTcp(match.protocols)) {
      this.#error('reject-with', 'only TCP can be reset', 'give `protocol: tcp` as well, or another answer');
    }
    const packetLimit = rule['packet-limit'];
    if (packetLimit !== undefined && action.kind !== 'accept') {
      this.#error('packet-limit', 'it is about flows that a rule accepts', 'give it with `action: accept`');
    }
    return {
      name,
      match,
      action,
      log: rule.log ?? (action.kind === 'log' ? '' : null),
      packetLimit: packetLimit === undefined ? null : this.#rate('packet-limit', packetLimit),
    };
  }

  #error(key: string, what: string, remedy: string): void {
    this.#reader.error([...this.#path, key], what, remedy);
  }

  #action(): FirewallAction {
    const { action, jump, goto } = this.#rule;
    const given = (['action', 'jump', 'goto'] as const).filter((key) => this.#rule[key] !== undefined);
    if (given.length === 0) {
      this.#reader.error(
        this.#path,
        'the rule does nothing',
        'give it an action (accept, drop, reject, log, count or return), or a chain to jump or goto',
      );
    } else if (given.length > 1) {
      this.#error(given[1]!, `the rule has ${given[0]} already`, 'keep one of them');
    }
    const answer = this.#rule['reject-with'];
    if (answer !== undefined && action !== 'reject') {
      this.#error('reject-with', 'the rule does not reject', 'give `action: reject`, or leave it out');
    }
    if (jump !== undefined) return { kind: 'jump', chain: jump };
    if (goto !== undefined) return { kind: 'goto', chain: goto };
    if (action === 'reject') return { kind: 'reject', with: answer ?? 'port-unreachable' };
    return { kind: action ?? 'count' };
  }

  #match(): FirewallMatch {
    const rule = this.#rule;
    return {
      directions:
        rule.direction === undefined ? null : this.#values('direction', rule.direction, (_, word) => word),
      inInterfaces: this.#criterion('in', (at, name) => this.#interface(at, name)),
      outInterfaces: this.#criterion('out', (at, name) => this.#interface(at, name)),
      sources: this.#criteria('from', (at, value) => addressRanges(this.#reader, at, value, this.#sets)),
      destinations: this.#criteria('to', (at, value) => addressRanges(this.#reader, at, value, this.#sets)),
      protocols: this.#one('protocol', (at, value) => protocolList(this.#reader, at, value)),
      sourcePorts: this.#criteria('source-ports', (at, value) => portList(this.#reader, at, value, 0)),
      destinationPorts: this.#criteria('ports', (at, value) => portList(this.#reader, at, value, 0)),
      icmp: this.#criterion('icmp', (at, value) =>
        icmpType(this.#reader.text(at, 'icmp', String(value), 'echo-request'), value),
      ),
      states: this.#criterion('state', (_, state) => state),
      tcpFlags: this.#flags(),
      limit: rule.limit === undefined ? null : this.#rate('limit', rule.limit),
      connections: this.#connections(),
      schedule: this.#schedule(),
    };
  }

  #interface(at: Path, name: string): string {
    parseInterface(String(at.at(-1)), name);
    if (!this.#served.has(name)) {
      this.#reader.warning(
        at,
        `natgate does not serve the interface ${name}`,
        'name one that is private or public',
      );
    }
    return name;
  }

  /** The elements of a list, those that are right. */
  #values<T, R>(key: string, value: T | readonly T[], parse: (path: Path, value: T) => R): R[] {
    return listOf(this.#reader, [...this.#path, key], value, parse) ?? [];
  }

  /** `KEY` or `not-KEY`, of which a rule can have one. */
  #one<K extends 'protocol', R>(
    key: K,
    parse: (path: Path, value: NonNullable<Rule[K]>) => readonly R[] | undefined,
  ): Criterion<R> | null {
    const criteria = this.#criteria(key, parse);
    return this.#single(key, criteria);
  }

  #criterion<K extends 'in' | 'out' | 'icmp' | 'state', R>(
    key: K,
    parse: (path: Path, value: Extract<NonNullable<Rule[K]>, readonly unknown[]>[number]) => R,
  ): Criterion<R> | null {
    type Value = Extract<NonNullable<Rule[K]>, readonly unknown[]>[number];
    const criteria = this.#criteria(key, (at, value) =>
      listOf<Value, R>(this.#reader, at, value as Value, parse),
    );
    return this.#single(key, criteria);
  }

  #single<R>(key: string, criteria: readonly Criterion<R>[]): Criterion<R> | null {
    if (criteria.length > 1) this.#error(`not-${key}`, `the rule has ${key} already`, 'keep one of them');
    return criteria[0] ?? null;
  }

  /** `KEY` and `not-KEY`; both must hold. */
  #criteria<
    K extends 'from' | 'to' | 'protocol' | 'source-ports' | 'ports' | 'in' | 'out' | 'icmp' | 'state',
    R,
  >(key: K, parse: (path: Path, value: NonNullable<Rule[K]>) => readonly R[] | undefined): Criterion<R>[] {
    return [false, true].flatMap((not) => {
      const name = not ? (`not-${key}` as const) : key;
      const value = this.#rule[name] as NonNullable<Rule[K]> | undefined;
      if (value === undefined) return [];
      const values = parse([...this.#path, name], value);
      if (values?.length === 0 && !not) {
        this.#reader.warning(
          [...this.#path, name],
          'the list is empty: the rule never matches',
          'list something, or leave the key out for everything',
        );
      }
      return [{ values: values ?? [], not }];
    });
  }

  #flags(): FirewallMatch['tcpFlags'] {
    for (const not of [false, true]) {
      const key = not ? 'not-tcp-flags' : 'tcp-flags';
      const text = this.#rule[key];
      if (text === undefined) continue;
      if (!not && this.#rule['not-tcp-flags'] !== undefined) {
        this.#error('not-tcp-flags', 'the rule has tcp-flags already', 'keep one of them');
      }
      const at = [...this.#path, key];
      const flags = this.#reader.attempt(at, () =>
        tcpFlags(this.#reader.text(at, key, text, '"FIN,SYN,RST,ACK SYN"'), text),
      );
      if (flags !== undefined) return { ...flags, not };
    }
    return null;
  }

  #rate(key: 'limit' | 'packet-limit', value: NonNullable<Rule['limit'] | Rule['packet-limit']>): RateLimit {
    const map =
      typeof value === 'string' ? { rate: value, burst: 5, per: 'rule' as const, prefix: 32 } : value;
    const at = typeof value === 'string' ? [...this.#path, key] : [...this.#path, key, 'rate'];
    const perSecond = this.#reader.attempt(at, () =>
      ratePerSecond(
        this.#reader.text(at, key, map.rate, '10/second, 5/minute, 100/hour or 20/day'),
        map.rate,
      ),
    );
    return {
      perSecond: perSecond ?? 1,
      burst: map.burst,
      grouping: { by: map.per, prefixLength: map.prefix },
      above: 'above' in map && map.above === true,
    };
  }

  #connections(): ConnectionLimit | null {
    const map = this.#rule.connections;
    if (map === undefined) return null;
    if (!map.above && map.count === 0) {
      this.#reader.warning(
        [...this.#path, 'connections', 'count'],
        'there is always one, the new flow: the rule never matches',
        'give 1 or more',
      );
    }
    return { count: map.count, grouping: { by: map.per, prefixLength: map.prefix }, above: map.above };
  }

  #schedule(): Schedule | null {
    const time = this.#rule.time;
    if (time === undefined) return null;
    const read = (
      key: 'from' | 'to' | 'zone' | 'not-before' | 'not-after',
      example: string,
      parse: typeof timeOfDay | typeof moment,
      otherwise: number,
    ) => {
      const text = time[key];
      const at = [...this.#path, 'time', key];
      if (text === undefined) return otherwise;
      return (
        this.#reader.attempt(at, () => parse(this.#reader.text(at, key, text, example), text)) ?? otherwise
      );
    };
    const at = (key: string) => [...this.#path, 'time', key];
    const from = read('from', '"09:00"', timeOfDay, 0);
    const to = read('to', '"17:00"', timeOfDay, from === 0 ? 0 : 86_400);
    if (from === to && from > 0) this.#reader.error(at('to'), 'it ends when it begins', 'give another time');
    const notBefore = read('not-before', '2026-12-24T00:00Z', moment, Number.NEGATIVE_INFINITY);
    const notAfter = read('not-after', '2026-12-24T00:00Z', moment, Number.POSITIVE_INFINITY);
    if (notBefore >= notAfter)
      this.#reader.error(at('not-after'), 'it ends before it begins', 'give a later moment');
    this.#reader.attempt(at('zone'), () =>
      timeZone(this.#reader.text(at('zone'), 'zone', time.zone, 'Europe/Berlin'), time.zone),
    );
    const days = elements(at('days'), time.days ?? []).map(({ value }) => DAYS.indexOf(value));
    if (time.days !== undefined && days.length === 0) {
      this.#reader.warning(
        at('days'),
        'no day is named: the rule never matches',
        'name some, or leave `days` out',
      );
    }
    return { days: [...new Set(days)].sort(), from, to, notBefore, notAfter, zone: time.zone };
  }
}

function onlyTcp(protocols: Criterion<number> | null): boolean {
  return protocols !== null && !protocols.not && protocols.values.every((number) => number === 6);
}
