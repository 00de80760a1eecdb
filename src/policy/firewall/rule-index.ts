/**
 * Which rules of a long chain can match at all: bit vectors (Lakshman and Stiliadis, 1998), so that a thousand rules are not a
 * thousand comparisons for each new flow.
 *
 *     field     source, destination, destination port: the value's range is cut where any rule's interval begins or ends;
 *               each piece has a bit per rule, set where the rule takes values of the piece
 *     kind      a bit per rule for each direction and protocol class
 *     wanted    of the present packet: the pieces' vectors and the kind's, ANDed; the rules that are worth a look, in order
 *
 * What the fields do not say (interfaces, states, limits …) is asked when a rule is looked at. Chains below 24 rules have no
 * index: walking them is as quick. A field whose vectors would take more than 16 MiB is left out, which costs time only.
 */

import { SIGN } from './intervals.ts';
import {
  BETWEEN,
  CLASS_ICMP,
  CLASS_OTHER,
  CLASS_SCTP,
  CLASS_TCP,
  CLASS_UDP,
  INBOUND,
  OUTBOUND,
  P_DESTINATION,
  P_DESTINATION_PORT,
  P_SOURCE,
} from './packet.ts';
import {
  A_COUNTER,
  ACTION,
  type Program,
  R_DESTINATION,
  R_DESTINATION_LIST,
  R_DESTINATION_PORT_LIST,
  R_DESTINATION_PORTS,
  R_DESTINATION_SPAN,
  R_FIRST,
  R_SOURCE,
  R_SOURCE_LIST,
  R_SOURCE_SPAN,
  RULE,
} from './program.ts';

const LEAST_RULES = 24;
const MOST_WORDS = 2 ** 22;
const DIRECTIONS = [OUTBOUND, INBOUND, BETWEEN];
const CLASSES = [CLASS_TCP, CLASS_UDP, CLASS_ICMP, CLASS_SCTP, CLASS_OTHER];
const LOWEST = -0x80000000;

/** The index of the long chains of a program; null where there is none. */
export function indexRules(program: Program): RuleIndex | null {
  const { actions } = program;
  const total = actions.length / ACTION;
  const chains: Chain[] = [];
  for (let first = 0; first < total; ) {
    let end = first;
    while (actions[end * ACTION + A_COUNTER]! >= 0) end++;
    if (end - first >= LEAST_RULES) chains.push(new Chain(program, first, end - first));
    first = end + 1;
  }
  return chains.length === 0 ? null : new RuleIndex(chains, total);
}

export class RuleIndex {
  private readonly chains: readonly Chain[];
  /** By rule: its chain, -1 for none. */
  private readonly chainOf: Int32Array;
  private packet: Int32Array = new Int32Array(0);
  private word = 0;
  /** Number of the present packet. */
  private turn = 0;

  constructor(chains: readonly Chain[], rules: number) {
    this.chains = chains;
    this.chainOf = new Int32Array(rules).fill(-1);
    for (const [i, { first, count }] of chains.entries()) this.chainOf.fill(i, first, first + count);
  }

  /** The questions that follow are about this packet, whose direction and class are in `word`. */
  begin(packet: Int32Array, word: number): void {
    this.packet = packet;
    this.word = word;
    this.turn = (this.turn + 1) | 0;
  }

  /** The first record from `r` on that may match, within its chain, or the end of the chain. */
  next(r: number): number {
    const rule = r / RULE;
    const chain = this.chainOf[rule]!;
    return chain < 0 ? r : this.chains[chain]!.next(rule, this.packet, this.word, this.turn) * RULE;
  }
}

class Chain {
  readonly first: number;
  readonly count: number;
  private readonly sources: Field | null;
  private readonly destinations: Field | null;
  private readonly ports: Field | null;
  /** By (direction, class): rows of `wanted.length` words. */
  private readonly kinds: Int32Array;
  private readonly wanted: Int32Array;
  private turn = 0;

  constructor(program: Program, first: number, count: number) {
    this.first = first;
    this.count = count;
    const words = (count + 31) >>> 5;
    this.wanted = new Int32Array(words);
    this.kinds = new Int32Array(DIRECTIONS.length * CLASSES.length * words);
    const { rules, data } = program;
    const at = (i: number) => (first + i) * RULE;
    for (let i = 0; i < count; i++) {
      const bits = rules[at(i) + R_FIRST]!;
      for (const [d, direction] of DIRECTIONS.entries()) {
        for (const [c, protocolClass] of CLASSES.entries()) {
          const mask = direction | protocolClass;
          if ((bits & mask) !== mask) continue;
          const row = (d * CLASSES.length + c) * words;
          this.kinds[row + (i >>> 5)] = this.kinds[row + (i >>> 5)]! | (1 << (i & 31));
        }
      }
    }
    const addresses = (from: number, span: number, list: number) => (i: number) => {
      const place = rules[at(i) + list]!;
      if (place !== 0) return listed(data, place);
      const low = rules[at(i) + from]! ^ SIGN;
      return [[low, low + ((rules[at(i) + span]! ^ SIGN) >>> 0)] as const];
    };
    const ports = (i: number) => {
      const place = rules[at(i) + R_DESTINATION_PORT_LIST]!;
      const range = rules[at(i) + R_DESTINATION_PORTS]!;
      return place !== 0 ? listed(data, place) : [[range & 0xffff, range >>> 16] as const];
    };
    this.sources = field(count, addresses(R_SOURCE, R_SOURCE_SPAN, R_SOURCE_LIST));
    this.destinations = field(count, addresses(R_DESTINATION, R_DESTINATION_SPAN, R_DESTINATION_LIST));
    this.ports = field(count, ports);
  }

  next(rule: number, packet: Int32Array, word: number, turn: number): number {
    const { wanted, first } = this;
    if (this.turn !== turn) {
      this.turn = turn;
      this.want(packet, word);
    }
    const from = rule - first;
    let i = from >>> 5;
    let bits = wanted[i]! & (-1 << (from & 31));
    while (bits === 0) {
      i++;
      if (i === wanted.length) return first + this.count;
      bits = wanted[i]!;
    }
    return first + (i << 5) + 31 - Math.clz32(bits & -bits);
  }

  private want(packet: Int32Array, word: number): void {
    const { wanted, kinds } = this;
    const direction = (word & OUTBOUND) !== 0 ? 0 : (word & INBOUND) !== 0 ? 1 : 2;
    // CLASS_TCP is bit 3.
    const protocolClass = 28 - Math.clz32(word & ~(OUTBOUND | INBOUND | BETWEEN));
    const row = (direction * CLASSES.length + protocolClass) * wanted.length;
    for (let i = 0; i < wanted.length; i++) wanted[i] = kinds[row + i]!;
    this.sources?.narrow(packet[P_SOURCE]! ^ SIGN, wanted);
    this.destinations?.narrow(packet[P_DESTINATION]! ^ SIGN, wanted);
    this.ports?.narrow(packet[P_DESTINATION_PORT]!, wanted);
  }
}

class Field {
  /** Where the pieces begin, the first one with the lowest value. */
  private readonly starts: Int32Array;
  /** A row of bits per piece. */
  private readonly vectors: Int32Array;

  constructor(starts: Int32Array, vectors: Int32Array) {
    this.starts = starts;
    this.vectors = vectors;
  }

  /** Takes out of `wanted` what does not take `value`. */
  narrow(value: number, wanted: Int32Array): void {
    const { vectors } = this;
    const row = pieceOf(this.starts, value) * wanted.length;
    for (let i = 0; i < wanted.length; i++) wanted[i] = wanted[i]! & vectors[row + i]!;
  }
}

type Ranges = readonly (readonly [first: number, last: number])[];

/** Null when no rule asks for this field, or its vectors would be too large. */
function field(rules: number, rangesOf: (rule: number) => Ranges): Field | null {
  const words = (rules + 31) >>> 5;
  const cuts = new Set<number>([LOWEST]);
  for (let rule = 0; rule < rules; rule++) {
    for (const [first, last] of rangesOf(rule)) cuts.add(first).add(last + 1);
  }
  const starts = Int32Array.from([...cuts].filter((cut) => cut <= 0x7fffffff)).sort();
  if (starts.length === 1 || starts.length * words > MOST_WORDS) return null;
  const vectors = new Int32Array(starts.length * words);
  for (let rule = 0; rule < rules; rule++) {
    for (const [first, last] of rangesOf(rule)) {
      for (let piece = pieceOf(starts, first); piece < starts.length && starts[piece]! <= last; piece++) {
        const at = piece * words + (rule >>> 5);
        vectors[at] = vectors[at]! | (1 << (rule & 31));
      }
    }
  }
  return new Field(starts, vectors);
}

/** The last piece that begins at or below `value`. */
function pieceOf(starts: Int32Array, value: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (starts[middle]! <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The intervals of a list (intervals.ts words()), biased as they are. */
function listed(data: Int32Array, place: number): Ranges {
  return Array.from({ length: data[place]! }, (_, i) => [data[place + 1 + i * 2]!, data[place + 2 + i * 2]!]);
}
