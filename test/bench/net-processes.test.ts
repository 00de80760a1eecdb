import { describe, expect, it } from 'vitest';
import { family } from '../../bench/net/proc.ts';
import { Child, run } from '../../bench/net/processes.ts';

const shell = (script: string) => new Child('sh', ['-c', script]);

describe('child processes', () => {
  it('returns stdout, and fails with the last words and the status', async () => {
    expect(await run('sh', ['-c', 'echo out; echo err >&2'])).toBe('out\n');
    await expect(run('sh', ['-c', 'echo sorry >&2; exit 3'])).rejects.toThrow(/exit 3.*sorry/);
    await expect(run('/nonexistent/command', [])).rejects.toThrow('ENOENT');
  });

  it('waits for a line on either stream', async () => {
    const child = shell('echo ready >&2; exec sleep 60');
    await child.output(/^ready$/m, 5000);
    await child.stop();
    expect(child.ended).toBe('exit SIGTERM');
  });

  it('does not wait for a grandchild that holds the pipes', async () => {
    const child = shell('sleep 20 & echo started; exit 0');
    expect(await child.finish(5000)).toBe('started\n');
  });

  it('says so when the line does not come, because of the time or because it ended', async () => {
    const slow = shell('exec sleep 60');
    await expect(slow.output(/ready/, 50)).rejects.toThrow('did not print');
    await slow.stop();
    await expect(shell('echo broken; exit 1').output(/ready/, 5000)).rejects.toThrow(/exit 1.*broken/);
  });

  it('ends one that takes too long, also when it does not listen', async () => {
    await expect(shell('exec sleep 60').finish(50)).rejects.toThrow('did not end within');
    const deaf = new Child('sh', ['-c', "trap '' TERM; echo deaf; exec sleep 60"]);
    await deaf.output(/deaf/, 5000);
    await deaf.stop(50);
    expect(deaf.ended).toBe('exit SIGKILL');
  });

  it('leaves no descendant of one it had to kill', async () => {
    const deaf = shell("trap '' TERM; sleep 20 & echo $!; wait");
    await deaf.output(/\d/, 5000);
    const grandchild = Number(deaf.stdout);
    expect(family([deaf.pid]).has(grandchild)).toBe(true);
    await deaf.stop(50);
    await expect.poll(() => family([grandchild]).size).toBe(0);
  });
});
