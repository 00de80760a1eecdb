/** Verdicts about threads that are silent, with clocks of their own. */
import { expect, test } from 'vitest';
import { Silence, type ThreadState, type Verdict } from '../../../src/gateway/engines/silence.ts';

const LIMITS = { silence: 1000, cpu: 300, sleep: 3000 };

/** Looks every `step` ms for `ms` at a thread that does not beat. `state`: at a time. The verdicts that are not the one before. */
function watch(ms: number, state: (time: number) => ThreadState, step = 200, limits = LIMITS) {
  const silence = new Silence(limits, 0, 1);
  const verdicts: [number, Verdict][] = [];
  for (let time = step; time <= ms; time += step) {
    const verdict = silence.judge(time, 1, () => state(time));
    if (verdicts.at(-1)?.[1] !== verdict) verdicts.push([time, verdict]);
  }
  return verdicts;
}

test('one that uses a processor is stuck after the limit, not before', () => {
  const verdicts = watch(2000, (time) => ({ cpu: time, state: '' }));
  expect(verdicts).toEqual([
    [200, 'silent'],
    [1000, 'stuck'],
  ]);
});

test('one that gets little of a processor is stuck later; one that gets none never is', () => {
  const slow = watch(8000, (time) => ({ cpu: time / 10, state: 'R' }));
  expect(slow).toEqual([
    [200, 'silent'],
    [3600, 'stuck'],
  ]);
  const none = watch(20_000, () => ({ cpu: 7, state: 'R' }));
  expect(none).toEqual([
    [200, 'silent'],
    [3000, 'starved'],
  ]);
});

test('one that sleeps is deadlocked after a while', () => {
  for (const state of ['S', 'D']) {
    expect(watch(10_000, () => ({ cpu: 7, state }))).toEqual([
      [200, 'silent'],
      [3400, 'deadlocked'],
    ]);
  }
  expect(watch(10_000, () => ({ cpu: 7, state: '' }))).toEqual([[200, 'silent']]);
});

test('one that is stopped is never more than that, and begins anew when it is let go', () => {
  const verdicts = watch(70_000, (time) => ({ cpu: 7, state: time < 60_000 ? 'T' : 'S' }));
  expect(verdicts).toEqual([
    [200, 'silent'],
    [1000, 'stopped'],
    [60_000, 'silent'],
    [63_400, 'deadlocked'],
  ]);
});

test('what the watcher slept through does not count', () => {
  const silence = new Silence(LIMITS, 0, 1);
  const look = () => ({ cpu: 0, state: '' });
  expect(silence.judge(200, 1, look)).toBe('silent');
  silence.judge(3_600_000, 1, look);
  expect(silence.ms).toBe(700);
});

test('a beat, and all is forgotten; before half of the limit nobody is looked at', () => {
  const silence = new Silence(LIMITS, 0, 1);
  let looks = 0;
  const look = () => ({ cpu: 1000 * ++looks, state: '' });
  for (let time = 200; time <= 400; time += 200) expect(silence.judge(time, 1, look)).toBe('silent');
  expect(looks).toBe(0);
  expect(silence.judge(600, 1, look)).toBe('silent');
  expect(silence.judge(800, 2, look)).toBe('alive');
  expect([looks, silence.ms]).toEqual([1, 0]);
  for (let time = 1000; time <= 1600; time += 200) expect(silence.judge(time, 2, look)).toBe('silent');
  expect(silence.judge(1800, 2, look)).toBe('stuck');
});

test('what takes longer by right has other limits', () => {
  const silence = new Silence(LIMITS, 0, 1);
  const long = { silence: 4000, cpu: 300, sleep: 9000 };
  for (let time = 200; time < 4000; time += 200) {
    expect(silence.judge(time, 1, () => ({ cpu: time, state: '' }), long)).toBe('silent');
  }
  expect(silence.judge(4000, 1, () => ({ cpu: 4000, state: '' }), long)).toBe('stuck');
});
