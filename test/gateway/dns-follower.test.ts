import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DnsFollower } from '../../src/gateway/dns-follower.ts';
import type { DnsState } from '../../src/nat/dns.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';

const A = '192.0.2.53';
const B = '192.0.2.54';
const C = '192.0.2.55';
const wire = (text: string) => parseAddress(text)!;
const TIMING = { every: 2000, others: 5000, again: 100, timeout: 900 };

/** A follower whose probes answer as `well` says, and all that it told. */
function follow(upstream: string[], system = false, paths = { conf: '', resolved: '' }) {
  const well = new Set(upstream);
  const states: DnsState[] = [];
  const lines: string[] = [];
  const asked: string[] = [];
  const follower = new DnsFollower(
    { upstream: upstream.map(wire), system },
    {
      own: () => [wire('10.77.0.1')],
      onChange: (state) => states.push(state),
      log: (line) => lines.push(line),
      probe: async (address) => {
        asked.push(formatAddress(address));
        return well.has(formatAddress(address));
      },
      timing: TIMING,
      paths,
    },
  );
  const inForce = () => formatAddress(follower.state.resolver);
  const usable = () => follower.state.usable.map(formatAddress);
  return { follower, well, states, lines, asked, inForce, usable };
}

describe('resolvers that are listed', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  test('the first is in force from the start, and all are usable', async () => {
    const { follower, inForce, usable, lines } = follow([A, B]);
    expect([inForce(), usable()]).toEqual([A, [A, B]]);
    await pass(60_000);
    expect([inForce(), lines]).toEqual([A, []]);
    follower.close();
  });

  test('one lost probe changes nothing', async () => {
    const { follower, well, inForce, states } = follow([A, B]);
    await pass(0);
    well.delete(A);
    await pass(2000);
    well.add(A);
    await pass(10_000);
    expect([inForce(), states.length]).toEqual([A, 1]);
    follower.close();
  });

  test('silent twice: the next one is in force at once, and the first is usable no more', async () => {
    const { follower, well, inForce, usable, lines } = follow([A, B]);
    await pass(0);
    well.delete(A);
    await pass(TIMING.every + TIMING.again);
    expect([inForce(), usable()]).toEqual([B, [B]]);
    expect(lines).toEqual([`DNS: ${A} does not answer; queries go to ${B}`]);
    follower.close();
  });

  test('back, and answering twice, the first one is in force again, the other stays usable', async () => {
    const { follower, well, inForce, usable, lines } = follow([A, B]);
    await pass(0);
    well.delete(A);
    await pass(3000);
    well.add(A);
    await pass(TIMING.others + TIMING.again);
    expect([inForce(), usable()]).toEqual([A, [A, B]]);
    expect(lines.at(-1)).toBe(`DNS: ${A} answers again, queries go there`);
    follower.close();
  });

  test('where none answers, the one in force stays', async () => {
    const { follower, well, inForce, usable, lines } = follow([A, B]);
    await pass(0);
    well.clear();
    await pass(20_000);
    expect(usable()).toEqual([inForce()]);
    expect(lines.at(-1)).toMatch(/does not answer; there is no other that does$/);
    follower.close();
  });

  test('others than before: what is known is kept, nobody else is asked any more', async () => {
    const { follower, well, inForce, usable, asked } = follow([A, B]);
    await pass(0);
    well.delete(A);
    await pass(3000);
    well.add(C);
    follower.setOptions({ upstream: [A, C].map(wire), system: false });
    expect([inForce(), usable()]).toEqual([C, [C]]);
    asked.length = 0;
    await pass(20_000);
    expect(asked).not.toContain(B);
    follower.close();
  });

  test('after close() nobody is asked', async () => {
    const { follower, asked } = follow([A, B]);
    await pass(0);
    follower.close();
    asked.length = 0;
    await pass(60_000);
    expect(asked).toEqual([]);
  });
});

describe('resolvers of resolv.conf', () => {
  let folder: string;
  let paths: { conf: string; resolved: string };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'natgate-resolv-'));
    paths = { conf: join(folder, 'resolv.conf'), resolved: join(folder, 'resolved.conf') };
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('written in place, replaced, and turned elsewhere', async () => {
    writeFileSync(paths.conf, `nameserver ${A}\n`);
    const { follower, inForce } = follow([], true, paths);
    try {
      expect(inForce()).toBe(A);
      writeFileSync(paths.conf, `nameserver ${B}\n`);
      await vi.waitFor(() => expect(inForce()).toBe(B));
      writeFileSync(`${paths.conf}.new`, `nameserver ${C}\n`);
      renameSync(`${paths.conf}.new`, paths.conf);
      await vi.waitFor(() => expect(inForce()).toBe(C));
      writeFileSync(join(folder, 'elsewhere'), `nameserver ${A}\n`);
      unlinkSync(paths.conf);
      symlinkSync(join(folder, 'elsewhere'), paths.conf);
      await vi.waitFor(() => expect(inForce()).toBe(A));
      writeFileSync(join(folder, 'elsewhere'), `nameserver ${B}\n`);
      await vi.waitFor(() => expect(inForce()).toBe(B));
    } finally {
      follower.close();
    }
  });

  test('the host itself is no resolver, and without one that is said', async () => {
    writeFileSync(paths.conf, 'nameserver 10.77.0.1\n');
    const { follower, inForce, lines } = follow([], true, paths);
    expect([inForce(), lines.length]).toEqual(['0.0.0.0', 1]);
    follower.close();
  });
});
