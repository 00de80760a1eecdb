/** Small words of the file: protocols, ICMP types, TCP flags, rates, times of day. */
import { nearestName } from '../../core/nearest.ts';
import type { IcmpMatch } from '../../policy/firewall-config.ts';
import { type OptionText, quoted } from '../nat-syntax.ts';

const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  sctp: 132,
  udplite: 136,
};

export function protocol(from: OptionText, value: string | number): number {
  if (typeof value === 'number') return value;
  if (/^\d{1,3}$/.test(value) && Number(value) < 256) return Number(value);
  if (Object.hasOwn(PROTOCOLS, value)) return PROTOCOLS[value]!;
  throw unknown(from, 'protocol', value, Object.keys(PROTOCOLS));
}

/** IANA "ICMP Type Numbers", with iptables' names. */
const ICMP: Readonly<Record<string, readonly [number, number]>> = {
  any: [-1, -1],
  'echo-reply': [0, -1],
  pong: [0, -1],
  'destination-unreachable': [3, -1],
  'network-unreachable': [3, 0],
  'host-unreachable': [3, 1],
  'protocol-unreachable': [3, 2],
  'port-unreachable': [3, 3],
  'fragmentation-needed': [3, 4],
  'source-route-failed': [3, 5],
  'network-unknown': [3, 6],
  'host-unknown': [3, 7],
  'network-prohibited': [3, 9],
  'host-prohibited': [3, 10],
  'TOS-network-unreachable': [3, 11],
  'TOS-host-unreachable': [3, 12],
  'communication-prohibited': [3, 13],
  'host-precedence-violation': [3, 14],
  'precedence-cutoff': [3, 15],
  'source-quench': [4, -1],
  redirect: [5, -1],
  'network-redirect': [5, 0],
  'host-redirect': [5, 1],
  'TOS-network-redirect': [5, 2],
  'TOS-host-redirect': [5, 3],
  'echo-request': [8, -1],
  ping: [8, -1],
  'router-advertisement': [9, -1],
  'router-solicitation': [10, -1],
  'time-exceeded': [11, -1],
  'ttl-exceeded': [11, -1],
  'ttl-zero-during-transit': [11, 0],
  'ttl-zero-during-reassembly': [11, 1],
  'parameter-problem': [12, -1],
  'ip-header-bad': [12, 0],
  'required-option-missing': [12, 1],
  'timestamp-request': [13, -1],
  'timestamp-reply': [14, -1],
  'address-mask-request': [17, -1],
  'address-mask-reply': [18, -1],
};

/** `echo-request`, `8`, `3/4`. */
export function icmpType(from: OptionText, value: string | number): IcmpMatch {
  const text = String(value);
  const match = /^(\d{1,3})(?:\/(\d{1,3}))?$/.exec(text);
  if (match !== null && Number(match[1]) < 256 && Number(match[2] ?? 0) < 256) {
    return { type: Number(match[1]), code: match[2] === undefined ? -1 : Number(match[2]) };
  }
  if (!Object.hasOwn(ICMP, text) || text === 'any')
    throw unknown(from, 'ICMP type', text, Object.keys(ICMP).slice(1));
  const [type, code] = ICMP[text]!;
  return { type, code };
}

const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'];

/** `syn`, or `MASK SET`, both lists with commas, ALL or NONE. */
export function tcpFlags(from: OptionText, text: string): { mask: number; value: number } {
  const words = text === 'syn' ? ['FIN,SYN,RST,ACK', 'SYN'] : text.split(/ +/);
  if (words.length !== 2) throw from.refuse('it is not two lists of flags');
  const [mask, value] = words.map((word) => flagBits(from, word)) as [number, number];
  if ((value & ~mask) !== 0) {
    throw from.refuse(
      'a flag is to be set that is not looked at',
      'name every flag of the second list in the first',
    );
  }
  return { mask, value };
}

function flagBits(from: OptionText, text: string): number {
  if (text === 'NONE') return 0;
  if (text === 'ALL') return 0x3f;
  return text.split(',').reduce((bits, name) => {
    const bit = TCP_FLAGS.indexOf(name);
    if (bit < 0) throw unknown(from, 'TCP flag', name, [...TCP_FLAGS, 'ALL', 'NONE']);
    return bits | (1 << bit);
  }, 0);
}

const UNITS: Readonly<Record<string, number>> = {
  s: 1,
  sec: 1,
  second: 1,
  m: 60,
  min: 60,
  minute: 60,
  h: 3600,
  hour: 3600,
  d: 86_400,
  day: 86_400,
};
const MAX_RATE = 10_000_000;

/** `10/second`: how many a second. */
export function ratePerSecond(from: OptionText, text: string): number {
  const match = /^(\d{1,8})\/([a-z]+)$/.exec(text);
  const count = Number(match?.[1]);
  if (match === null || !Object.hasOwn(UNITS, match[2]!) || count < 1 || count > MAX_RATE) {
    throw from.refuse(`${quoted(text)} is no rate`);
  }
  return count / UNITS[match[2]!]!;
}

/** `HH:MM[:SS]`, up to 24:00, in seconds. */
export function timeOfDay(from: OptionText, text: string): number {
  const match = /^([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?$/.exec(text);
  const seconds = Number(match?.[1]) * 3600 + Number(match?.[2]) * 60 + Number(match?.[3] ?? 0);
  if (match === null || seconds > 86_400) throw from.refuse(`${quoted(text)} is no time of day`);
  return seconds;
}

/** ISO 8601 with a zone, in ms since 1970. */
export function moment(from: OptionText, text: string): number {
  const hasZone = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.test(text);
  const ms = Date.parse(text);
  if (!hasZone || Number.isNaN(ms)) throw from.refuse(`${quoted(text)} is no date with time and zone`);
  return ms;
}

export function timeZone(from: OptionText, text: string): string {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return text;
  } catch {
    throw from.refuse(`there is no time zone ${quoted(text)}`);
  }
}

function unknown(from: OptionText, what: string, word: string, known: readonly string[]) {
  const nearest = nearestName(word, known);
  return from.refuse(
    `there is no ${what} ${quoted(word)}`,
    `did you mean ${nearest}? There are ${known.join(', ')}`,
  );
}
