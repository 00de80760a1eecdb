/**
 * Random rule sets and packets: the compiled program decides as an interpreter that reads the configuration word for word,
 * and both have the same counters. NATGATE_SEED gives another seed.
 */
import { expect, it } from 'vitest';
import { Random } from '../../../src/core/random.ts';
import type {
  Criterion,
  FirewallConfig,
  FirewallMatch,
  FirewallRule,
} from '../../../src/policy/firewall-config.ts';
import {
  ask,
  config,
  counted,
  DEVICES,
  firewall,
  host,
  ICMP,
  type Packet,
  range,
  rule,
  TCP,
  UDP,
} from './rules.ts';

const SEED = Number(process.env['NATGATE_SEED'] ?? 20261128);
const SETS = 400;
const PACKETS = 60;
const ADDRESSES = [
  '10.0.0.1',
  '10.0.0.2',
  '10.0.1.7',
  '172.16.0.9',
  '198.51.100.7',
  '203.0.113.255',
  '0.0.0.0',
];
const RANGES = [
  '10.0.0.0/24',
  '10.0.0.0/8',
  '10.0.0.2',
  '0.0.0.0/0',
  '128.0.0.0/1',
  '198.51.100.0-203.0.113.255',
];
const PORTS = [0, 1, 22, 53, 80, 443, 8080, 65535];
const PROTOCOLS = [TCP, UDP, ICMP, 132, 47, 50, 0, 255];
const STATES = ['new', 'related', 'dnat', 'snat'] as const;
const DIRECTIONS = ['outbound', 'inbound', 'between'] as const;
const WAYS = ['tcp-reset', 'port-unreachable', 'admin-prohibited'] as const;

class Maker {
  private readonly random: Random;
  constructor(seed: number) {
    this.random = new Random(seed);
  }

  below(n: number): number {
    return (this.random.next() >>> 0) % n;
  }

  one<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  some<T>(make: () => T): T[] {
    return Array.from({ length: this.below(4) }, make);
  }

  criterion<T>(make: () => T): Criterion<T> {
    return { values: this.some(make), not: this.below(3) === 0 };
  }

  maybe<T>(make: () => T): T | null {
    return this.below(4) === 0 ? make() : null;
  }

  ports() {
    const [a, b] = [this.one(PORTS), this.one(PORTS)];
    return { first: Math.min(a, b), last: this.below(2) === 0 ? Math.min(a, b) : Math.max(a, b) };
  }

  match(): FirewallMatch {
    const addresses = () => range(this.one(RANGES));
    const few = <T>(make: () => T): T[] =>
      this.below(3) === 0 ? [make(), ...this.some(make)].slice(0, 2) : [];
    return {
      directions: this.maybe(() => this.some(() => this.one(DIRECTIONS))),
      inInterfaces: this.maybe(() => this.criterion(() => this.one([...DEVICES, 'other']))),
      outInterfaces: this.maybe(() => this.criterion(() => this.one([...DEVICES, 'other']))),
      sources: few(() => this.criterion(addresses)),
      destinations: few(() => this.criterion(addresses)),
      protocols: this.maybe(() => this.criterion(() => this.one(PROTOCOLS))),
      sourcePorts: this.below(6) === 0 ? few(() => this.criterion(() => this.ports())) : [],
      destinationPorts: few(() => this.criterion(() => this.ports())),
      icmp:
        this.below(8) === 0
          ? this.criterion(() => ({ type: this.one([8, 13, 0]), code: this.one([-1, 0, 1]) }))
          : null,
      states: this.maybe(() => this.criterion(() => this.one(STATES))),
      tcpFlags:
        this.below(8) === 0 ? { mask: 0x17, value: this.one([2, 0x12, 0]), not: this.below(2) === 0 } : null,
      limit: null,
      connections: null,
      schedule: null,
    };
  }

  /** `later`: chains that this rule may lead to. */
  rule(later: readonly string[]): FirewallRule {
    const kinds = ['accept', 'drop', 'count', 'count', 'return', 'reject'] as const;
    const leads = later.length > 0 && this.below(3) === 0;
    if (leads) return rule({ kind: this.one(['jump', 'goto']), chain: this.one(later) }, this.match());
    const kind = this.one(kinds);
    return rule(kind === 'reject' ? { kind, with: this.one(WAYS) } : { kind }, this.match());
  }

  config(): FirewallConfig {
    const names = ['a', 'b', 'c', 'd'].slice(0, this.below(5));
    const chains = Object.fromEntries(
      names.map((name, i) => [
        name,
        Array.from({ length: this.below(5) }, () => this.rule(names.slice(i + 1))),
      ]),
    );
    const policy = () => this.one([{ kind: 'accept' as const }, { kind: 'drop' as const }]);
    return config(
      Array.from({ length: this.below(this.below(4) === 0 ? 120 : 12) }, () => this.rule(names)),
      { chains, policies: { outbound: policy(), inbound: policy(), between: policy() } },
    );
  }

  /** A long chain of rules that match little, in which the index decides what is looked at. */
  long(): FirewallConfig {
    const pick = (): FirewallMatch => ({
      ...this.match(),
      directions: this.below(2) === 0 ? null : [this.one(DIRECTIONS)],
      sources: [this.criterion(() => ({ ...range(this.one(ADDRESSES)) }))],
      destinations: this.below(2) === 0 ? [] : [this.criterion(() => range(this.one(RANGES)))],
      destinationPorts: this.below(2) === 0 ? [] : [this.criterion(() => this.ports())],
    });
    const list = (length: number) =>
      Array.from({ length }, () => {
        const kind = this.one([
          'count',
          'count',
          'count',
          'count',
          'count',
          'count',
          'count',
          'drop',
          'accept',
          'return',
        ] as const);
        return rule(this.below(20) === 0 ? { kind: 'jump', chain: 'far' } : { kind }, pick());
      });
    const far = list(24 + this.below(40)).filter(({ action }) => action.kind !== 'jump');
    return config(list(24 + this.below(200)), { chains: { far } });
  }

  packet(): Packet {
    return {
      direction: this.one(DIRECTIONS),
      in: this.one(DEVICES),
      out: this.one(DEVICES),
      source: this.one(ADDRESSES),
      destination: this.one(ADDRESSES),
      protocol: this.one(PROTOCOLS),
      sourcePort: this.one(PORTS),
      port: this.one(PORTS),
      icmp: [this.one([8, 13, 15]), this.one([0, 1])],
      flags: this.one([2, 0x12, 0x10, 4]),
      states: STATES.filter(() => this.below(2) === 0),
      length: 20 + this.below(1480),
    };
  }
}

function meets<T>(criterion: Criterion<T> | null, has: (value: T) => boolean): boolean {
  return criterion === null || criterion.values.some(has) !== criterion.not;
}

/** The configuration's own words. */
function holds(match: FirewallMatch, p: Packet): boolean {
  const hasPorts = [TCP, UDP, 132].includes(p.protocol);
  const within = (value: number) => (r: { first: number; last: number }) =>
    value >= r.first && value <= r.last;
  const asksPorts = match.sourcePorts.length + match.destinationPorts.length > 0;
  return (
    (match.directions === null || match.directions.includes(p.direction)) &&
    meets(match.inInterfaces, (name) => name === p.in) &&
    meets(match.outInterfaces, (name) => name === p.out) &&
    match.sources.every((criterion) => meets(criterion, within(host(p.source)))) &&
    match.destinations.every((criterion) => meets(criterion, within(host(p.destination)))) &&
    meets(match.protocols, (protocol) => protocol === p.protocol) &&
    (!asksPorts || hasPorts) &&
    match.sourcePorts.every((criterion) => meets(criterion, within(p.sourcePort))) &&
    match.destinationPorts.every((criterion) => meets(criterion, within(p.port))) &&
    (match.icmp === null ||
      (p.protocol === ICMP &&
        meets(match.icmp, ({ type, code }) => type === p.icmp[0] && (code < 0 || code === p.icmp[1])))) &&
    meets(match.states, (state) => p.states.includes(state)) &&
    (match.tcpFlags === null ||
      (p.protocol === TCP &&
        ((p.flags & match.tcpFlags.mask) === match.tcpFlags.value) !== match.tcpFlags.not))
  );
}

/** A verdict, or undefined at the end of the chain. */
function walk(
  list: readonly FirewallRule[],
  firewallConfig: FirewallConfig,
  p: Packet,
  seen: Map<string, number>,
): string | undefined {
  for (const { match, action, name } of list) {
    if (!holds(match, p)) continue;
    seen.set(name, (seen.get(name) ?? 0) + 1);
    if (action.kind === 'accept' || action.kind === 'drop') return action.kind;
    if (action.kind === 'reject') return action.with;
    if (action.kind === 'return') return undefined;
    if (action.kind === 'goto') return walk(firewallConfig.chains[action.chain]!, firewallConfig, p, seen);
    if (action.kind === 'jump') {
      const verdict = walk(firewallConfig.chains[action.chain]!, firewallConfig, p, seen);
      if (verdict !== undefined) return verdict;
    }
  }
  return undefined;
}

/** Compiles what `write` says, and holds it against the interpreter; how often there was which verdict. */
function compare(sets: number, write: (maker: Maker) => FirewallConfig): Map<string, number> {
  const maker = new Maker(SEED);
  const verdicts = new Map<string, number>();
  for (let set = 0; set < sets; set++) {
    const written = write(maker);
    const asked = firewall(written.rules, written);
    const seen = new Map<string, number>();
    for (let i = 0; i < PACKETS; i++) {
      const packet = maker.packet();
      const expected = walk(written.rules, written, packet, seen) ?? written.policies[packet.direction].kind;
      const found = ask(asked, packet);
      if (found !== expected) {
        expect.fail(
          `seed ${SEED}, set ${set}: ${found}, not ${expected}\n${JSON.stringify({ packet, written }, null, 1)}`,
        );
      }
      verdicts.set(found, (verdicts.get(found) ?? 0) + 1);
    }
    for (const name of asked.names.filter((known) => !known.startsWith('default/'))) {
      expect(counted(asked, name).flows, `seed ${SEED}, set ${set}, ${name}`).toBe(
        seen.get(name.split('/').at(-1)!) ?? 0,
      );
    }
  }
  return verdicts;
}

it(`compiled rules decide as they are written, seed ${SEED}`, () => {
  const verdicts = compare(SETS, (maker) => maker.config());
  // It was not always the same.
  for (const verdict of ['accept', 'drop', ...WAYS]) {
    expect(verdicts.get(verdict) ?? 0, verdict).toBeGreaterThan(SETS / 4);
  }
});

it(`and so do long chains of them, seed ${SEED}`, () => {
  const verdicts = compare(SETS / 4, (maker) => maker.long());
  for (const verdict of ['accept', 'drop'])
    expect(verdicts.get(verdict) ?? 0, verdict).toBeGreaterThan(SETS / 4);
});
