/**
 * The NAT options of `run` and the same parts of the configuration file: texts that a user typed, as checked values. Each parser
 * gets an OptionText, so that a refusal names the option, or the place in the file, at fault.
 *
 *     flags ─▶ document ◀─ file
 *                 └─▶ config/compile-nat.ts: rules (exemptions, nat-rules, pool or masquerade), forwards, prefixes ─▶ contradictions
 *
 * What can be known from the words alone is refused; what depends on the host (addresses that it has, sockets, routes) is
 * a check of it (host/checks/nat.ts), which `doctor` and `check` show as well.
 */
import {
  type Dependence,
  matchAll,
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

/** Those that are given. */
export type GivenNatArguments = { [Key in keyof NatArguments]?: NatArguments[Key] | undefined };

/** RFC 4787's names by their usual abbreviations, without the last letter: EIM and EIF, ADM and ADF, APDM and APDF. */
const DEPENDENCE: Readonly<Record<string, Dependence>> = {
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
export const MIN_BLOCK = 16;
const MAX_BLOCK = 32_768;
/** Addresses of a pool, over all `--external`. */
const MAX_POOL = 4096;
/** External ports of a dedicated address. Blocks leave the system ports out (RFC 7422 2). */
export const POOL_PORTS: PortRange = { first: 1, last: 65_535 };
export const BLOCK_POOL_PORTS: PortRange = { first: 1024, last: 65_535 };
/** Shortest prefix of a netmap: a mistyped length is more likely than an internet. */
const MIN_NETMAP_LENGTH = 8;

/** What is not wrong, and yet seldom meant, with the number of the rule. */
export function natWarnings({ rules }: NatConfig): { rule: number; text: string }[] {
  return rules.flatMap(({ action, behaviour: { mapping, filtering } }, rule) => {
    if (action === 'none' || filtering !== 'endpoint-independent' || mapping === 'endpoint-independent')
      return [];
    const text = `--filtering ${filtering} opens a port to everybody that --mapping ${mapping} has chosen for one remote host`;
    return [{ rule, text }];
  });
}

/**
 * The configuration for these private networks. The hosts of a deterministic rule are counted from the first address
 * of its first source on (RFC 7422 2), so it needs to name them: the n-th has the n-th block. One that names its sources does.
 */
export function forPrivateNetworks(nat: NatConfig, networks: readonly Prefix[]): NatConfig {
  const rules = nat.rules.map((rule) =>
    rule.behaviour.deterministic && rule.action !== 'none' && rule.match.sources.length === 0
      ? { ...rule, match: { ...rule.match, sources: networks } }
      : rule,
  );
  return { ...nat, rules };
}

/** The behaviour that flags ask for, checked, as keys of the file's `nat` and `limits`. Throws Refusal. */
export function behaviourKeys(words: GivenNatArguments) {
  const least = (value: number) => (value === 0 ? 0 : MIN_BLOCK);
  return {
    nat: {
      mapping: given(words.mapping, (text) => checked(text, dependence('mapping', text, 'm'))),
      filtering: given(words.filtering, (text) => checked(text, dependence('filtering', text, 'f'))),
      hairpin: words.hairpin,
      'port-choice': given(words.portChoice, (text) => oneOf('port-choice', text, PORT_CHOICES)),
      parity: words.parity,
      'port-class': words.portClass,
      pooling: given(words.pooling, (text) => oneOf('pooling', text, POOLINGS)),
      overload: given(words.overload, (text) => oneOf('overload', text, OVERLOADS)),
      quarantine: given(words.quarantine, (n) => count('quarantine', n, 0, MAX_QUARANTINE_SECONDS)),
      'block-size': given(words.blockSize, (n) => count('block-size', n, least(n), MAX_BLOCK)),
      deterministic: words.deterministic,
    },
    limits: {
      'ports-per-host': given(words.portsPerHost, (n) => count('ports-per-host', n, 0, 65_535)),
      'flows-per-host': given(words.flowsPerHost, (n) => count('flows-per-host', n, 0, MAX_FLOWS_PER_HOST)),
    },
  };
}

function given<T, R>(value: T | undefined, parse: (value: T) => R): R | undefined {
  return value === undefined ? undefined : parse(value);
}

/** The text, once it has been looked at. */
function checked(text: string, _value: unknown): string {
  return text;
}

/** A number of ports that is no block: the file's range holds every number up to the largest. */
export function isBlockSize(size: number): boolean {
  return size === 0 || size >= MIN_BLOCK;
}

/** `suffix`: of the abbreviation, `m` of EIM or `f` of EIF. */
export function dependence(option: string, text: string, suffix: string): Dependence {
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

/** The addresses of a pool, in the order given, each once. */
export class Pool {
  readonly addresses: number[] = [];
  readonly #seen = new Map<number, string>();

  /** `ADDR`, `ADDR-ADDR` or `ADDR/LEN`. */
  add(from: OptionText, text: string): void {
    for (const address of poolAddresses(from, text)) {
      const before = this.#seen.get(address);
      if (before !== undefined) {
        throw from.refuse(
          `${formatAddress(address)} is in ${before === text ? 'it' : `--external ${before}`} already`,
          'name every address once',
        );
      }
      this.#seen.set(address, text);
      this.addresses.push(address);
    }
  }
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

/** `DESTINATION[,SOURCE]`: its name and what it matches. */
export function parseExemption(from: OptionText, text: string): Pick<NatRule, 'name' | 'match'> {
  const [destinationText, sourceText] = splitOnce(text, ',') ?? [text, null];
  const destination = prefix(from, destinationText);
  const sources = sourceText === null ? [] : [prefix(from, sourceText)];
  if (destination.length === 0 && (sources[0]?.length ?? 0) === 0) {
    throw from.refuse(
      'nothing at all would be translated',
      'name the destinations that need no translation, or the sources: 0.0.0.0/0,192.168.1.7/32',
    );
  }
  return { name: `exempt ${text}`, match: { ...matchAll, destinations: [destination], sources } };
}

/** `EXTERNAL=INTERNAL`, one address each. */
export function parseOneToOne(from: OptionText, text: string): PrefixPair {
  const [external, internal] = splitOnce(text, '=') ?? [];
  if (external === undefined || internal === undefined) throw from.refuse('there is no `=` in it');
  const network = (word: string): Prefix => ({ address: hostAddress(from, word), length: 32 });
  return pair(from, `one-to-one ${text}`, network(external), network(internal));
}

/** `EXTERNAL/LEN=INTERNAL/LEN`. */
export function parseNetmap(from: OptionText, text: string): PrefixPair {
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
