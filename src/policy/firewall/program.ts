/**
 * How rules are laid out for walking. All chains are one program: a record of 16 words (a cache line) per rule, the end of
 * a chain a record that matches everything. The base chain comes first.
 *
 *     first word    directions and protocol classes: most rules that do not match are passed by on it
 *     one interval  of source, destination and both ports, as most rules have
 *     lists         places in `data`, where a field has several intervals
 *     the rest      whatever is rare
 *
 * What a rule does is apart, in `actions`: it is looked at when the rule matches.
 */
import type { ConnectionLimit, RateLimit, Schedule } from '../firewall-config.ts';

export const RULE = 16;
/** OUTBOUND … CLASS_OTHER as bits, then LISTS and RARE. A packet's word must be in it. */
export const R_FIRST = 0;
export const R_SOURCE = 1;
/** Last minus first, biased by SIGN. */
export const R_SOURCE_SPAN = 2;
export const R_DESTINATION = 3;
export const R_DESTINATION_SPAN = 4;
/** First | last << 16. */
export const R_SOURCE_PORTS = 5;
export const R_DESTINATION_PORTS = 6;
/** Places in `data`, 0 for none. */
export const R_SOURCE_LIST = 7;
export const R_DESTINATION_LIST = 8;
export const R_SOURCE_PORT_LIST = 9;
export const R_DESTINATION_PORT_LIST = 10;
/** Place of a bit per protocol, where not all protocols of CLASS_OTHER match. */
export const R_PROTOCOLS = 11;
/** A bit per device. */
export const R_IN = 12;
export const R_OUT = 13;
/** mask | value << 8 | not << 16. */
export const R_FLAGS = 14;
/** STATE_* | not << 8. */
export const R_STATE = 15;

/** Bits of R_FIRST behind those of packet.ts: there are lists; there is something in R_PROTOCOLS … R_STATE, or in A_LIMIT … A_SCHEDULE. */
export const LISTS = 256;
export const RARE = 512;

export const ACTION = 9;
export const A_KIND = 0;
/** Of DO_REJECT the way, of DO_JUMP and DO_GOTO the first word of the chain. */
export const A_ARGUMENT = 1;
/** Row of the counters; -1 at the end of a chain. */
export const A_COUNTER = 2;
/** Numbers of limits, -1 for none. */
export const A_LIMIT = 3;
export const A_CONNECTIONS = 4;
export const A_SCHEDULE = 5;
export const A_PACKETS = 6;
/** Number of the prefix, -1: not logged. */
export const A_LOG = 7;

export const DO_ACCEPT = 0;
export const DO_DROP = 1;
export const DO_REJECT = 2;
export const DO_CONTINUE = 3;
export const DO_JUMP = 4;
export const DO_GOTO = 5;
export const DO_RETURN = 6;

/** Words of `counters` per rule: flows (first packets) that matched, and the bytes of these packets. */
export const COUNTER = 2;

export interface Program {
  rules: Int32Array;
  actions: Int32Array;
  data: Int32Array;
  /** What each row of the counters is about: the rules as they stand, then a policy for each direction. */
  names: readonly string[];
  rates: readonly RateLimit[];
  connections: readonly ConnectionLimit[];
  schedules: readonly Schedule[];
  prefixes: readonly string[];
  /** Return addresses that are needed at once, at most. */
  depth: number;
  /** Some rule asks whether the source will be translated. */
  asksSnat: boolean;
  /** Some rule limits the packets of the flows that it lets in. */
  limitsPackets: boolean;
}
