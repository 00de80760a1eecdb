import { describe, expect, it } from 'vitest';
import type { Child } from '../../bench/net/processes.ts';
import { Session } from '../../bench/net/session.ts';
import type { Topology } from '../../bench/net/topology.ts';
import type { Contender, Sample, Workload } from '../../bench/net/types.ts';

/** A contender and the topologies that were made for it, without a network. */
function stage(children: Partial<Child>[] = []) {
  const events: string[] = [];
  let made = 0;
  const create = async () => {
    const number = ++made;
    events.push(`create ${number}`);
    const close = async () => void events.push(`close ${number}`);
    return { number, notes: new Map(), carriers: [], close } as unknown as Topology;
  };
  const contender: Contender = {
    name: 'one',
    about: '',
    needs: [],
    start: async () => {
      events.push('start');
      return children as Child[];
    },
  };
  return { events, contender, session: new Session(contender, 3, create) };
}

function workload(name: string, run: Workload['run'], rest: Partial<Workload> = {}): Workload {
  const metric = { name, title: name, unit: 'x', better: 'higher', digits: 1 } as const;
  return { ...metric, needs: [], run, ...rest };
}

const measured = (value: number) => async (): Promise<Sample> => ({ value });
const options = { seconds: 0.5, warmUp: false };

describe('a contender during a round', () => {
  it('is started once for all workloads', async () => {
    const { events, session } = stage();
    const first = await session.measure({ ...options, workload: workload('a', measured(1)) });
    const second = await session.measure({ ...options, workload: workload('b', measured(2)) });
    await session.close();
    expect([...first, ...second]).toEqual([
      { round: 3, contender: 'one', workload: 'a', value: 1 },
      { round: 3, contender: 'one', workload: 'b', value: 2 },
    ]);
    expect(events).toEqual(['create 1', 'start', 'close 1']);
  });

  it('that failed is a reading, and is started anew for the next workload', async () => {
    const { events, session } = stage();
    const fails = async () => {
      throw new Error('no answer');
    };
    const [bad] = await session.measure({ ...options, workload: workload('a', fails) });
    expect(bad).toEqual({ round: 3, contender: 'one', workload: 'a', error: 'no answer' });
    const [good] = await session.measure({ ...options, workload: workload('b', measured(2)) });
    expect(good!.value).toBe(2);
    expect(events).toEqual(['create 1', 'start', 'close 1', 'create 2', 'start']);
  });

  it('that died is told by its last words, not by what the workload noticed', async () => {
    const { session } = stage([{ pid: 0, ended: 'exit 1', lastWords: () => 'out of luck' }]);
    const fails = async () => {
      throw new Error('no answer');
    };
    const [bad] = await session.measure({ ...options, workload: workload('a', fails) });
    expect(bad!.error).toBe('it ended meanwhile (exit 1): out of luck');
  });

  it('is new for a workload that needs it so, and for the one after it', async () => {
    const { events, session } = stage();
    await session.measure({ ...options, workload: workload('a', measured(1)) });
    await session.measure({ ...options, workload: workload('b', measured(1), { fresh: true }) });
    await session.measure({ ...options, workload: workload('c', measured(1)) });
    expect(events.filter((event) => event !== 'start')).toEqual([
      'create 1',
      'close 1',
      'create 2',
      'close 2',
      'create 3',
    ]);
  });

  it('keeps what a workload found out when it is started anew', async () => {
    const { session } = stage();
    const note = workload('a', async (topology) => {
      topology.notes.set('rate', 7);
      throw new Error('and failed');
    });
    await session.measure({ ...options, workload: note });
    const read = workload('b', async (topology) => ({ value: topology.notes.get('rate') ?? 0 }));
    expect((await session.measure({ ...options, workload: read }))[0]!.value).toBe(7);
  });
});

describe('a reading', () => {
  it('is one for each figure of the workload, also when it failed', async () => {
    const { session } = stage();
    const figures = ['rtt-p50', 'rtt-p99'].map((name) => ({
      ...({ name, title: name, unit: 'µs', better: 'lower', digits: 0 } as const),
    }));
    const values = { 'rtt-p50': 40, 'rtt-p99': 90 };
    const good = workload('rtt', async () => ({ value: 40, values }), { figures });
    expect((await session.measure({ ...options, workload: good })).map((r) => [r.workload, r.value])).toEqual(
      [
        ['rtt-p50', 40],
        ['rtt-p99', 90],
      ],
    );
    const bad = workload('rtt', async () => Promise.reject(new Error('lost')), { figures });
    expect((await session.measure({ ...options, workload: bad })).map((r) => r.error)).toEqual([
      'lost',
      'lost',
    ]);
  });

  it('names a tool that is missing, and what installs it', async () => {
    const { events, session } = stage();
    const needs = [{ command: 'no-such-command', package: 'some-package' }];
    const [reading] = await session.measure({ ...options, workload: workload('a', measured(1), { needs }) });
    expect(reading!.error).toMatch(/no-such-command missing: apt-get install .* some-package/);
    expect(events).toEqual([]);
  });

  it('warms up by a short run, or as the workload says', async () => {
    const { session } = stage();
    const lengths: number[] = [];
    const run = async (_: Topology, seconds: number) => ({ value: lengths.push(seconds) });
    await session.measure({ seconds: 2, warmUp: true, workload: workload('a', run) });
    expect(lengths).toEqual([0.3, 2]);
    const warmUp = async () => lengths.push(99);
    await session.measure({ seconds: 2, warmUp: true, workload: workload('b', run, { warmUp }) });
    expect(lengths).toEqual([0.3, 2, 99, 2]);
  });
});
