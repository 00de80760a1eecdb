/** What a rule asks of a packet, each about one property of it; all must hold. */
import type { IcmpMatch } from '../../policy/firewall-config.ts';
import type { Ranges } from './ranges.ts';

export type Test =
  /** `+` at the end of a name: all that begin so. */
  | { on: 'in' | 'out'; names: readonly string[]; not: boolean }
  /** `set`: the name that stands for the ranges. */
  | { on: 'from' | 'to'; ranges: Ranges; not: boolean; set?: string }
  | { on: 'protocol'; values: readonly number[]; not: boolean }
  | { on: 'sport' | 'dport' | 'anyport'; ranges: Ranges; not: boolean }
  | { on: 'icmp'; type: IcmpMatch; not: boolean }
  /** NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED, DNAT, SNAT: one of them. */
  | { on: 'state'; states: readonly string[]; not: boolean }
  | { on: 'flags'; mask: number; value: number; not: boolean }
  /** May hold or not, whatever the packet is: limits, counts, times. In the file's words. */
  | { on: 'chance'; key: 'limit' | 'connections' | 'time'; value: Record<string, unknown>; text: string };

export interface Reading {
  tests: Test[];
  /** The same in two parts, where some are asked after a limit (limit-order.ts); else null. */
  parts: { first: Test[]; late: Test[] } | null;
  /** Nothing can match: why. */
  never: string | null;
  /** Cannot be told by natgate: why. */
  lost: string | null;
  comment: string | null;
}

export type Sets = ReadonlyMap<string, Ranges>;

/** What a test about that property is. */
export type TestOn<K extends Test['on']> = Test extends infer T
  ? T extends { on: infer On }
    ? K extends On
      ? T
      : never
    : never
  : never;

export function testsOn<K extends Test['on']>(tests: readonly Test[], on: K): TestOn<K>[] {
  return tests.filter((test) => test.on === on) as unknown as TestOn<K>[];
}
