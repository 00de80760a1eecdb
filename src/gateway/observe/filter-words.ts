/** The words of the filter language, and the values that follow them. Used by expressions and by flags. */

import { endReasonNames } from '../../conntrack/end-reasons.ts';
import { sctpStateNames } from '../../conntrack/sctp-states.ts';
import { tcpStateNames } from '../../conntrack/tcp-states.ts';
import { nearestName } from '../../core/nearest.ts';
import { reasonNames } from '../../core/reasons.ts';
import { parsePrefix } from '../../wire/address.ts';
import { parseProtocol, protocolNames } from '../../wire/protocols.ts';
import { ADDRESS_WORDS, type AddressAt, type Filter, PORT_WORDS, type PortAt } from './filter.ts';

/** States that are flags of a flow. */
export const FLAG_STATES = ['ASSURED', 'UNREPLIED', 'RELATED'];
const STATES = [...new Set([...FLAG_STATES, ...tcpStateNames, ...sctpStateNames])].filter(
  (name) => name !== '' && name !== 'NONE',
);
const REASONS = [...reasonNames.slice(1), ...endReasonNames];

/** Reads a value; a text where it is none: what is wrong with it. */
type Reader = (value: string) => Filter | string;

const READERS = new Map<string, Reader>([
  ['proto', protocol],
  ['state', state],
  ['reason', reason],
  ['rule', (name) => ({ kind: 'rule', name })],
  ['side', side],
]);
for (const [at, word] of Object.entries(ADDRESS_WORDS)) {
  READERS.set(word, (value) => address(at as AddressAt, value));
}
for (const [at, word] of Object.entries(PORT_WORDS)) READERS.set(word, (value) => ports(at as PortAt, value));
READERS.set('client', client);

const ALIASES: Record<string, string> = {
  protocol: 'proto',
  source: 'src',
  destination: 'dst',
  net: 'host',
  external: 'ext',
  'source-port': 'sport',
  'destination-port': 'dport',
  'external-port': 'extport',
};

/** Words that stand before a value. */
export const filterWords: readonly string[] = [...READERS.keys()];

/** The word by its own name or another one; null when it is none. */
export function filterWord(text: string): string | null {
  const word = text.toLowerCase();
  const known = Object.hasOwn(ALIASES, word) ? ALIASES[word]! : word;
  return READERS.has(known) ? known : null;
}

/**
 * The test that `word value` is. Values separated by commas: any of them. Returns a text where the value cannot be taken: what is wrong
 * with it.
 */
export function readTest(word: string, value: string): Filter | string {
  const read = READERS.get(word)!;
  const parts: Filter[] = [];
  for (const part of word === 'rule' ? [value] : value.split(',')) {
    const test = part === '' ? 'an empty value' : read(part);
    if (typeof test === 'string') return test;
    parts.push(test);
  }
  return parts.length === 1 ? parts[0]! : { kind: 'or', of: parts };
}

function protocol(value: string): Filter | string {
  const number = parseProtocol(value);
  if (number !== null) return { kind: 'protocol', protocol: number };
  return `${value} is no protocol${meant(value, protocolNames)}, or give its number (0-255)`;
}

function address(at: AddressAt, value: string): Filter | string {
  const network = parsePrefix(value);
  return network === null
    ? `${value} is no IPv4 address or network (10.0.0.2, 10.0.0.0/24)`
    : { kind: 'address', at, network };
}

/** An address, or else a name. */
function client(value: string): Filter | string {
  return /^[\d./]+$/.test(value) ? address('client', value) : { kind: 'client', name: value };
}

function ports(at: PortAt, value: string): Filter | string {
  const match = /^(\d{1,5})(?:[-:](\d{1,5}))?$/.exec(value);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || last > 65_535 || first > 65_535) return `${value} is no port or range (443, 1-1024)`;
  if (first > last) return `the range ${value} ends before it begins`;
  return { kind: 'port', at, first, last };
}

function state(value: string): Filter | string {
  const name = value.toUpperCase();
  return STATES.includes(name) ? { kind: 'state', name } : `${value} is no state${meant(name, STATES)}`;
}

function reason(value: string): Filter | string {
  const name = value.toLowerCase();
  return REASONS.includes(name) ? { kind: 'reason', name } : `${value} is no reason${meant(name, REASONS)}`;
}

function side(value: string): Filter | string {
  const name = value.toLowerCase();
  if (name === 'private' || name === 'public') return { kind: 'side', side: name };
  return `${value} is no side: private or public`;
}

/** `: did you mean X?` */
export function meant(wanted: string, names: readonly string[]): string {
  const nearest = nearestName(wanted, names);
  return nearest === null ? '' : `: did you mean ${nearest}?`;
}
