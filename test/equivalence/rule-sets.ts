/**
 * Rule sets as iptables-restore reads them, from a seed: nat and filter with user chains, jumps, gotos, returns, negations. `p0` is the
 * private side, 10.77.0.0/16, `w0` the public one, 198.18.0.1/24.
 *
 * Chains lead to later chains only. What makes verdicts depend on more than the packet is certain while a set is tried (chances.ts).
 */
import type { Dice } from '../differential/dice.ts';
import { Chances } from './chances.ts';

export const HOSTS = ['10.77.0.5', '10.77.0.6', '10.77.0.9', '10.77.0.12', '10.77.1.20'] as const;
export const SERVERS = ['8.8.8.8', '8.8.4.4', '1.1.1.1', '93.184.216.34'] as const;
export const PORTS = [22, 25, 53, 80, 443, 1500, 8080] as const;
/** Of the gateway, and natgate's alone. */
export const EXTERNAL = ['198.18.0.1', '198.18.0.9', '198.18.0.20'] as const;

const PRIVATE_SOURCES = [
  '10.77.0.0/16',
  '10.77.0.0/24',
  '10.77.0.4/30',
  '10.77.0.8/29',
  ...HOSTS.map((host) => `${host}/32`),
];
const REMOTE = ['8.8.0.0/16', '8.8.8.8/32', '1.0.0.0/8', '93.184.216.34/32', '8.0.0.0/7'];
const REJECTS = [
  'icmp-net-unreachable',
  'icmp-host-unreachable',
  'icmp-port-unreachable',
  'icmp-proto-unreachable',
  'icmp-net-prohibited',
  'icmp-host-prohibited',
  'icmp-admin-prohibited',
];
const ICMP_TYPES = ['8', 'echo-request', '13', 'any', '8/0'];
const FLAGS = [
  '--syn',
  '! --syn',
  '--tcp-flags SYN,ACK SYN',
  '--tcp-flags ALL ACK',
  '! --tcp-flags FIN,SYN,RST,ACK SYN',
];

export interface RuleSet {
  number: number;
  text: string;
  /** Some time must be between first packets. */
  isPaced: boolean;
}

/** `now`: ms since 1970, for schedules. */
export function ruleSet(dice: Dice, number: number, now: number): RuleSet {
  const chances = new Chances(dice, number, now);
  const text = [...nat(dice), ...filter(dice, chances)].join('\n').concat('\n');
  return { number, text, isPaced: chances.isPaced };
}

const not = (dice: Dice, percent = 20) => (dice.chance(percent) ? '! ' : '');

function nat(dice: Dice): string[] {
  const pre: string[] = [];
  const post: string[] = [];
  const used = new Set<string>();
  for (let i = dice.int(0, 4); i > 0; i--) {
    const protocol = dice.pick(['tcp', 'udp']);
    const port = dice.pick(PORTS);
    if (used.has(`${protocol}${port}`)) continue;
    used.add(`${protocol}${port}`);
    const where = dice.pick([
      '-i w0',
      '-i w0 -d 198.18.0.1/32',
      '-d 198.18.0.20/32',
      '-i w0 -m addrtype --dst-type LOCAL',
    ]);
    const from = dice.chance(20) ? ` ${not(dice)}-s ${dice.pick(REMOTE)}` : '';
    const ports = dice.chance(25)
      ? `-m multiport --dports ${port},${10_000 + port}`
      : `-m ${protocol} --dport ${port}`;
    const to = dice.pick(['', '', `:${dice.pick([80, 8000, 443])}`]);
    const dnat = (source: string) =>
      pre.push(
        `-A PREROUTING ${where}${source} -p ${protocol} ${ports} -j DNAT --to-destination ${dice.pick(HOSTS)}${to}`,
      );
    // Who comes from there is led elsewhere than the others; the first rule decides.
    for (let n = dice.chance(30) ? dice.int(1, 2) : 0; n > 0; n--) dnat(` -s ${dice.pick(REMOTE)}`);
    dnat(from);
  }
  if (dice.chance(30)) {
    pre.push('-A PREROUTING -d 198.18.0.9/32 -j DNAT --to-destination 10.77.0.9');
    post.push('-A POSTROUTING -s 10.77.0.9/32 -o w0 -j SNAT --to-source 198.18.0.9');
  }
  if (dice.chance(30))
    post.push(`-A POSTROUTING -s ${dice.pick(PRIVATE_SOURCES)} -d ${dice.pick(REMOTE)} -j ACCEPT`);
  if (dice.chance(25))
    post.push(
      `-A POSTROUTING -o w0 -p ${dice.pick(['tcp -m tcp --dport 25', 'udp -m udp ! --dport 53', 'icmp'])} -j SNAT --to-source 198.18.0.20`,
    );
  const chains: string[] = [];
  if (dice.chance(20)) {
    chains.push(':out - [0:0]');
    post.push('-A POSTROUTING -o w0 -j out');
    post.push(
      `-A out -d ${dice.pick(REMOTE)} -j RETURN`,
      `-A out ${not(dice)}-s ${dice.pick(PRIVATE_SOURCES)} -j SNAT --to-source 198.18.0.20`,
    );
  }
  post.push(
    dice.pick([
      '-A POSTROUTING -o w0 -j MASQUERADE',
      '-A POSTROUTING -o w0 -j MASQUERADE',
      '-A POSTROUTING -s 10.77.0.0/16 -o w0 -j MASQUERADE',
      `-A POSTROUTING ${not(dice)}-s ${dice.pick(PRIVATE_SOURCES)} -o w0 -j MASQUERADE`,
      '-A POSTROUTING -s 10.77.0.0/16 ! -d 10.0.0.0/8 -o w0 -j MASQUERADE',
      '-A POSTROUTING ! -o p0 -j MASQUERADE',
    ]),
  );
  return [
    '*nat',
    ':PREROUTING ACCEPT [0:0]',
    ':POSTROUTING ACCEPT [0:0]',
    ...chains,
    ...pre,
    ...post,
    'COMMIT',
  ];
}

function filter(dice: Dice, chances: Chances): string[] {
  const count = dice.int(0, 4);
  const chains = Array.from({ length: count }, (_, i) => `c${i + 1}`);
  const rules: string[] = [];
  const isStateless = dice.chance(8);
  for (let i = dice.chance(25) ? dice.int(1, 2) : 0; i > 0; i--) {
    const which = dice.pick(REMOTE);
    rules.push(`-A FORWARD -s ${which} -j DROP`);
    if (dice.chance(70)) rules.push(`-A FORWARD -d ${which} -j DROP`);
  }
  if (!isStateless) {
    rules.push(
      `-A FORWARD ${dice.pick(['-m conntrack --ctstate RELATED,ESTABLISHED', '-m state --state ESTABLISHED,RELATED', '-m conntrack ! --ctstate NEW,INVALID,UNTRACKED'])} -j ACCEPT`,
    );
    if (dice.chance(40)) rules.push('-A FORWARD -m conntrack --ctstate INVALID -j DROP');
  }
  const fill = (chain: string, later: readonly string[], most: number) => {
    for (let i = dice.int(1, most); i > 0; i--)
      rules.push(`-A ${chain} ${rule(dice, chances, chain, later)}`);
  };
  fill('FORWARD', chains, 8);
  chains.forEach((chain, i) => {
    fill(chain, chains.slice(i + 1), 6);
  });
  if (dice.chance(50)) rules.push('-A FORWARD -i p0 -o w0 -j ACCEPT');
  if (dice.chance(40)) rules.push('-A FORWARD -i w0 -m conntrack --ctstate DNAT -j ACCEPT');
  const policy = dice.pick(['ACCEPT', 'DROP']);
  return [
    '*filter',
    ':INPUT DROP [0:0]',
    `:FORWARD ${policy} [0:0]`,
    ':OUTPUT ACCEPT [0:0]',
    ...chains.map((chain) => `:${chain} - [0:0]`),
    ...rules,
    'COMMIT',
  ];
}

function rule(dice: Dice, chances: Chances, chain: string, later: readonly string[]): string {
  const parts = matches(dice);
  const chance = chances.match();
  const isTcp = parts.includes('-p tcp');
  // Matches are asked in their order: a limit before others counts what they would not let through.
  if (chance !== null && dice.chance(75)) parts.push(chance);
  else if (chance !== null) parts.unshift(chance);
  return [...parts, target(dice, chain, later, isTcp)].join(' ');
}

function matches(dice: Dice): string[] {
  const parts: string[] = [];
  const add = (percent: number, make: () => string) => {
    if (dice.chance(percent)) parts.push(make());
  };
  add(25, () => `${not(dice)}-i ${dice.pick(['p0', 'w0', 'p+', 'x9'])}`);
  add(15, () => `${not(dice)}-o ${dice.pick(['p0', 'w0', 'w+'])}`);
  add(35, () => `${not(dice)}-s ${dice.pick([...PRIVATE_SOURCES, ...REMOTE])}`);
  add(30, () => `${not(dice)}-d ${dice.pick([...REMOTE, ...PRIVATE_SOURCES])}`);
  if (!parts.some((part) => part.includes('-s')))
    add(
      10,
      () => `-m iprange ${not(dice)}--src-range ${dice.pick(['10.77.0.5-10.77.0.10', '8.8.4.4-8.8.8.8'])}`,
    );
  if (dice.chance(55)) {
    const protocol = dice.pick(['tcp', 'tcp', 'udp', 'icmp']);
    if (protocol === 'icmp')
      parts.push(
        dice.pick([
          `-p icmp -m icmp ${not(dice)}--icmp-type ${dice.pick(ICMP_TYPES.filter((type) => type !== 'any'))}`,
          '-p icmp',
          '! -p icmp',
        ]),
      );
    else {
      parts.push(`-p ${protocol}`);
      add(
        40,
        () => `-m ${protocol} ${not(dice)}--dport ${dice.pick(['80', '443', '1000:2000', '53', ':1024'])}`,
      );
      add(10, () => `-m ${protocol} ${not(dice)}--sport ${dice.pick(['20000:30000', '80'])}`);
      add(
        20,
        () =>
          `-m multiport ${not(dice)}--${dice.pick(['dports', 'sports', 'ports'])} ${dice.pick(['22,80,443', '1000:2000,8080', '53'])}`,
      );
      if (protocol === 'tcp') add(15, () => `-m tcp ${dice.pick(FLAGS)}`);
    }
  }
  add(20, () =>
    dice.pick([
      '-m conntrack --ctstate NEW',
      '-m state --state NEW',
      '-m conntrack --ctstate DNAT',
      '-m conntrack ! --ctstate DNAT',
      '-m conntrack --ctstate NEW,DNAT',
      '-m conntrack ! --ctstate NEW',
      '-m conntrack --ctstate SNAT',
    ]),
  );
  add(6, () => `-m addrtype ${not(dice)}--dst-type LOCAL`);
  add(10, () => `-m comment --comment "rule ${dice.int(1, 99)} of \\"it\\""`);
  return parts;
}

function target(dice: Dice, chain: string, later: readonly string[], isTcp: boolean): string {
  const targets = [
    '-j ACCEPT',
    '-j ACCEPT',
    '-j DROP',
    `-j REJECT --reject-with ${dice.pick(REJECTS)}`,
    isTcp && dice.chance(60) ? '-j REJECT --reject-with tcp-reset' : '-j REJECT',
  ];
  if (later.length > 0)
    targets.push(`-j ${dice.pick(later)}`, `-j ${dice.pick(later)}`, `-g ${dice.pick(later)}`);
  if (chain !== 'FORWARD' || dice.chance(20)) targets.push('-j RETURN');
  return dice.pick(targets);
}
