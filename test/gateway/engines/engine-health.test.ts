import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type EngineHealth, HealthRecord } from '../../../src/gateway/engines/engine-health.ts';

beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2030, 0, 1) }));
afterEach(() => void vi.useRealTimers());

test('one death is no failing engine; the second before it was sound again is, until it is', () => {
  let written: EngineHealth | undefined;
  const record = new HealthRecord((health) => {
    written = health;
  });
  record.forwards();
  expect(written).toBeUndefined();
  record.died('one', 0);
  expect(written).toEqual({ deaths: 1, lastDeath: 'one', failingSince: null, quarantined: 0 });
  record.forwards();
  vi.advanceTimersByTime(9000);
  record.died('two', 1);
  expect(written).toEqual({
    ...{ deaths: 2, lastDeath: 'two', quarantined: 1 },
    failingSince: '2030-01-01T00:00:00.000Z',
  });
  vi.advanceTimersByTime(60_000);
  expect(written?.failingSince).not.toBeNull();
  record.forwards();
  vi.advanceTimersByTime(10_000);
  expect(written).toEqual({ deaths: 2, lastDeath: 'two', failingSince: null, quarantined: 1 });
  record.died('three', 1);
  expect(written?.failingSince).toBeNull();
  record.close();
});
