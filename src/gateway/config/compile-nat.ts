/** What the document says about translation, as NatConfig: exemptions, nat-rules, the rule for all else, forwards, pairs. */
import {
  matchAll,
  type NatBehaviour,
  type NatConfig,
  type NatRule,
  type PortRange,
} from '../../nat/config.ts';
import { type Contradiction, contradictions, covers } from '../nat-contradictions.ts';
import {
  BLOCK_POOL_PORTS,
  dependence,
  isBlockSize,
  MIN_BLOCK,
  natWarnings,
  POOL_PORTS,
  Pool,
  parseExemption,
  parseNetmap,
  parseOneToOne,
} from '../nat-options.ts';
import { portRange } from '../nat-syntax.ts';
import { addressPrefixes, type Sets } from './addresses.ts';
import { compileForwards } from './compile-forwards.ts';
import { elements, portList, protocolList } from './lists.ts';
import type { Path } from './problems.ts';
import type { Reader } from './reader.ts';
import type { ConfigDocument } from './schema.ts';

type Rule = ConfigDocument['nat-rules'][number];

const POOL_EXAMPLE = '203.0.113.8-203.0.113.15';
const LIMIT_KEYS = ['ports-per-host', 'flows-per-host'] as const;

/** Where each part of a NatConfig comes from, by its number. */
interface Sources {
  rules: Path[];
  forwards: Path[];
  prefixes: Path[];
}

/** `ports`: of the shared address. */
export function compileNat(
  document: ConfigDocument,
  sets: Sets,
  ports: PortRange,
  reader: Reader,
): NatConfig {
  const behaviour = behaviourOf(document.nat, document.limits);
  checkBlockSize(reader, ['nat', 'block-size'], behaviour.blockSize);
  const pool = poolOf(reader, ['external'], document.external);
  const everything: NatRule = {
    name: pool.length === 0 ? 'masquerade' : 'pool',
    match: matchAll,
    action: pool.length === 0 ? 'masquerade' : 'pool',
    addresses: pool,
    ports: pool.length === 0 ? ports : poolPorts(behaviour),
    behaviour,
    ...onAddressChange(document.nat['on-address-change']),
  };
  const sources: Sources = { rules: [], forwards: [], prefixes: [] };
  const rules: NatRule[] = [];
  for (const { path, value } of elements(['exempt'], document.exempt)) {
    const exemption = exemptionOf(reader, path, value);
    if (exemption === undefined) continue;
    rules.push({ ...everything, ...exemption, action: 'none', addresses: [] });
    sources.rules.push(path);
  }
  for (const { path, value } of elements(['nat-rules'], document['nat-rules'])) {
    const rule = ruleOf(reader, path, value, { document, everything, ports, sets });
    if (rule === undefined) continue;
    rules.push(rule);
    sources.rules.push(path);
  }
  const forwards = compileForwards(document, sets, reader);
  const nat: NatConfig = {
    rules: [...rules, everything],
    forwards: forwards.map(({ forward }) => forward),
    prefixes: [],
  };
  sources.rules.push([]);
  sources.forwards = forwards.map(({ path }) => path);
  const pairs = elements(['one-to-one'], document['one-to-one']).flatMap(({ path, value }) => {
    const pair = pairOf(reader, path, value);
    return pair === undefined ? [] : [{ path, pair }];
  });
  sources.prefixes = pairs.map(({ path }) => path);
  const whole = { ...nat, prefixes: pairs.map(({ pair }) => pair) };
  for (const found of contradictions(whole)) {
    reader.fault(pathOf(found.at, sources, document), found.subject, found.what, found.remedy);
  }
  for (const { rule, text } of natWarnings(whole)) {
    const path = keyPath(sources.rules[rule]!, 'filtering', document);
    reader.fault(path, '', text, '', 'warning');
  }
  warnOfRules(reader, whole, sources);
  return whole;
}

function behaviourOf(
  nat: ConfigDocument['nat'],
  limits: Pick<ConfigDocument['limits'], (typeof LIMIT_KEYS)[number]>,
): NatBehaviour {
  return {
    mapping: dependence('mapping', nat.mapping, 'm'),
    filtering: dependence('filtering', nat.filtering, 'f'),
    hairpin: nat.hairpin,
    ports: nat['port-choice'],
    parity: nat.parity,
    portClass: nat['port-class'],
    pairedPooling: nat.pooling === 'paired',
    overload: nat.overload,
    quarantineSeconds: nat.quarantine,
    portsPerHost: limits['ports-per-host'],
    flowsPerHost: limits['flows-per-host'],
    blockSize: nat['block-size'],
    deterministic: nat.deterministic,
  };
}

function checkBlockSize(reader: Reader, path: Path, size: number): void {
  if (!isBlockSize(size)) {
    reader.error(
      path,
      `${size} is no block`,
      `give 0 for none, or a whole number from ${MIN_BLOCK} to 32768`,
    );
  }
}

function poolPorts({ blockSize }: NatBehaviour): PortRange {
  return blockSize === 0 ? POOL_PORTS : BLOCK_POOL_PORTS;
}

function onAddressChange(value: ConfigDocument['nat']['on-address-change']) {
  return value === 'end' ? {} : { onAddressChange: value };
}

function poolOf(reader: Reader, path: Path, value: string | readonly string[]): number[] {
  const pool = new Pool();
  for (const { path: at, value: text } of elements<string>(path, value)) {
    reader.attempt(at, () => pool.add(reader.text(at, 'external', text, POOL_EXAMPLE), text));
  }
  return pool.addresses;
}

interface Surroundings {
  document: ConfigDocument;
  everything: NatRule;
  ports: PortRange;
  sets: Sets;
}

/** Undefined: it is wrong, or can match nothing (an empty list would match everything). */
function ruleOf(reader: Reader, path: Path, rule: Rule, around: Surroundings): NatRule | undefined {
  const { document, everything, ports, sets } = around;
  const own = Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined));
  const nat = { ...document.nat, ...own } as ConfigDocument['nat'];
  const behaviour = behaviourOf(nat, { ...document.limits, ...own } as ConfigDocument['limits']);
  if (rule['block-size'] !== undefined) checkBlockSize(reader, [...path, 'block-size'], behaviour.blockSize);
  const match = matchOf(reader, path, rule, sets);
  const target = targetOf(reader, path, rule, everything);
  const range = externalPorts(reader, path, rule, target.action === 'pool' ? poolPorts(behaviour) : ports);
  if (match === undefined) return undefined;
  // What all rules are told of a pool means nothing for one address; said of this rule it is a mistake.
  const pairedPooling =
    behaviour.pairedPooling || (rule.pooling === undefined && target.addresses.length < 2);
  return {
    name: rule.name ?? `nat-rule ${Number(path.at(-1)) + 1}`,
    match,
    ...target,
    ports: range,
    behaviour: { ...behaviour, pairedPooling },
    ...onAddressChange(nat['on-address-change']),
  };
}

function matchOf(reader: Reader, path: Path, rule: Rule, sets: Sets): NatRule['match'] | undefined {
  const prefixes = (key: 'from' | 'to') =>
    rule[key] === undefined ? [] : addressPrefixes(reader, [...path, key], rule[key], sets);
  const sources = prefixes('from');
  const destinations = prefixes('to');
  const protocols =
    rule.protocol === undefined ? [] : protocolList(reader, [...path, 'protocol'], rule.protocol);
  const destinationPorts =
    rule.ports === undefined ? [] : portList(reader, [...path, 'ports'], rule.ports, 1);
  if (!sources || !destinations || !protocols || !destinationPorts) return undefined;
  const lists = { from: sources, to: destinations, protocol: protocols, ports: destinationPorts };
  for (const [key, list] of Object.entries(lists)) {
    if (rule[key as keyof typeof lists] === undefined || list.length > 0) continue;
    reader.warning(
      [...path, key],
      'the list is empty: the rule never matches',
      'list something, or leave the rule out',
    );
    return undefined;
  }
  if (
    destinationPorts.length > 0 &&
    protocols.length > 0 &&
    !protocols.some((number) => number === 6 || number === 17)
  ) {
    reader.warning(
      [...path, 'ports'],
      'only TCP and UDP have ports: the rule never matches',
      'leave out the ports, or name another protocol',
    );
  }
  return { sources, destinations, protocols, destinationPorts };
}

function targetOf(
  reader: Reader,
  path: Path,
  { translate }: Rule,
  everything: NatRule,
): Pick<NatRule, 'action' | 'addresses'> {
  if (translate === undefined) return { action: everything.action, addresses: everything.addresses };
  if (translate === 'masquerade' || translate === 'none') return { action: translate, addresses: [] };
  const at = [...path, 'translate'];
  const word = elements<string>(at, translate).find(
    ({ value }) => value === 'masquerade' || value === 'none',
  );
  if (word !== undefined) {
    reader.error(word.path, `${word.value} is no address`, 'give it alone, not in a list, or list addresses');
  } else if (translate.length === 0) {
    reader.error(at, 'no address is given', 'list addresses, or give masquerade or none');
  }
  return { action: 'pool', addresses: poolOf(reader, at, word === undefined ? translate : []) };
}

function externalPorts(reader: Reader, path: Path, rule: Rule, most: PortRange): PortRange {
  const text = rule['external-ports'];
  if (text === undefined) return most;
  const at = [...path, 'external-ports'];
  const range = reader.attempt(at, () =>
    portRange(reader.text(at, 'external-ports', text, '40000-49999'), text),
  );
  if (range === undefined) return most;
  if (rule.translate === 'none') {
    reader.error(at, 'nothing is translated here', 'leave it out');
  } else if (range.first < most.first || range.last > most.last) {
    reader.error(
      at,
      `${text} is not within ${most.first}-${most.last}`,
      'of the public interface’s address natgate has only `ports`',
    );
  }
  return range;
}

function exemptionOf(reader: Reader, path: Path, value: ConfigDocument['exempt'][number]) {
  const text =
    typeof value === 'string'
      ? value
      : [value.to, ...(value.from === undefined ? [] : [value.from])].join(',');
  return reader.attempt(path, () =>
    parseExemption(reader.text(path, 'exempt', text, '10.8.0.0/16,192.168.1.0/24'), text),
  );
}

function pairOf(reader: Reader, path: Path, value: ConfigDocument['one-to-one'][number]) {
  const text = typeof value === 'string' ? value : `${value.external}=${value.internal}`;
  return reader.attempt(path, () => {
    const from = (example: string) => reader.text(path, 'one-to-one', text, example);
    const single = from('203.0.113.9=192.168.1.9');
    // As a flag it is a netmap or not; in the file a prefix makes it one.
    const isNetmap =
      single.option === 'netmap' ||
      (single.option === 'one-to-one' && !reader.isFlag(path) && text.includes('/'));
    return isNetmap
      ? parseNetmap(from('203.0.113.16/28=192.168.1.16/28'), text)
      : parseOneToOne(single, text);
  });
}

function pathOf(at: Contradiction['at'], sources: Sources, document: ConfigDocument): Path {
  if (at.of === 'forward') return sources.forwards[at.number]!;
  if (at.of === 'pair') return sources.prefixes[at.number]!;
  const path = sources.rules[at.number]!;
  return at.key === null ? path : keyPath(path, at.key, document);
}

/** Of a rule's own word about it, of that for all rules where the rule is the one for all else, or of the rule. */
function keyPath(rule: Path, key: string, document: ConfigDocument): Path {
  const general = (LIMIT_KEYS as readonly string[]).includes(key) ? ['limits', key] : ['nat', key];
  if (rule.length === 0) return general;
  const own = document['nat-rules'][Number(rule.at(-1))];
  return own !== undefined && Object.hasOwn(own, key) ? [...rule, key] : rule;
}

/** Rules that an earlier one leaves nothing, and names that several have. */
function warnOfRules(reader: Reader, { rules }: NatConfig, sources: Sources): void {
  const names = new Set<string>();
  rules.forEach(({ name, match }, number) => {
    const path = sources.rules[number]!;
    if (path[0] !== 'nat-rules') return;
    if (names.has(name))
      reader.error([...path, 'name'], `another rule has the name ${name}`, 'give each its own');
    names.add(name);
    const earlier = rules.slice(0, number).findIndex((other) => covers(other.match, match));
    if (earlier < 0) return;
    reader.warning(
      path,
      `the rule never matches: ${rules[earlier]!.name} comes before it and matches all that it does`,
      'put it before that one, or leave it out',
    );
  });
}
