/**
 * A configuration of natgate's as rules of netfilter: the way back. What natgate does by itself is written out: answers and ICMP errors of
 * connections, nothing from outside that no forward let in. What has no equivalent is a comment.
 */
import type { NatRule, Prefix } from '../../nat/config.ts';
import { dedicatedPrefixes } from '../../nat/dedicated.ts';
import type { FirewallConfig, FirewallRule } from '../../policy/firewall-config.ts';
import { formatAddress, formatPrefix, hostOrder } from '../../wire/address.ts';
import type { RunOptions } from '../options.ts';
import { setName } from './criteria.ts';
import { addressWords, type Interfaces, matchesOf, pairsOf, protocolWords } from './export-matches.ts';
import { type Exported, type ExportRule, iptablesText, nftText, type Words } from './export-text.ts';
import type { Range } from './ranges.ts';

const BUILTIN = ['INPUT', 'FORWARD', 'OUTPUT'];
const ICMP_ANSWERS: Readonly<Record<string, string>> = {
  'protocol-unreachable': 'icmp-proto-unreachable',
  'tcp-reset': 'tcp-reset',
};
const NFT_ANSWERS: Readonly<Record<string, string>> = { 'protocol-unreachable': 'prot-unreachable' };

/** Pure. `address`: of the public interface, where it is known. `notCarried` says what would differ. */
export function exportRules(
  options: RunOptions,
  language: 'iptables' | 'nftables',
  { head, address }: { head: readonly string[]; address: string | null },
): { text: string; notCarried: string[] } {
  const exported = new Writer(options, language === 'nftables', address).write();
  const text = language === 'iptables' ? iptablesText(exported, head) : nftText(exported, head);
  return { text, notCarried: exported.notCarried };
}

class Writer {
  readonly #options: RunOptions;
  readonly #isNft: boolean;
  readonly #interfaces: Interfaces;
  readonly #out: Exported = { lines: [], chains: [], forwardPolicy: 'DROP', notCarried: [] };
  /** Of the public interface; null: whatever it is. */
  readonly #address: string | null;
  #numbers = 0;

  constructor(options: RunOptions, isNft: boolean, address: string | null) {
    this.#options = options;
    this.#address = address;
    this.#isNft = isNft;
    this.#interfaces = { private: options.private.map(({ name }) => name), public: options.public };
  }

  write(): Exported {
    this.#helpers();
    if (this.#options.clampMss) {
      this.#add(
        'mangle',
        'FORWARD',
        [{ iptables: '-p tcp -m tcp --tcp-flags SYN,RST SYN', nft: 'tcp flags & (syn|rst) == syn' }],
        { iptables: '-j TCPMSS --clamp-mss-to-pmtu', nft: 'tcp option maxseg size set rt mtu' },
      );
    }
    this.#forwards();
    this.#sources();
    this.#firewall(this.#options.firewall);
    return this.#out;
  }

  #add(
    table: ExportRule['table'],
    chain: string,
    matches: readonly Words[],
    target: Words,
    name: string | null = null,
  ): void {
    this.#out.lines.push({ table, chain, matches, target, name });
  }

  #lost(table: ExportRule['table'], chain: string, what: string): undefined {
    this.#out.lines.push({ table, chain, remark: `NOT CARRIED ${what}` });
    this.#out.notCarried.push(what);
  }

  #helpers(): void {
    for (const { name, protocol, port } of this.#options.helpers) {
      if (this.#isNft) this.#lost('raw', 'PREROUTING', `helper ${name}: define a ct helper object`);
      else
        this.#add(
          'raw',
          'PREROUTING',
          [protocolWords(protocol, false), { iptables: `--dport ${port}`, nft: '' }],
          { iptables: `-j CT --helper ${name}`, nft: '' },
        );
    }
  }

  #forwards(): void {
    const { nat, public: outside } = this.#options;
    const incoming: Words = { iptables: `-i ${outside}`, nft: `iifname "${outside}"` };
    if (
      this.#address === null &&
      dedicatedPrefixes(nat).length > 0 &&
      nat.forwards.some((forward) => forward.address === 0)
    ) {
      this.#lost(
        'nat',
        'PREROUTING',
        'forwards of the public interface’s own address: they would be of the other ones as well; --address says which it is',
      );
    }
    for (const forward of nat.forwards) {
      const { first, last } = forward.ports;
      const address =
        forward.address === 0 ? [incoming, this.#ownAddress()] : [hostWords(formatAddress(forward.address))];
      const protocol = forward.protocol === 6 ? 'tcp' : 'udp';
      const ports: Words = {
        iptables: `--dport ${first === last ? first : `${first}:${last}`}`,
        nft: `${protocol} dport ${first === last ? first : `${first}-${last}`}`,
      };
      const to = targetText(forward, this.#isNft);
      if (to === null) {
        this.#lost(
          'nat',
          'PREROUTING',
          `forward ${forward.name}: hosts that take turns, or a range that is shifted`,
        );
        continue;
      }
      if (forward.affinitySeconds > 0)
        this.#lost('nat', 'PREROUTING', `affinity of the forward ${forward.name}`);
      for (const source of forward.sources.length === 0 ? [null] : forward.sources) {
        const from = source === null ? [] : [prefixWords(source, 's')];
        this.#add('nat', 'PREROUTING', [...address, ...from, protocolWords(forward.protocol, false), ports], {
          iptables: `-j DNAT --to-destination ${to}`,
          nft: `dnat to ${to}`,
        });
      }
      if (!forward.twice) continue;
      for (const inside of this.#interfaces.private) {
        for (const target of forward.targets) {
          const end = target.port + last - first;
          const where: Words = {
            iptables: `-o ${inside} -d ${formatAddress(target.address)} -p ${protocol} --dport ${target.port === end ? end : `${target.port}:${end}`}`,
            nft: `oifname "${inside}" ip daddr ${formatAddress(target.address)} ${protocol} dport ${target.port}-${end}`,
          };
          this.#add('nat', 'POSTROUTING', [where], { iptables: '-j MASQUERADE', nft: 'masquerade' });
        }
      }
    }
    for (const { external, internal } of nat.prefixes) {
      const isOne = external.length === 32;
      const [a, b] = [formatPrefix(external), formatPrefix(internal)];
      this.#add(
        'nat',
        'PREROUTING',
        [prefixWords(external, 'd')],
        isOne
          ? {
              iptables: `-j DNAT --to-destination ${formatAddress(internal.address)}`,
              nft: `dnat to ${formatAddress(internal.address)}`,
            }
          : { iptables: `-j NETMAP --to ${b}`, nft: `dnat ip prefix to ip daddr map { ${a} : ${b} }` },
      );
    }
  }

  /** A forward of the interface's own address: by type, where that is not known, which are the dedicated ones as well. */
  #ownAddress(): Words {
    return this.#address === null
      ? { iptables: '-m addrtype --dst-type LOCAL', nft: 'fib daddr type local' }
      : hostWords(this.#address);
  }

  #sources(): void {
    const { nat } = this.#options;
    let isPaired = false;
    for (const rule of nat.rules) {
      if (rule.action !== 'none' && !isPaired) {
        isPaired = true;
        this.#pairSources();
      } else if (rule.action === 'none' && isPaired && nat.prefixes.length > 0) {
        this.#lost(
          'nat',
          'POSTROUTING',
          `nat-rule ${rule.name}: translates nothing, not of one-to-one hosts either`,
        );
      }
      const target = this.#sourceTarget(rule);
      if (target === null) {
        this.#lost('nat', 'POSTROUTING', `nat-rule ${rule.name}: addresses that are no range`);
        continue;
      }
      for (const matches of natMatches(rule, this.#interfaces.public))
        this.#add('nat', 'POSTROUTING', matches, target);
    }
  }

  #pairSources(): void {
    const { nat, public: outside } = this.#options;
    for (const { external, internal } of nat.prefixes) {
      const out: Words = { iptables: `-o ${outside}`, nft: `oifname "${outside}"` };
      const isOne = external.length === 32;
      const [a, b] = [formatPrefix(external), formatPrefix(internal)];
      this.#add(
        'nat',
        'POSTROUTING',
        [prefixWords(internal, 's'), out],
        isOne
          ? {
              iptables: `-j SNAT --to-source ${formatAddress(external.address)}`,
              nft: `snat to ${formatAddress(external.address)}`,
            }
          : { iptables: `-j NETMAP --to ${a}`, nft: `snat ip prefix to ip saddr map { ${b} : ${a} }` },
      );
    }
  }

  #sourceTarget({ action, addresses, behaviour }: NatRule): Words | null {
    if (action === 'none') return { iptables: '-j ACCEPT', nft: 'accept' };
    const random = behaviour.ports === 'random';
    const more = random ? ' --random-fully' : '';
    if (action === 'masquerade')
      return { iptables: `-j MASQUERADE${more}`, nft: `masquerade${random ? ' fully-random' : ''}` };
    const span = spanOf(addresses);
    if (span === null) return null;
    const persistent = behaviour.pairedPooling && addresses.length > 1;
    return {
      iptables: `-j SNAT --to-source ${span}${more}${persistent ? ' --persistent' : ''}`,
      nft: `snat to ${span}${persistent ? ' persistent' : ''}${random ? ' fully-random' : ''}`,
    };
  }

  #firewall({ rules, chains, policies, antiSpoofing }: FirewallConfig): void {
    const forward = (matches: Words[], target: Words) => this.#add('filter', 'FORWARD', matches, target);
    const accept: Words = { iptables: '-j ACCEPT', nft: 'accept' };
    const drop: Words = { iptables: '-j DROP', nft: 'drop' };
    if (antiSpoofing)
      this.#out.lines.push({
        table: 'filter',
        chain: 'FORWARD',
        remark: 'anti-spoofing: net.ipv4.conf.*.rp_filter=1 does most of it',
      });
    forward([{ iptables: '-m conntrack --ctstate ESTABLISHED', nft: 'ct state established' }], accept);
    forward(
      [{ iptables: '-p icmp -m conntrack --ctstate RELATED', nft: 'meta l4proto icmp ct state related' }],
      accept,
    );
    forward([{ iptables: '-m conntrack --ctstate INVALID', nft: 'ct state invalid' }], drop);
    const outside = this.#interfaces.public;
    forward(
      [
        {
          iptables: `-i ${outside} -m conntrack ! --ctstate DNAT,RELATED`,
          nft: `iifname "${outside}" ct status & dnat == 0 ct state != related`,
        },
      ],
      drop,
    );
    const names = new Map(Object.keys(chains).map((name) => [name, chainName(name)]));
    this.#out.chains.push(...names.values());
    for (const [name, list] of Object.entries(chains))
      for (const rule of list) this.#rule(names.get(name)!, rule, names);
    for (const rule of rules) this.#rule('FORWARD', rule, names);
    for (const direction of ['outbound', 'inbound', 'between'] as const) {
      const policy = policies[direction];
      if (policy.kind === 'drop') continue;
      const target = policy.kind === 'accept' ? accept : rejectWords(policy.with);
      for (const matches of pairsOf(direction, this.#interfaces)) forward(matches, target);
    }
  }

  #rule(chain: string, rule: FirewallRule, names: ReadonlyMap<string, string>): undefined {
    const number = ++this.#numbers;
    const matches = matchesOf(rule.match, this.#interfaces, `natgate${number}`);
    if (typeof matches === 'string') return this.#lost('filter', chain, `rule ${rule.name}: ${matches}`);
    if (rule.packetLimit !== null)
      this.#lost('filter', chain, `rule ${rule.name}: a limit on packets of connections`);
    const isSometimes = rule.match.limit !== null || rule.match.connections !== null;
    if (isSometimes && matches.length > 1)
      return this.#lost('filter', chain, `rule ${rule.name}: one limit for what are several rules here`);
    const name = /^rule \d+$/.test(rule.name) ? null : rule.name;
    for (const one of matches) {
      const log: Words = {
        iptables: `-j LOG${rule.log ? ` --log-prefix ${JSON.stringify(rule.log.slice(0, 29))}` : ''}`,
        nft: `log${rule.log ? ` prefix ${JSON.stringify(rule.log)}` : ''}`,
      };
      if (rule.action.kind === 'log') this.#add('filter', chain, one, log, name);
      else {
        if (rule.log !== null) this.#add('filter', chain, one, log);
        this.#add('filter', chain, one, actionWords(rule.action, names), name);
      }
    }
  }
}

function actionWords(action: FirewallRule['action'], names: ReadonlyMap<string, string>): Words {
  switch (action.kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return { iptables: `-j ${action.kind.toUpperCase()}`, nft: action.kind };
    case 'reject':
      return rejectWords(action.with);
    case 'jump':
    case 'goto': {
      const chain = names.get(action.chain) ?? action.chain;
      return { iptables: `-${action.kind[0]} ${chain}`, nft: `${action.kind} ${chain}` };
    }
    default:
      return { iptables: '', nft: 'counter' };
  }
}

function rejectWords(answer: string): Words {
  if (answer === 'tcp-reset')
    return { iptables: '-j REJECT --reject-with tcp-reset', nft: 'reject with tcp reset' };
  return {
    iptables: `-j REJECT --reject-with ${ICMP_ANSWERS[answer] ?? `icmp-${answer}`}`,
    nft: `reject with icmp ${NFT_ANSWERS[answer] ?? answer}`,
  };
}

function hostWords(address: string): Words {
  return { iptables: `-d ${address}`, nft: `ip daddr ${address}` };
}

function chainName(name: string): string {
  const plain = setName(name).slice(0, 28);
  return BUILTIN.includes(plain) ? `x${plain}` : plain;
}

/** A rule for each combination. */
function natMatches({ match }: NatRule, outside: string): Words[][] {
  let all: Words[][] = [[{ iptables: `-o ${outside}`, nft: `oifname "${outside}"` }]];
  const and = (alternatives: Words[]) => {
    if (alternatives.length > 0) all = all.flatMap((one) => alternatives.map((word) => [...one, word]));
  };
  and(match.sources.map((prefix) => prefixWords(prefix, 's')));
  and(match.destinations.map((prefix) => prefixWords(prefix, 'd')));
  const hasPorts = match.destinationPorts.length > 0;
  const protocols =
    hasPorts && match.protocols.length === 0
      ? [6, 17]
      : match.protocols.filter((number) => !hasPorts || number === 6 || number === 17);
  and(protocols.map((number) => protocolWords(number, false)));
  if (!hasPorts) return all;
  const list = match.destinationPorts.map(({ first, last }) =>
    first === last ? `${first}` : `${first}:${last}`,
  );
  return all.map((one) => [
    ...one,
    {
      iptables: `-m multiport --dports ${list.join()}`,
      nft: `th dport { ${list.join(', ').replace(/:/g, '-')} }`,
    },
  ]);
}

function prefixWords(prefix: Prefix, side: 's' | 'd'): Words {
  return addressWords(rangeOf(prefix), false, side, side === 's' ? 'saddr' : 'daddr');
}

function rangeOf({ address, length }: Prefix): Range {
  const first = hostOrder(address) >>> 0;
  return { first, last: first + 2 ** (32 - length) - 1 };
}

/** `A` or `A-B`; null: not one after the other. */
function spanOf(addresses: readonly number[]): string | null {
  const numbers = addresses.map((address) => hostOrder(address) >>> 0);
  if (numbers.some((number, i) => i > 0 && number !== numbers[i - 1]! + 1)) return null;
  const [first, last] = [formatAddress(addresses[0]!), formatAddress(addresses.at(-1)!)];
  return first === last ? first : `${first}-${last}`;
}

function targetText(
  { targets, ports }: RunOptions['nat']['forwards'][number],
  isNft: boolean,
): string | null {
  const span = spanOf(targets.map(({ address }) => address));
  const port = targets[0]!.port;
  if (span === null || targets.some((target) => target.port !== port)) return null;
  if (port === ports.first) return span;
  if (ports.first === ports.last) return `${span}:${port}`;
  return isNft ? null : `${span}:${port}-${port + ports.last - ports.first}/${ports.first}`;
}
