/** Who forwards, who stands by, and what becomes of deaths; with engines that are only pretended. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EngineHost } from '../../../src/gateway/engines/engine-host.ts';
import { EngineKeeper } from '../../../src/gateway/engines/engine-keeper.ts';
import type { EngineChild, EngineEvents } from '../../../src/gateway/engines/engine-process.ts';
import type { ControlMessage, StartMessage } from '../../../src/gateway/engines/messages.ts';
import type { Standby } from '../../../src/gateway/engines/standby.ts';

class FakeEngine implements EngineChild {
  readonly pid: number;
  readonly isReserve: boolean;
  readonly events: EngineEvents;
  isConnected = true;
  went: StartMessage | null = null;
  readonly told: ControlMessage[] = [];

  constructor(pid: number, isReserve: boolean, events: EngineEvents) {
    this.pid = pid;
    this.isReserve = isReserve;
    this.events = events;
  }
  go(settings: StartMessage): void {
    this.went = settings;
  }
  tell(message: ControlMessage): void {
    this.told.push(message);
  }
  async stop(): Promise<void> {
    this.die('stopped');
  }
  async kill(): Promise<void> {
    this.die('killed');
  }
  die(reason = 'killed by SIGKILL'): void {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.events.onEnd(reason);
  }
  /** Loads, and forwards if it is told to. */
  load(): void {
    this.events.onStandby();
  }
  forward(): void {
    expect(this.went).not.toBeNull();
    this.events.onReady();
  }
}

describe('the keeper of engines', () => {
  let engines: FakeEngine[];
  let happened: string[];
  let standbys: Standby[];
  let facts: number;

  beforeEach(() => {
    vi.useFakeTimers();
    engines = [];
    happened = [];
    standbys = [];
    facts = 0;
  });
  afterEach(() => void vi.useRealTimers());

  const keeper = (more: Partial<EngineHost> = {}) =>
    new EngineKeeper({
      fds: () => [],
      workers: 1,
      standby: true,
      settings: () => ({ facts: ++facts }) as unknown as StartMessage,
      onReady: () => happened.push('ready'),
      onBrokenQueue: () => happened.push('broken'),
      onQuarantine: () => true,
      onStandby: (standby) => standbys.push(standby),
      onDeath: (reason) => happened.push(`died: ${reason}`),
      onOutage: (isOne) => happened.push(isOne ? 'outage' : 'no outage'),
      emptyState: () => happened.push('emptied'),
      log: () => {},
      make: (_settings, isReserve, events) => {
        const engine = new FakeEngine(100 + engines.length, isReserve, events);
        engines.push(engine);
        return engine;
      },
      ...more,
    });

  /** Started, with a standby that is loaded. */
  const running = async (more: Partial<EngineHost> = {}) => {
    const kept = keeper(more);
    const start = kept.start();
    engines[0]!.load();
    engines[0]!.forward();
    await start;
    vi.advanceTimersByTime(2000);
    return kept;
  };

  it('lets the first engine go when it is loaded, with facts of that moment', async () => {
    const kept = keeper();
    const start = kept.start();
    expect(engines[0]).toMatchObject({ isReserve: false, went: null });
    kept.send({ type: 'routes', routes: [] });
    expect(engines[0]!.told).toEqual([]);
    engines[0]!.load();
    expect(engines[0]!.went).toEqual({ facts: 2 });
    kept.send({ type: 'routes', routes: [] });
    expect(engines[0]!.told).toHaveLength(1);
    engines[0]!.forward();
    await start;
    expect(kept.pid).toBe(100);
  });

  it('refuses to start where the first engine does not load, or does not go', async () => {
    for (const isLoaded of [false, true]) {
      engines = [];
      const start = keeper().start();
      if (isLoaded) engines[0]!.load();
      engines[0]!.die('no memory');
      await expect(start).rejects.toMatchObject({
        code: 'engine_failed',
        message: 'the packet engine did not start: no memory',
      });
      expect(engines).toHaveLength(1);
    }
  });

  it('ends an engine that never loads: the start fails, and says what may be the reason', async () => {
    const failing = keeper().start();
    const failed = expect(failing).rejects.toMatchObject({
      code: 'engine_failed',
      message: 'the packet engine did not start: it was not ready after 90 s',
      hint: expect.stringContaining('pids.max'),
    });
    await vi.advanceTimersByTimeAsync(89_000);
    expect(engines[0]!.isConnected).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(engines[0]!.isConnected).toBe(false);
    await failed;
  });

  it('ends an engine that never loads while none forwards, and makes another', async () => {
    const kept = await running();
    engines[0]!.die();
    expect(engines).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(90_100);
    expect(engines[1]!.isConnected).toBe(false);
    expect(engines).toHaveLength(3);
    engines[2]!.load();
    engines[2]!.forward();
    expect(happened.at(-1)).toBe('ready');
    await vi.advanceTimersByTimeAsync(200_000);
    expect(engines[2]!.isConnected).toBe(true);
    await kept.stop();
  });

  it.each([
    ['spawn node EAGAIN', 'pids.max'],
    ['socketpair EMFILE', 'ulimit -n'],
    ['killed by SIGABRT', 'TasksMax='],
    ['exit code 7', ''],
  ])('says what helps where the first one fails by %j', async (reason, hint) => {
    const failing = keeper().start();
    engines[0]!.die(reason);
    const error = await failing.catch((caught) => caught);
    expect(error.hint).toContain(hint);
    expect(error.hint === '').toBe(hint === '');
  });

  it('has another one stand by a little later, which hears nothing', async () => {
    const kept = await running();
    expect(engines).toHaveLength(2);
    expect(engines[1]).toMatchObject({ isReserve: true, went: null });
    expect(kept.standbyPid).toBeNull();
    engines[1]!.load();
    expect(kept.standbyPid).toBe(101);
    kept.send({ type: 'routes', routes: [] });
    expect(engines.map(({ told }) => told.length)).toEqual([1, 0]);
    expect(kept.pid).toBe(100);
  });

  it('says how the one that stands by is, each time that it is otherwise', async () => {
    const states = () => standbys.splice(0).map(({ state }) => state);
    const kept = await running();
    expect(states()).toEqual(['loading']);
    engines[1]!.load();
    const since = new Date().toISOString();
    expect(standbys.splice(0)).toEqual([{ state: 'ready', since, again: null }]);
    engines[1]!.die('no memory');
    const again = new Date(Date.now() + 2000).toISOString();
    expect(standbys.splice(0)).toEqual([{ state: 'failed', since: null, again }]);
    vi.advanceTimersByTime(2000);
    expect(states()).toEqual(['loading']);
    engines[2]!.load();
    expect(states()).toEqual(['ready']);
    // It takes over, and the next one is made.
    engines[0]!.die();
    expect(states()).toEqual(['loading']);
    engines[2]!.forward();
    vi.advanceTimersByTime(500);
    engines[3]!.load();
    expect(states()).toEqual(['ready']);
    expect(kept.standbyPid).toBe(103);
    expect(happened).not.toContain('outage');
    await kept.renew();
    expect(states()).toEqual(['loading']);
    expect(happened.at(-1)).toBe('outage');
  });

  it('says nothing of a standby where none is wanted', async () => {
    await running({ standby: false });
    engines[0]!.die();
    engines[1]!.load();
    engines[1]!.forward();
    expect(standbys).toEqual([]);
  });

  it('says when nobody reads the queues for longer, and when that is over', async () => {
    await running({ standby: false });
    engines[0]!.die();
    expect(happened).toEqual(['outage', 'died: killed by SIGKILL']);
    engines[1]!.load();
    engines[1]!.forward();
    vi.advanceTimersByTime(1999);
    expect(happened.at(-1)).toBe('ready');
    vi.advanceTimersByTime(1);
    expect(happened.at(-1)).toBe('no outage');
  });

  it('tells the standby to go in the same moment in which the engine dies', async () => {
    const kept = await running();
    engines[1]!.load();
    engines[0]!.die();
    expect(engines[1]!.went).not.toBeNull();
    expect(kept.pid).toBe(101);
    expect(happened).toEqual(['died: killed by SIGKILL']);
    engines[1]!.forward();
    expect(happened.at(-1)).toBe('ready');
    vi.advanceTimersByTime(500);
    expect(engines[2]).toMatchObject({ isReserve: true });
  });

  it('waits for a standby that is still loading', async () => {
    await running();
    engines[0]!.die();
    expect(engines).toHaveLength(2);
    expect(engines[1]!.went).toBeNull();
    engines[1]!.load();
    expect(engines[1]!.went).not.toBeNull();
  });

  it('makes an engine at once where none stands by', async () => {
    await running({ standby: false });
    vi.advanceTimersByTime(100_000);
    expect(engines).toHaveLength(1);
    engines[0]!.die();
    expect(engines[1]).toMatchObject({ isReserve: false });
    engines[1]!.load();
    engines[1]!.forward();
    expect(happened.at(-1)).toBe('ready');
  });

  it('lets deaths that follow each other wait, and empties the state at the fifth', async () => {
    await running({ standby: false });
    const pauses: number[] = [];
    for (let death = 1; death <= 9; death++) {
      const engine = engines.at(-1)!;
      const before = engines.length;
      engine.die();
      let pause = 0;
      for (; engines.length === before; pause += 10) vi.advanceTimersByTime(10);
      pauses.push(pause);
      engines.at(-1)!.load();
      engines.at(-1)!.forward();
      expect(happened.filter((what) => what === 'emptied')).toHaveLength(death < 5 ? 0 : 1);
    }
    expect(pauses).toEqual([0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    vi.advanceTimersByTime(2000);
    const before = engines.length;
    engines.at(-1)!.die();
    expect(engines).toHaveLength(before + 1);
  });

  it('empties the state before anybody goes', async () => {
    const order: string[] = [];
    await running({ standby: false, emptyState: () => order.push('emptied') });
    for (let death = 1; death <= 5; death++) {
      engines.at(-1)!.die();
      expect(order).toEqual(death < 5 ? [] : ['emptied']);
      if (death === 5) expect(engines.at(-1)!.isConnected).toBe(false);
      vi.advanceTimersByTime(1000);
      engines.at(-1)!.load();
      engines.at(-1)!.forward();
    }
  });

  it('replaces a standby that dies, more and more slowly, and the engine goes on', async () => {
    const kept = await running();
    const pauses: number[] = [];
    for (let round = 0; round < 7; round++) {
      const before = engines.length;
      engines.at(-1)!.die('out of memory');
      let pause = 0;
      for (; engines.length === before; pause += 1000) vi.advanceTimersByTime(1000);
      pauses.push(pause);
    }
    expect(pauses).toEqual([2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    expect(kept.pid).toBe(100);
    expect(happened).toEqual([]);
  });

  it('counts a standby that dies while it is wanted as a death', async () => {
    await running();
    engines[0]!.die();
    engines[1]!.die('no memory');
    expect(engines).toHaveLength(2);
    vi.advanceTimersByTime(100);
    expect(engines[2]).toMatchObject({ isReserve: false });
    expect(happened.filter((what) => what.startsWith('died'))).toEqual([
      'died: killed by SIGKILL',
      'died: no memory',
    ]);
  });

  it('says of an engine that died that it answers nothing', async () => {
    const kept = await running();
    const answers = Promise.all([kept.deleteFlows(0, new Int32Array(2)), kept.tap([])]);
    engines[0]!.die();
    expect(await answers).toEqual([null, undefined]);
    expect(await kept.reconfigure({} as never)).toBeNull();
  });

  it('hears of what it asked from the engine that forwards only', async () => {
    const kept = await running();
    let count: number | null | undefined;
    void kept.deleteFlows(0, new Int32Array(2)).then((answer) => {
      count = answer;
    });
    engines[1]!.events.onNews({ type: 'deletedFlows', id: 1, count: 9 });
    await Promise.resolve();
    expect(count).toBeUndefined();
    engines[0]!.events.onNews({ type: 'deletedFlows', id: 1, count: 1 });
    await Promise.resolve();
    expect(count).toBe(1);
  });

  it('stops both, and makes no more', async () => {
    const kept = await running();
    engines[1]!.load();
    await kept.stop();
    expect(engines.map(({ isConnected }) => isConnected)).toEqual([false, false]);
    vi.advanceTimersByTime(100_000);
    expect(engines).toHaveLength(2);
  });

  it('can be suspended, with the standby ready to go on', async () => {
    const kept = await running();
    engines[1]!.load();
    await kept.suspend();
    expect(kept.pid).toBeNull();
    expect(engines[1]!.went).toBeNull();
    expect(happened).toEqual([]);
    kept.resume();
    expect(engines[1]!.went).not.toBeNull();
    engines[1]!.forward();
    expect(kept.pid).toBe(101);
  });

  it('waits with the first engine for what must come before, and fails with it', async () => {
    const kept = keeper();
    let release!: () => void;
    const start = kept.start(() => new Promise((resolve) => (release = resolve)));
    engines[0]!.load();
    await Promise.resolve();
    expect(engines[0]!.went).toBeNull();
    release();
    await vi.advanceTimersByTimeAsync(0);
    engines[0]!.forward();
    await start;
    const other = keeper();
    const failing = other.start(() => Promise.reject(new Error('not yet')));
    engines.at(-1)!.load();
    await expect(failing).rejects.toThrow('not yet');
  });
});
