/** What a chaos run calls a violation. */
import { describe, expect, it } from 'vitest';
import type { Done } from './done.ts';
import { gapOf, judge, type Struck } from './verdict.ts';

const LIMIT = 10_000;

function done(fields: Partial<Done> = {}): Done {
  const kind = 'quick down';
  return {
    id: 1,
    port: 9,
    kind,
    begin: 0,
    end: 5000,
    bytes: 100,
    error: '',
    wrong: false,
    stall: 10,
    stallAt: 20,
    ...fields,
  };
}

function struck(mayBreak: Struck['mayBreak'], begin: number, end: number, failure = ''): Struck {
  return { name: 'it', mayBreak, begin, end, gap: 0, late: 0, detail: '', failure };
}

const violations = (ones: Done[], disasters: Struck[]) => judge(ones, disasters, LIMIT).violations;

describe('a transfer', () => {
  it('is right, and counts', () => {
    const query = done({ kind: 'query', bytes: 64 });
    expect(judge([done(), query], [], LIMIT)).toEqual({
      transfers: 1,
      queries: 1,
      bytes: 164,
      byDesign: 0,
      broken: [],
      longestStall: 10,
      violations: [],
    });
  });

  it('with wrong bytes is a violation whatever happened', () => {
    const wrong = done({ wrong: true, error: 'another hash' });
    expect(violations([wrong], [struck('tcp', 0, 9000)])).toEqual([
      'quick down 1 (port 9, 5.0 s): another hash',
    ]);
  });

  it('may break by what lets it, and by nothing else', () => {
    const broken = done({ begin: 3000, end: 8000, error: 'ECONNRESET' });
    expect(violations([broken], [])).toHaveLength(1);
    expect(violations([broken], [struck('nothing', 4000, 5000)])).toEqual([
      'quick down 1 (port 9, 5.0 s): ECONNRESET, 4.0 s after it began',
    ]);
    expect(violations([broken], [struck('new', 6000, 7000)])).toHaveLength(1);
    expect(violations([broken], [struck('new', 2500, 3500)])).toEqual([]);
    expect(violations([broken], [struck('tcp', 6000, 7000)])).toEqual([]);
    // Over before it began; after it had ended.
    expect(violations([broken], [struck('tcp', 100, 1000)])).toHaveLength(1);
    expect(violations([broken], [struck('tcp', 9000, 9500)])).toHaveLength(1);
    expect(judge([broken], [struck('tcp', 6000, 7000)], LIMIT).byDesign).toBe(1);
  });

  it('must not stand still for longer than the limit and what disasters took', () => {
    const slow = done({ end: 60_000, stall: 15_000, stallAt: 40_000 });
    expect(violations([slow], [])).toEqual(['quick down 1 (port 9, 60.0 s): stood still for 15.0 s']);
    expect(violations([slow], [struck('nothing', 26_000, 29_000)])).toEqual([]);
    expect(violations([slow], [struck('nothing', 5000, 20_000)])).toHaveLength(1);
  });
});

it('a disaster that failed is a violation', () => {
  expect(violations([], [struck('nothing', 0, 1, 'no engine')])).toEqual(['it: no engine']);
});

it('the gap of a disaster is the longest that touches it', () => {
  const gaps = [
    { from: 0, to: 900, late: 1 },
    { from: 1000, to: 1300, late: 2 },
    { from: 1900, to: 2500, late: 3 },
  ];
  expect(gapOf(gaps, 1100, 2000)).toEqual({ gap: 600, late: 3 });
  expect(gapOf(gaps, 1100, 1800)).toEqual({ gap: 300, late: 2 });
  expect(gapOf(gaps, 3000, 4000)).toEqual({ gap: 0, late: 0 });
});
