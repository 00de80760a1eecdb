/** What `natgate status` says in words of who stands by. */
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { statusText } from '../../src/cli/status-text.ts';
import type { Standby } from '../../src/gateway/engines/standby.ts';
import { STATUS } from '../gateway/control/support.ts';

const NOW = Date.parse('2030-01-01T00:00:00.000Z');
const at = (ms: number) => new Date(NOW + ms).toISOString();

function lineOf(standby: Standby, more = {}): string | undefined {
  const text = stripVTControlCharacters(statusText({ ...STATUS, ...more, standby }, NOW));
  return text.split('\n').find((line) => line.includes('standby:'));
}

test.each<[string, Standby]>([
  [`ready since ${at(-5000)}`, { state: 'ready', since: at(-5000), again: null }],
  ['loading', { state: 'loading', since: null, again: null }],
  ['failed, again in 8 s', { state: 'failed', since: null, again: at(7100) }],
  ['failed, again in 0 s', { state: 'failed', since: null, again: at(-900) }],
  ['off', { state: 'off', since: null, again: null }],
])('standby: %s', (said, standby) => {
  expect(lineOf(standby)).toBe(`  standby: ${said}`);
});

test('nothing of it where the gateway has stopped and lingers', () => {
  expect(lineOf({ state: 'off', since: null, again: null }, { lingersUntil: at(9) })).toBeUndefined();
});
