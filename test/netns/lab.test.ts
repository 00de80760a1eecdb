/** `natgate lab` as a user runs it: it tells its story, and leaves nothing behind, interrupted or not. */
import { expect, it } from 'vitest';
import { MAIN } from './support/contender.ts';
import { natgateOnly } from './support/gateway.ts';
import { Background, run, sleep } from './support/process.ts';
import { namespacesOf, remainsOf } from './support/remains.ts';

natgateOnly('natgate lab', () => {
  const argv = [process.execPath, MAIN, 'lab', '--size', '48M'];

  it('downloads, verifies, pings, traces, is broken into in vain, and cleans up', async () => {
    const { stdout, stderr } = await run(argv, { timeoutMs: 90_000 });
    expect(stderr).toBe('');
    const lines = stdout.trimEnd().split('\n');
    expect(lines.map((line) => line.split(' ')[0]).filter(Boolean)).toEqual([
      ...['lab', 'gateway', 'download', 'seen', 'ping', 'trace', 'break-in', 'flows', 'stop', 'speed'],
    ]);
    expect(stdout).toContain('48.0 MiB in ');
    expect(stdout).toContain('SHA-256 verified');
    expect(stdout).toMatch(/^seen as +198\.18\.0\.1, says the server/m);
    expect(stdout).toMatch(/^ping +5 of 5 answered/m);
    expect(stdout).toMatch(/^trace +10\.77\.0\.1 \(the gateway\), then 198\.18\.0\.2$/m);
    expect(stdout).toContain('none reached the private host');
    expect(stdout).toMatch(
      /^ +tcp +10\.77\.0\.2:\d+ as 198\.18\.0\.1:\d+ to 198\.18\.0\.2:8000, .* out, 4\d\.\d MiB in/m,
    );
    expect(stdout).toMatch(/natgate [\d.]+ Gb\/s, the kernel with iptables [\d.]+ Gb\/s: ratio [\d.]+/);
    expect(await remainsOf('lab')).toEqual([]);
  });

  it.each([
    ['SIGINT', 'its first namespace is there', async () => (await namespacesOf('lab')).length > 0, 130],
    ['SIGINT', 'the gateway is there', async (lab: Background) => lab.stdout.includes('\ngateway '), 130],
    ['SIGTERM', 'it has pinged', async (lab: Background) => lab.stdout.includes('\nping '), 143],
  ] as const)('leaves nothing behind after %s as soon as %s', async (signal, _when, reached, code) => {
    const lab = new Background([...argv.slice(0, -1), '1G']);
    const deadline = Date.now() + 30_000;
    while (!(await reached(lab))) {
      if (Date.now() > deadline)
        throw new Error(`the lab did not come that far:\n${lab.stdout}${lab.stderr}`);
      await sleep(20);
    }
    expect(await lab.stop(signal, 20_000)).toBe(code);
    expect(lab.stderr).toBe('natgate lab: interrupted, all undone\n');
    expect(await remainsOf('lab')).toEqual([]);
  });

  it('leaves nothing behind when it is interrupted while it loads', async () => {
    const lab = new Background(argv);
    await sleep(30);
    expect(await lab.stop('SIGINT', 20_000)).toBe(130);
    expect(await remainsOf('lab')).toEqual([]);
  });
});
