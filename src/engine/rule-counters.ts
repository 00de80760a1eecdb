/**
 * The counters of the firewall's rules, in the state: other processes read them, and they outlive an engine. A row for each
 * rule, then one for each default, two numbers each: flows, bytes of their first packets. Which rule is which, the run record says.
 *
 * Invariant: a word of the header has a hash of the rules' names. Counters of other rules than the present ones are not taken over.
 */
import type { Firewall } from '../policy/firewall/firewall.ts';
import { COUNTER } from '../policy/firewall/program.ts';
import { S_RULES, type State } from './state.ts';

/** What a firewall rule, or a default, has matched. */
export interface RuleCount {
  /** `rule`, `chain/rule`, or `default/direction`. */
  name: string;
  /** First packets that matched. */
  flows: number;
  /** Their bytes. */
  bytes: number;
}

export class RuleCounters {
  private readonly header: Int32Array;
  private readonly rows: Float64Array;

  constructor({ header, rules }: State) {
    this.header = header;
    this.rows = rules;
  }

  /** The first firewall of an engine: what an earlier one counted goes on, if it had the same rules. */
  adopt(firewall: Firewall): void {
    const names = hashOf(firewall.names);
    if (this.header[S_RULES] !== names) this.rows.fill(0);
    this.header[S_RULES] = names;
    firewall.share(this.rows);
  }

  /** Another firewall: what rules of the same name counted goes on. */
  replace(before: Firewall, after: Firewall): void {
    const known = new Map(readRuleCounters(before.names, [this.rows]).map((row) => [row.name, row]));
    this.rows.fill(0);
    for (const [i, name] of after.names.entries()) {
      this.rows[i * COUNTER] = known.get(name)?.flows ?? 0;
      this.rows[i * COUNTER + 1] = known.get(name)?.bytes ?? 0;
    }
    this.header[S_RULES] = hashOf(after.names);
    after.share(this.rows);
  }
}

/** Over all workers, in the order of the rules. */
export function readRuleCounters(names: readonly string[], states: readonly Float64Array[]): RuleCount[] {
  return names.map((name, i) => {
    const sum = (word: number) => states.reduce((total, rows) => total + rows[i * COUNTER + word]!, 0);
    return { name, flows: sum(0), bytes: sum(1) };
  });
}

/** Not zero, which is what a new state has. */
function hashOf(names: readonly string[]): number {
  let hash = 1;
  for (const character of names.join('\n')) hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193);
  return hash | 1;
}
