/** `natgate bench` as a user runs it: a table or JSON, and nothing left behind, interrupted or not. */
import { expect, it } from 'vitest';
import { MAIN } from './support/contender.ts';
import { natgateOnly } from './support/gateway.ts';
import { Background, run } from './support/process.ts';
import { remainsOf } from './support/remains.ts';

natgateOnly('natgate bench', () => {
  const argv = [process.execPath, MAIN, 'bench', '--rounds', '1'];

  it('measures everything on natgate and the kernel, and cleans up', async () => {
    const { stdout } = await run([...argv, '--only', 'kernel', '--json'], { timeoutMs: 90_000 });
    const { figures, readings, rounds } = JSON.parse(stdout);
    expect(rounds).toBe(1);
    expect(readings.filter((reading: { error?: string }) => reading.error !== undefined)).toEqual([]);
    const pairs = figures.map((f: { contender: string; workload: string }) => `${f.workload} ${f.contender}`);
    expect(pairs).toEqual(
      ['tcp-out', 'tcp-in', 'tcp-8', 'udp', 'rtt', 'connections'].flatMap((workload) => [
        `${workload} natgate`,
        `${workload} kernel`,
      ]),
    );
    for (const { median, ratio } of figures) {
      expect(median).toBeGreaterThan(0);
      expect(ratio).toBeGreaterThan(0);
    }
    expect(await remainsOf('bench')).toEqual([]);
  });

  it('shows a table, and says what it was measured with', async () => {
    const { stdout } = await run([...argv, '--only', 'kernel,rtt'], { timeoutMs: 60_000 });
    expect(stdout).toMatch(/^ +natgate +kernel +ratio$/m);
    expect(stdout).toMatch(/^Round trip, median, µs +\d+ \(\d+ - \d+\) +\d+ \(\d+ - \d+\) +[\d.]+$/m);
    expect(stdout).toContain('Round trip: ping, one every 2 ms');
    expect(stdout).not.toContain('TCP');
    expect(await remainsOf('bench')).toEqual([]);
  });

  it.each([
    ['SIGINT', 130, /round 1 of 1: TCP out$/m],
    ['SIGTERM', 143, /round 1 of 1: New TCP connections/],
  ] as const)('leaves nothing behind after %s', async (signal, code, reached) => {
    const bench = new Background([...argv, '--only', 'kernel,tcp-out,connections']);
    await bench.shows(reached, 60_000);
    expect(await bench.stop(signal, 20_000)).toBe(code);
    expect(bench.stderr).toMatch(/natgate bench: interrupted, all undone\n$/);
    expect(bench.stdout).toBe('');
    expect(await remainsOf('bench')).toEqual([]);
  });
});
