/**
 * A filter as the program that the engine asks of a packet (engine/tap-filter.ts). `not` is moved to the tests; one that the engine
 * cannot make is taken as met, either way round. So the program lets through what the filter means, and perhaps more: readers look again
 * with packetMatcher(), unless `isExact`.
 *
 * Code is made from the end, so that a test knows where to go on: the tests of an `and` fall through to the next one, or out.
 */
import { NatgateError } from '../../core/errors.ts';
import {
  IS_DESTINATION,
  IS_DESTINATION_PORT,
  IS_PROTOCOL,
  IS_SOURCE,
  IS_SOURCE_PORT,
  NO,
  TEST,
  YES,
} from '../../engine/tap-filter.ts';
import { prefixMask } from '../../wire/address.ts';
import type { Filter, Test } from './filter.ts';

/** Tests that the engine is given at most. */
export const MAX_TESTS = 256;

export interface EngineFilter {
  /** For meets(): of a packet as it came, or as it left. Empty: everything. */
  program: number[];
  /** The program decides alone. */
  isExact: boolean;
}

/** Throws NatgateError `filter_invalid` when it is too long for the engine. */
export function compileForEngine(filter: Filter): EngineFilter {
  const code = new Code();
  const first = code.build(filter, false, YES, NO);
  return { program: code.placed(first), isExact: code.isExact };
}

class Code {
  isExact = true;
  /** Tests in the order they were made: from the last to the first. A number is YES, NO, or one of these. */
  private readonly tests: [number, number, number, number, number][] = [];

  /** Makes what decides `filter` (or its opposite); returns where that begins. */
  build(filter: Filter, negated: boolean, yes: number, no: number): number {
    if (filter.kind === 'not') return this.build(filter.of, !negated, yes, no);
    if ('of' in filter) {
      const isAnd = (filter.kind === 'and') !== negated;
      let next = isAnd ? yes : no;
      for (const part of filter.of.toReversed()) {
        next = isAnd ? this.build(part, negated, next, no) : this.build(part, negated, yes, next);
      }
      return next;
    }
    const [kind, parts] = literals(filter);
    if (kind === 'unknown') {
      this.isExact = false;
      return yes;
    }
    let next = negated ? yes : no;
    for (const part of parts.toReversed()) next = this.push(part, negated ? no : yes, next);
    return next;
  }

  private push(test: readonly [number, number, number], yes: number, no: number): number {
    if (this.tests.length === MAX_TESTS) {
      throw new NatgateError('filter_invalid', `the filter has more than ${MAX_TESTS} tests`, 'use networks');
    }
    return this.tests.push([...test, yes, no]) - 1;
  }

  /** In the order of running, `first` first, with places for numbers. */
  placed(first: number): number[] {
    if (first === YES) return [];
    const { tests } = this;
    // Never met: a test that leads to NO either way.
    if (first === NO) return [IS_PROTOCOL, 0, 0, NO, NO];
    const place = (number: number): number => (number < 0 ? number : (first - number) * TEST);
    return tests
      .slice(0, first + 1)
      .toReversed()
      .flatMap(([kind, a, b, yes, no]) => [kind, a, b, place(yes), place(no)]);
  }
}

/** What is true when one of `parts` is. */
function literals(test: Test): ['any' | 'unknown', readonly (readonly [number, number, number])[]] {
  if (test.kind === 'protocol') return ['any', [[IS_PROTOCOL, test.protocol, 0]]];
  if (test.kind === 'address') {
    const { address, length } = test.network;
    const is = (kind: number) => [kind, address, prefixMask(length)] as const;
    // Of a packet, the answer is its inverse.
    if (test.at === 'source' || test.at === 'replyDestination') return ['any', [is(IS_SOURCE)]];
    if (test.at === 'destination' || test.at === 'replySource') return ['any', [is(IS_DESTINATION)]];
    if (test.at === 'host') return ['any', [is(IS_SOURCE), is(IS_DESTINATION)]];
  }
  if (test.kind === 'port') {
    const is = (kind: number) => [kind, test.first, test.last] as const;
    if (test.at === 'source' || test.at === 'replyDestination') return ['any', [is(IS_SOURCE_PORT)]];
    if (test.at === 'destination' || test.at === 'replySource') return ['any', [is(IS_DESTINATION_PORT)]];
    if (test.at === 'any') return ['any', [is(IS_SOURCE_PORT), is(IS_DESTINATION_PORT)]];
  }
  return ['unknown', []];
}
