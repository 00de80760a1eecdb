import { expect, test } from 'vitest';
import * as reasons from '../../src/core/reasons.ts';
import { DEVICES, DROPS } from '../../src/engine/counters.ts';

const { REASON_COUNT, reasonMeanings, reasonNames, ...constants } = reasons;

test('a constant is the number of its name', () => {
  for (const [name, number] of Object.entries(constants)) {
    expect(reasonNames[number as number]).toBe(name.toLowerCase());
  }
  expect(Object.keys(constants)).toHaveLength(REASON_COUNT);
});

test('names are unique words of metrics, each with a meaning', () => {
  expect(reasons.OK).toBe(0);
  expect(new Set(reasonNames).size).toBe(REASON_COUNT);
  expect(new Set(reasonMeanings).size).toBe(REASON_COUNT);
  for (const name of reasonNames) expect(name).toMatch(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
  for (const meaning of reasonMeanings) expect(meaning).toMatch(/^\S.{5,110}\S$/);
});

test('they fit where the counters have room for them', () => {
  expect(DROPS + REASON_COUNT).toBeLessThanOrEqual(DEVICES);
});
