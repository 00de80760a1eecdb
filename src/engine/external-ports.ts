/**
 * External ports for what helpers announce: reserved from the mappings before a flow comes, by the rule of the flow that
 * announces it.
 */
import { C_MAPPING, COLD, H_STATUS, HOT, RULE_SHIFT } from '../conntrack/flow-table.ts';
import { NOT_EXTERNAL } from '../nat/external-addresses.ts';
import { NO_MAPPING } from '../nat/mappings.ts';
import type { Sessions } from './sessions.ts';

export class ExternalPorts {
  private readonly sessions: Sessions;

  constructor(sessions: Sessions) {
    this.sessions = sessions;
  }

  /** Whether an address gives out ports; one of a 1:1 pair has those of its internal address. */
  gives(external: number): boolean {
    return this.sessions.mappings.externals.numberOf(external) !== NOT_EXTERNAL;
  }

  /**
   * The mapping of an internal endpoint on `external`, announced by flow `master`, with one reference more; a new one has the
   * external port `preferred`, if that is free. Ports in wire order. -1 when there is none.
   */
  acquire(
    master: number,
    external: number,
    protocol: number,
    address: number,
    port: number,
    preferred: number,
  ): number {
    const { mappings } = this.sessions;
    const number = mappings.externals.numberOf(external);
    const rule = this.ruleOf(master);
    if (number === NOT_EXTERNAL || rule < 0) return NO_MAPPING;
    return mappings.reserve(rule, number, protocol, address, port, preferred);
  }

  externalPort(mapping: number): number {
    return this.sessions.mappings.externalPort(mapping);
  }

  /** Gives one reference back. */
  release(mapping: number): void {
    this.sessions.mappings.release(mapping, this.sessions.now, false);
  }

  /** The rule of the flow that announces; that of a forward has none, and takes the first one that translates. */
  private ruleOf(master: number): number {
    const { table, rules } = this.sessions;
    const mapping = table.cold[master * COLD + C_MAPPING]!;
    if (mapping !== NO_MAPPING) return this.sessions.mappings.table.ruleOf(mapping);
    const own = table.hot[master * HOT + H_STATUS]! >>> RULE_SHIFT;
    if (rules.rules[own]?.translates === true) return own;
    return rules.firstTranslating;
  }
}
