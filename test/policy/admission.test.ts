import { expect, test } from 'vitest';
import { reasonNames } from '../../src/core/reasons.ts';
import { admit, PRIVATE, PUBLIC } from '../../src/policy/admission.ts';

test.each([
  ['private', PRIVATE, 'public', PUBLIC, 'ok'],
  ['private', PRIVATE, 'private', PRIVATE, 'ok'],
  ['public', PUBLIC, 'private', PRIVATE, 'no_flow'],
  ['public', PUBLIC, 'public', PUBLIC, 'no_flow'],
])('a new flow from %s%.0s to %s%.0s: %s', (_, from, __, to, reason) => {
  expect(reasonNames[admit(from, to)]).toBe(reason);
});
