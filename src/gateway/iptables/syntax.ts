/** What a file of iptables rules says, as values. Nothing is interpreted yet. */
import { NatgateError } from '../../core/errors.ts';

export interface Place {
  line: number;
  column: number;
}

/** An option of a rule by its full name without dashes: `source`, `dports`, `to-destination`. */
export interface Option {
  name: string;
  /** The match it is of, `` for those that every rule can have. */
  module: string;
  not: boolean;
  values: readonly string[];
  place: Place;
}

/** Where a rule leads: a chain or a target, by `-j` or `-g`. */
export interface Target {
  kind: 'jump' | 'goto';
  name: string;
  options: readonly Option[];
  place: Place;
}

export interface Rule {
  line: number;
  table: string;
  chain: string;
  /** As a person may recognise it, in one line, without odd characters. */
  text: string;
  options: readonly Option[];
  /** Matches that are not known: their names. */
  unknown: readonly string[];
  /** Null: the rule only counts. */
  target: Target | null;
}

export interface Chain {
  name: string;
  /** ACCEPT or DROP; null for a user chain. */
  policy: string | null;
  line: number;
  rules: Rule[];
}

/** A line that says nothing of packets: `sysctl`, `modprobe`, `iptables-save`. */
export interface HostLine {
  line: number;
  text: string;
  why: string;
}

export interface Ruleset {
  tables: ReadonlyMap<string, ReadonlyMap<string, Chain>>;
  host: readonly HostLine[];
  /** Sets of addresses that the file itself lists (`ipset create`, `ipset add`), by name. */
  sets: ReadonlyMap<string, readonly string[]>;
}

export interface SyntaxProblem {
  place: Place;
  what: string;
  remedy: string;
}

/** All that is wrong with a file, a line for each. `code` is `rules_invalid`. */
export class RulesError extends NatgateError {
  readonly problems: readonly SyntaxProblem[];

  constructor(file: string, problems: readonly SyntaxProblem[]) {
    const lines = problems.map(
      ({ place, what, remedy }) => `${file}:${place.line}:${place.column}: ${what}${remedy && `; ${remedy}`}`,
    );
    const count = problems.length === 1 ? 'an error' : `${problems.length} errors`;
    super('rules_invalid', lines.join('\n'), `${count} in the rules: nothing was written`);
    this.problems = problems;
  }
}

/** The builtin chains of each table. */
export const BUILTIN: Readonly<Record<string, readonly string[]>> = {
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  raw: ['PREROUTING', 'OUTPUT'],
  security: ['INPUT', 'FORWARD', 'OUTPUT'],
};
