import { describe, expect, it } from 'vitest';
import { contenders } from '../../bench/net/contenders/index.ts';
import { leftOut, leftOutLines } from '../../bench/net/left-out.ts';
import { rowsOf } from '../../bench/net/types.ts';
import { workloads } from '../../bench/net/workloads/index.ts';

const contender = (name: string) => contenders.find((entry) => entry.name === name)!;
const workload = (name: string) => workloads.find((entry) => entry.name === name)!;

describe('what is left out', () => {
  it('is left out with a reason, of the contender or of the workload', () => {
    expect(leftOut(contender('natgate'), workload('new-udp-flows'))).toBeUndefined();
    expect(leftOut(contender('pasta'), workload('new-udp-flows'))).toContain('socket for each flow');
    expect(leftOut(contender('null-c'), workload('new-tcp-connections'))).toContain('no flows');
    expect(leftOut(contender('kernel'), workload('idle-cpu'))).toContain('no process');
  });

  it('never lacks one, nor are the two that matter left out of anything else', () => {
    for (const entry of contenders) {
      expect(entry.workloads === undefined).toBe(entry.limits === undefined);
    }
    const missing = ['natgate', 'kernel'].flatMap((name) =>
      workloads.filter((entry) => leftOut(contender(name), entry) !== undefined).map((entry) => entry.name),
    );
    expect(missing).toEqual(['idle-cpu']);
  });

  it('is said in one line for each reason', () => {
    expect(
      leftOutLines([
        { contender: 'a', workload: 'x', reason: 'it: cannot' },
        { contender: 'a', workload: 'y', reason: 'it: cannot' },
        { contender: 'a', workload: 'z', reason: 'another' },
      ]),
    ).toEqual(['a without x, y: it: cannot', 'a without z: another']);
  });
});

describe('the rows of a workload', () => {
  it('are itself, or its figures in its place', () => {
    expect(rowsOf(workload('tcp-out'))).toEqual([workload('tcp-out')]);
    expect(rowsOf(workload('rtt-idle')).map((row) => row.name)).toEqual([
      'rtt-idle-p50',
      'rtt-idle-p99',
      'rtt-idle-p999',
    ]);
  });

  it('have names that nothing else has', () => {
    const names = workloads.flatMap((entry) => rowsOf(entry).map((row) => row.name));
    expect(new Set(names).size).toBe(names.length);
  });

  it('come in an order in which nothing follows a workload that leaves flows behind but more of these', () => {
    const firstFresh = workloads.findIndex((entry) => entry.fresh);
    expect(workloads.slice(firstFresh).every((entry) => entry.fresh)).toBe(true);
  });
});
