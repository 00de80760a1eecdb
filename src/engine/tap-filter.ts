/**
 * Which packets a tap wants, as the engine asks it: a program of tests over integers, each with two ways on, as the tests of a BPF
 * filter. It is made from an expression (gateway/observe/filter.ts). What only a reader can know (the flow's state, names) is not in it:
 * the engine lets through what may match, and the reader looks again.
 *
 *     test: kind, first argument, second argument, next test when true, next test when false
 *
 * Next tests are places in the program; YES and NO end it.
 */
import { PROTO_ICMP } from '../wire/ipv4.ts';

export const TEST = 5;
export const YES = -1;
export const NO = -2;

/** Protocol number. */
export const IS_PROTOCOL = 0;
/** Address (wire order) and mask. */
export const IS_SOURCE = 1;
export const IS_DESTINATION = 2;
/** First and last port, host order; of ICMP queries the id. */
export const IS_SOURCE_PORT = 3;
export const IS_DESTINATION_PORT = 4;

/** Everything. */
export const EVERYTHING: readonly number[] = [];

/** Bits of `sides`. */
export const PRIVATE_SIDE = 1;
export const PUBLIC_SIDE = 2;

/** One subscriber of a tap. Plain data: it is sent to the engine. */
export interface TapFilter {
  /** TEST words for each test; empty: everything. */
  program: readonly number[];
  /** Records of packets on these sides. */
  sides: number;
  /** Dropped packets only. */
  dropped: boolean;
  /** Bytes of a packet that are wanted, at most. */
  snapLength: number;
}

/**
 * Whether the tests are met by a packet of this tuple (ports word: conntrack/tuple.ts). `hasPorts` false: its ports are not known (a
 * later fragment), and it is enough that some would meet them.
 */
export function meets(
  program: Int32Array,
  protocol: number,
  source: number,
  destination: number,
  ports: number,
  hasPorts: boolean,
): boolean {
  return program.length === 0 || meetsFrom(0, program, protocol, source, destination, ports, hasPorts);
}

function meetsFrom(
  first: number,
  program: Int32Array,
  protocol: number,
  source: number,
  destination: number,
  ports: number,
  hasPorts: boolean,
): boolean {
  let at = first;
  while (at >= 0) {
    const kind = program[at]!;
    const a = program[at + 1]!;
    const b = program[at + 2]!;
    let is = false;
    if (kind === IS_PROTOCOL) is = protocol === a;
    else if (kind === IS_SOURCE) is = (source & b) === a;
    else if (kind === IS_DESTINATION) is = (destination & b) === a;
    else if (hasPorts) {
      // The id of a query is the port of both its ends.
      const isFirst = kind === IS_SOURCE_PORT || protocol === PROTO_ICMP;
      is = isWithin(isFirst ? ports & 0xffff : ports >>> 16, a, b);
    } else if (meetsFrom(program[at + 4]!, program, protocol, source, destination, ports, false)) {
      return true;
    } else {
      is = true;
    }
    at = program[at + (is ? 3 : 4)]!;
  }
  return at === YES;
}

/** `port` in wire order. */
function isWithin(port: number, first: number, last: number): boolean {
  const number = ((port & 0xff) << 8) | (port >>> 8);
  return number >= first && number <= last;
}
