import { describe, expect, it } from 'vitest';
import { contenders } from '../../bench/net/contenders/index.ts';
import { parseOptions } from '../../bench/net/options.ts';
import { workloads } from '../../bench/net/workloads/index.ts';

const names = (entries: readonly { name: string }[]) => entries.map((entry) => entry.name);

describe('options', () => {
  it('measures everything by default', () => {
    const options = parseOptions([]);
    expect(names(options.contenders)).toEqual(names(contenders));
    expect(names(options.workloads)).toEqual(names(workloads));
    expect(options).toMatchObject({ rounds: 5, seconds: 1, warmUp: true, write: false });
  });

  it('chooses contenders, workloads or both', () => {
    const some = parseOptions(['--only', 'kernel,pasta']);
    expect(names(some.contenders)).toEqual(['kernel', 'pasta']);
    expect(names(some.workloads)).toEqual(names(workloads));
    const one = parseOptions(['--only', 'rtt-idle']);
    expect(names(one.contenders)).toEqual(names(contenders));
    expect(names(one.workloads)).toEqual(['rtt-idle']);
  });

  it('has a short run for CI', () => {
    const options = parseOptions(['--smoke']);
    expect(names(options.contenders)).toEqual(['natgate', 'kernel', 'null-c']);
    expect(names(options.workloads)).toEqual(['tcp-out', 'rtt-idle', 'udp-18']);
    expect(options).toMatchObject({ rounds: 1, seconds: 0.5, warmUp: false });
  });

  it.each([
    [['--only', 'kernle'], 'kernle'],
    [['--rounds', '0'], '--rounds'],
    [['--rounds', '1.5'], '--rounds'],
    [['--seconds', 'x'], '--seconds'],
    [['--smoke', '--write'], '--smoke'],
    [['--frobnicate'], 'frobnicate'],
    [['stray'], 'stray'],
  ])('refuses %j', (args, part) => {
    expect(() => parseOptions(args)).toThrow(expect.objectContaining({ code: 'BENCH_USAGE' }));
    expect(() => parseOptions(args)).toThrow(part);
  });

  it('knows every workload that a contender restricts itself to', () => {
    for (const name of contenders.flatMap((contender) => contender.workloads ?? [])) {
      expect(names(workloads)).toContain(name);
    }
  });
});
