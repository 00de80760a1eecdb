/** What an import has made so far: for each part of the file, values with the rules they come from, and rules without a value. */
import type { Rule } from './syntax.ts';

/** A line of a list, or only comments. */
export interface Entry {
  comments: string[];
  value?: unknown;
}

export interface Counts {
  carried: number;
  /** natgate does it without being told, or it can never happen. */
  needless: number;
  host: number;
  /** Not carried, and nothing else is allowed than before. */
  harmless: number;
  /** Not carried, or in part: what is allowed differs. */
  changed: number;
}

export class Report {
  readonly counts: Counts = { carried: 0, needless: 0, host: 0, harmless: 0, changed: 0 };
  /** Of what is not carried, a line each. */
  readonly lines: string[] = [];

  carried(rule: Rule): string[] {
    this.counts.carried++;
    return [label(rule)];
  }

  needless(rule: Rule, why: string): string[] {
    this.counts.needless++;
    return [`${label(rule)}`, `   nothing to do: ${why}`];
  }

  host(): void {
    this.counts.host++;
  }

  lost(rule: Rule, why: string, changes = true): string[] {
    this.counts[changes ? 'changed' : 'harmless']++;
    this.lines.push(`line ${rule.line}: ${rule.text}: ${why}`);
    return [`NOT CARRIED ${label(rule)}`, `   ${why}`];
  }

  /** Carried, but for something. */
  partly(rule: Rule, why: string): string[] {
    this.counts.changed++;
    this.lines.push(`line ${rule.line}: ${rule.text}: ${why}`);
    return [label(rule), `   NOT ALL OF IT: ${why}`];
  }

  /** Of no rule in particular. */
  differs(why: string): string {
    this.counts.changed++;
    this.lines.push(why);
    return why;
  }
}

export function label({ table, text }: Rule): string {
  return table === 'filter' ? text : `-t ${table} ${text}`;
}
