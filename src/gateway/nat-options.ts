/**
 * The NAT options of `run`, as text that a user typed and as a checked configuration.
 *
 *     words ─▶ rules (exemptions, then pool or masquerade) + forwards + prefixes ─▶ refuseContradictions
 *
 * What can be known from the words alone is refused here, with the option at fault; what depends on the host
 * (addresses that it has, sockets, routes) is a check of it (host/checks/nat.ts), which `doctor` shows as well.
 */
import {
  type Dependence,
  matchAll,
  type NatBehaviour,
  type NatConfig,
  type NatRule,
  type Overload,
  type PortChoice,
  type PortRange,
  type Prefix,
  type PrefixPair,
} from '../nat/config.ts';
import { addressesOf, contains, overlaps } from '../nat/dedicated.ts';
import { formatAddress, formatPrefix, hostOrder } from '../wire/address.ts';
import { parseForward } from './forward-option.ts';
import { refuseContradictions } from './nat-contradictions.ts';
import { hostAddress, hostPrefix, OptionText, prefix, splitOnce } from './nat-syntax.ts';

/** As the command line has them; lists have what a repeatable option was given. */
export interface NatArguments {
  mapping: string;
  filtering: string;
  hairpin: boolean;
  portChoice: string;
  parity: boolean;
  portClass: boolean;
  pooling: string;
  overload: string;
  quarantine: number;
  portsPerHost: number;
  flowsPerHost: number;
  blockSize: number;
  deterministic: boolean;
  external: readonly string[];
  exempt: readonly string[];
  forward: readonly string[];
  oneToOne: readonly string[];
  netmap: readonly string[];
}

/** RFC 4787's names by their usual abbreviations, without the last letter: EIM and EIF, ADM and ADF, APDM and APDF. */
const DEPENDENCE: Record<string, Dependence> = {
  ei: 'endpoint-independent',
  ad: 'address-dependent',
  apd: 'address-and-port-dependent',
};
const PORT_CHOICES: readonly PortChoice[] = ['preserve', 'random', 'sequential'];
const POOLINGS = ['paired', 'arbitrary'] as const;
const OVERLOADS: readonly Overload[] = ['never', 'exhausted', 'always'];

/** A freed port that waits longer than a day is a leak. */
const MAX_QUARANTINE_SECONDS = 86_400;
const MAX_FLOWS_PER_HOST = 16_777_216;
/** RFC 6888 asks for blocks so that few are logged; below this every host would need several. */
const MIN_BLOCK = 16;
const MAX_BLOCK = 32_768;
/** Addresses of a pool, over all `--external`. */
const MAX_POOL = 4096;
/** External ports of a dedicated address. Blocks leave the system ports out (RFC 7422 2). */
const POOL_PORTS: PortRange = { first: 1, last: 65_535 };
const BLOCK_POOL_PORTS: PortRange = { first: 1024, last: 65_535 };
/** Shortest prefix of a netmap: a mistyped length is more likely than an internet. */
const MIN_NETMAP_LENGTH = 8;

/** `ports`: of the shared address. Throws NatgateError `usage`. */
export function parseNatOptions(words: NatArguments, ports: PortRange): NatConfig {
  const behaviour = parseBehaviour(words);
  const pool = parsePool(words.external);
  const everything: NatRule = {
    name: pool.length === 0 ? 'masquerade' : 'pool',
    match: matchAll,
    action: pool.length === 0 ? 'masquerade' : 'pool',
    addresses: pool,
    ports: pool.length === 0 ? ports : behaviour.blockSize === 0 ? POOL_PORTS : BLOCK_POOL_PORTS,
    behaviour,
  };
  const nat: NatConfig = {
    rules: [...words.exempt.map((text) => parseExemption(text, everything)), everything],
    forwards: words.forward.flatMap(parseForward),
    prefixes: [...words.oneToOne.map(parseOneToOne), ...words.netmap.map(parseNetmap)],
  };
  refuseContradictions(nat);
  return nat;
}

/** What is not wrong, and yet seldom meant. */
export function natWarnings({ rules }: NatConfig): string[] {
  const { mapping, filtering } = rules.at(-1)!.behaviour;
  if (filtering !== 'endpoint-independent' || mapping === 'endpoint-independent') return [];
  return [
    `--filtering ${filtering} opens a port to everybody that --mapping ${mapping} has chosen for one remote host`,
  ];
}

/**
 * The configuration for these private networks. The hosts of a deterministic rule are counted from the first address
 * of its first source on (RFC 7422 2), so it needs to name them: the n-th has the n-th block.
 */
export function forPrivateNetworks(nat: NatConfig, networks: readonly Prefix[]): NatConfig {
  const rules = nat.rules.map((rule) =>
    rule.behaviour.deterministic && rule.action !== 'none'
      ? { ...rule, match: { ...rule.match, sources: networks } }
      : rule,
  );
  return { ...nat, rules };
}

function parseBehaviour(words: NatArguments): NatBehaviour {
  return {
    mapping: dependence('mapping', words.mapping, 'm'),
    filtering: dependence('filtering', words.filtering, 'f'),
    hairpin: words.hairpin,
    ports: oneOf('port-choice', words.portChoice, PORT_CHOICES),
    parity: words.parity,
    portClass: words.portClass,
    pairedPooling: oneOf('pooling', words.pooling, POOLINGS) === 'paired',
    overload: oneOf('overload', words.overload, OVERLOADS),
    quarantineSeconds: count('quarantine', words.quarantine, 0, MAX_QUARANTINE_SECONDS),
    portsPerHost: count('ports-per-host', words.portsPerHost, 0, 65_535),
    flowsPerHost: count('flows-per-host', words.flowsPerHost, 0, MAX_FLOWS_PER_HOST),
    blockSize: words.blockSize === 0 ? 0 : count('block-size', words.blockSize, MIN_BLOCK, MAX_BLOCK),
    deterministic: words.deterministic,
  };
}

/** `suffix`: of the abbreviation, `m` of EIM or `f` of EIF. */
function dependence(option: string, text: string, suffix: string): Dependence {
  for (const [short, long] of Object.entries(DEPENDENCE)) {
    if (text === `${short}${suffix}` || text === long) return long;
  }
  const names = Object.entries(DEPENDENCE).map(([short, long]) => `${short}${suffix} (${long})`);
  throw new OptionText(option, text, '').refuse('there is no such behaviour', `choose ${names.join(', ')}`);
}

function oneOf<T extends string>(option: string, text: string, words: readonly T[]): T {
  const word = words.find((candidate) => candidate === text);
  if (word !== undefined) return word;
  throw new OptionText(option, text, '').refuse('there is no such choice', `choose ${words.join(', ')}`);
}

function count(option: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new OptionText(option, String(value), '').refuse(
    'not a usable number',
    `give a whole number from ${least} to ${most}${least > 0 ? ', or 0 for none' : ''}`,
  );
}

/** Addresses of all `--external`, in the order given. */
function parsePool(words: readonly string[]): number[] {
  const addresses: number[] = [];
  const seen = new Map<number, string>();
  for (const text of words) {
    const from = new OptionText('external', text, '203.0.113.8-203.0.113.15');
    for (const address of poolAddresses(from, text)) {
      const before = seen.get(address);
      if (before !== undefined) {
        throw from.refuse(
          `${formatAddress(address)} is in ${before === text ? 'it' : `--external ${before}`} already`,
          'name every address once',
        );
      }
      seen.set(address, text);
      addresses.push(address);
    }
  }
  return addresses;
}

/** `ADDR`, `ADDR-ADDR` or `ADDR/LEN`. */
function poolAddresses(from: OptionText, text: string): number[] {
  const ends = splitOnce(text, '-');
  if (ends === null) {
    const network = hostPrefix(from, text);
    requirePoolSize(from, 2 ** (32 - network.length));
    return addressesOf(network);
  }
  const [first, last] = ends.map((word) => hostOrder(hostAddress(from, word)) >>> 0) as [number, number];
  if (first > last) throw from.refuse('the range ends before it begins');
  requirePoolSize(from, last - first + 1);
  return Array.from({ length: last - first + 1 }, (_, i) => hostOrder(first + i));
}

function requirePoolSize(from: OptionText, size: number): void {
  if (size <= MAX_POOL) return;
  throw from.refuse(`${size} addresses`, `a pool has ${MAX_POOL} at most, a /20`);
}

/** `DESTINATION[,SOURCE]`. */
function parseExemption(text: string, rule: NatRule): NatRule {
  const from = new OptionText('exempt', text, '10.8.0.0/16,192.168.1.0/24');
  const [destinationText, sourceText] = splitOnce(text, ',') ?? [text, null];
  const destination = prefix(from, destinationText);
  const sources = sourceText === null ? [] : [prefix(from, sourceText)];
  const wanted = { ...matchAll, destinations: [destination], sources };
  if (destination.length === 0 && (sources[0]?.length ?? 0) === 0) {
    throw from.refuse(
      'nothing at all would be translated',
      'name the destinations that need no translation, or the sources: 0.0.0.0/0,192.168.1.7/32',
    );
  }
  return { ...rule, name: `exempt ${text}`, match: wanted, action: 'none', addresses: [] };
}

/** `EXTERNAL=INTERNAL`, one address each. */
function parseOneToOne(text: string): PrefixPair {
  const from = new OptionText('one-to-one', text, '203.0.113.9=192.168.1.9');
  const [external, internal] = splitOnce(text, '=') ?? [];
  if (external === undefined || internal === undefined) throw from.refuse('there is no `=` in it');
  const network = (word: string): Prefix => ({ address: hostAddress(from, word), length: 32 });
  return pair(from, `one-to-one ${text}`, network(external), network(internal));
}

/** `EXTERNAL/LEN=INTERNAL/LEN`. */
function parseNetmap(text: string): PrefixPair {
  const from = new OptionText('netmap', text, '203.0.113.16/28=192.168.1.16/28');
  const [externalText, internalText] = splitOnce(text, '=') ?? [];
  if (externalText === undefined || internalText === undefined) throw from.refuse('there is no `=` in it');
  const [external, internal] = [hostPrefix(from, externalText), hostPrefix(from, internalText)];
  if (external.length !== internal.length) {
    throw from.refuse(
      `a /${external.length} and a /${internal.length} have not the same number of addresses`,
      'both prefixes must have one length',
    );
  }
  if (external.length < MIN_NETMAP_LENGTH) {
    throw from.refuse(`a /${external.length} is too large`, `a /${MIN_NETMAP_LENGTH} at most`);
  }
  return pair(from, `netmap ${text}`, external, internal);
}

function pair(from: OptionText, name: string, external: Prefix, internal: Prefix): PrefixPair {
  if (overlaps(external, internal)) {
    const what = contains(external, internal) ? 'the same' : 'within each other';
    throw from.refuse(
      `${formatPrefix(external)} and ${formatPrefix(internal)} are ${what}`,
      'an address that needs no translation is an --exempt',
    );
  }
  return { name, external, internal };
}
