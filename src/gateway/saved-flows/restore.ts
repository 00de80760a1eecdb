/**
 * `natgate flows restore` and `natgate run --restore`: saved flows into the states of a gateway, while no engine has them. The next engine
 * takes them over as it takes over those of an engine that died, so all that makes a flow possible (its address, port, rule or
 * forward) is judged in one place: engine/adopt.ts.
 *
 * What is left out here: flows that are there already, or whose tuples others have, those whose time is up, those of rules that this gateway
 * has not got, and what does not fit. Each is counted.
 */
import { adoptRecords } from '../../conntrack/flow-adoption.ts';
import {
  type FlowTable,
  H_LAST,
  H_PACKETS,
  HOT,
  LIVE,
  MAX_RULES,
  ORIGINAL_SIDE,
  RULE_SHIFT,
  TRACK,
} from '../../conntrack/flow-table.ts';
import { rfcTimeouts, type Timeouts, TimeoutTable } from '../../conntrack/timeouts.ts';
import { flowTableOf, openState } from '../../engine/state.ts';
import { workerOfTuple } from '../../nat/port-class.ts';
import {
  COUNTER_WORDS,
  R_AGE,
  R_COUNTERS,
  R_IDLE,
  R_STATUS,
  R_TRACK,
  R_TUPLES,
  type SavedFlowsReader,
} from './format.ts';

/** Longer than any timeout (timeouts.ts); sums of two stay within an int32. */
const LONGEST_MS = 2_000_000_000;

/** What became of the flows of a file. */
export interface Restored {
  restored: number;
  /** They, or others with one of their tuples, were there already. */
  there: number;
  /** Their time was up. */
  expired: number;
  /** Of rules whose names no rule has here. */
  ruleless: number;
  /** There was no room for them. */
  full: number;
  damaged: number;
  /** The file ended before its end. */
  truncated: boolean;
}

/** Where flows are restored to. */
export interface RestoreTarget {
  /** By worker; formatted. */
  states: readonly ArrayBuffer[];
  /** Names of the NAT rules, by number. */
  rules: readonly string[];
  /** As configured. */
  timeouts: Partial<Timeouts>;
  /** The engines' clock, ms (int32). */
  now: number;
  /** ms since 1970. */
  wallNow: number;
}

/** Gives the flows of a file to states that no engine has at the moment. */
export function restoreFlows(file: SavedFlowsReader, target: RestoreTarget): Restored {
  const { states, now, wallNow } = target;
  const report = { restored: 0, there: 0, expired: 0, ruleless: 0, full: 0 };
  const timeouts = new TimeoutTable({ ...rfcTimeouts, ...target.timeouts });
  const tables = states.map((state) => tableOf(state));
  const rules = ruleNumbers(file.header.rules, target.rules);
  // A clock that was set back has not made flows younger.
  const elapsed = Math.min(Math.max(wallNow - file.header.saved, 0), LONGEST_MS);
  for (const { words, at } of file.records()) {
    const saved = words[at + R_STATUS]!;
    const rule = rules[saved >>> RULE_SHIFT]!;
    const status = (saved & ((1 << RULE_SHIFT) - 1)) | (rule << RULE_SHIFT);
    const idle = words[at + R_IDLE]! + elapsed;
    if (rule < 0) report.ruleless++;
    else if (!isYoung(idle, status, timeouts)) report.expired++;
    else report[put(tables, words, at, status, (now - idle) | 0, now - elapsed)]++;
  }
  return { ...report, ...file.damage };
}

function isYoung(idle: number, status: number, timeouts: TimeoutTable): boolean {
  return idle >= 0 && idle < timeouts.ofStatus(status);
}

/** `last`: its last packet; `then`: when it was saved; both by the engines' clock. */
function put(
  tables: readonly FlowTable[],
  words: Int32Array,
  at: number,
  status: number,
  last: number,
  then: number,
): 'restored' | 'there' | 'full' {
  const protocol = status & 0xff;
  const word = (i: number) => words[at + R_TUPLES + i]!;
  const isInside = (status & ORIGINAL_SIDE) === 0;
  const table = tables[workerOfTuple(protocol, word(2), isInside, tables.length)]!;
  const isThere = (each: FlowTable) =>
    each.lookup(word(0), word(1), word(2), protocol) >= 0 ||
    each.lookup(word(3), word(4), word(5), protocol) >= 0;
  if (tables.some(isThere)) return 'there';
  const created = (then - words[at + R_AGE]!) | 0;
  const flags = status & ~0xff & ~LIVE;
  const flow = table.create(protocol, word(0), word(1), word(2), word(3), word(4), word(5), flags, created);
  if (flow < 0) return 'full';
  const h = flow * HOT;
  table.hot[h + H_LAST] = last;
  for (let i = 0; i < COUNTER_WORDS; i++) table.hot[h + H_PACKETS + i] = words[at + R_COUNTERS + i]!;
  for (let i = 0; i < TRACK; i++) table.track[flow * TRACK + i] = words[at + R_TRACK + i]!;
  return 'restored';
}

/** The table of a state, with the flows that it holds in its index. */
function tableOf(state: ArrayBuffer): FlowTable {
  const table = flowTableOf(openState(state));
  adoptRecords(table, () => true);
  return table;
}

/** By number there, the number here, or -1. */
function ruleNumbers(there: readonly string[], here: readonly string[]): Int32Array {
  const numbers = new Int32Array(MAX_RULES).fill(-1);
  for (const [number, name] of there.slice(0, MAX_RULES).entries()) {
    if (name !== '') numbers[number] = here.indexOf(name);
  }
  return numbers;
}
