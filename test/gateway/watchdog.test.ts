import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ServiceManager } from '../../src/gateway/notify.ts';
import { feedWatchdog } from '../../src/gateway/watchdog.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
afterEach(() => void vi.useRealTimers());

test('the interval is the one that the manager gives this process', () => {
  const asked = { NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '3000000' };
  expect(new ServiceManager(asked).watchdogMs).toBe(3000);
  expect(new ServiceManager({ ...asked, WATCHDOG_PID: '7' }, 7).watchdogMs).toBe(3000);
  expect(new ServiceManager({ ...asked, WATCHDOG_PID: '8' }, 7).watchdogMs).toBe(0);
  expect(new ServiceManager({ NOTIFY_SOCKET: '/x' }).watchdogMs).toBe(0);
  expect(new ServiceManager({ WATCHDOG_USEC: '3000000' }).watchdogMs).toBe(0);
});

test('fed while the heartbeat moves, a few seconds longer, and again when it moves again', () => {
  let heartbeat = 0;
  let fed = 0;
  const manager = { watchdogMs: 3000, alive: () => void fed++ } as unknown as ServiceManager;
  const watchdog = feedWatchdog(manager, [() => heartbeat]);
  const seconds = (count: number) => {
    const before = fed;
    vi.advanceTimersByTime(1000 * count);
    return fed - before;
  };
  for (let i = 0; i < 5; i++) {
    heartbeat++;
    expect(seconds(1)).toBe(1);
  }
  expect(seconds(3)).toBe(3);
  expect(seconds(10)).toBe(0);
  heartbeat++;
  expect(seconds(1)).toBe(1);
  watchdog.close();
  heartbeat++;
  expect(seconds(10)).toBe(0);
});

test('nobody is told anything who did not ask', () => {
  const alive = vi.fn();
  feedWatchdog({ watchdogMs: 0, alive } as unknown as ServiceManager, [() => 1]).close();
  vi.advanceTimersByTime(60_000);
  expect(alive).not.toHaveBeenCalled();
});

test('one worker of several that is silent is enough', () => {
  const beats = [0, 0];
  let fed = 0;
  const manager = { watchdogMs: 3000, alive: () => void fed++ } as unknown as ServiceManager;
  const watchdog = feedWatchdog(
    manager,
    beats.map((_, worker) => () => beats[worker]!),
  );
  for (let second = 0; second < 10; second++) {
    beats[0]!++;
    vi.advanceTimersByTime(1000);
  }
  expect(fed).toBe(3);
  watchdog.close();
});
