/** The bad wire: what it does, how often, and that a seed repeats it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Arrival, FaultLink, type Faults, REORDER_MS } from '../../src/link/fault-link.ts';
import { tcpPacket, verifyChecksums } from '../../src/testing/index.ts';

const packet = Uint8Array.from({ length: 100 }, (_, i) => i);
const everything: Faults = {
  loss: 0.1,
  burst: { enter: 0.02, leave: 0.2, loss: 0.9 },
  duplicate: 0.1,
  reorder: 0.1,
  corrupt: 0.1,
  truncate: 0.1,
  delay: 5,
  jitter: 3,
};

const many = (faults: Faults, count: number, seed = 1) => {
  const link = new FaultLink(faults, seed);
  return { link, arrivals: Array.from({ length: count }, () => link.pass(packet)) };
};

describe('a bad wire', () => {
  test('a good one changes nothing', () => {
    const { arrivals } = many({}, 100);
    for (const arrival of arrivals) expect(arrival).toEqual([{ packet, delay: 0 }]);
  });

  test('the same seed does the same, another does something else', () => {
    const [one, two, other] = [1, 1, 2].map((seed) => many(everything, 1000, seed).arrivals);
    expect(two).toEqual(one);
    expect(other).not.toEqual(one);
  });

  test('each fault comes as often as it should, and is counted', () => {
    const { link, arrivals } = many({ ...everything, loss: 0.1, burst: undefined! }, 20_000);
    const { counts } = link;
    const near = (share: number) => expect(Math.abs(share - 0.1)).toBeLessThan(0.015);
    near(counts.lost / 20_000);
    near(counts.duplicated / counts.passed);
    const came = arrivals.flat();
    expect(came).toHaveLength(counts.passed + counts.duplicated);
    for (const name of ['reordered', 'corrupted', 'truncated'] as const) near(counts[name] / came.length);
    expect(came.filter(({ packet: { length } }) => length < 100)).toHaveLength(counts.truncated);
    expect(came.filter(({ delay }) => delay >= 5 + REORDER_MS)).toHaveLength(counts.reordered);
    expect(came.every(({ delay }) => delay >= 5 && delay < 8 + REORDER_MS)).toBe(true);
  });

  test('bursts lose packets that follow each other', () => {
    const { arrivals } = many({ burst: { enter: 0.01, leave: 0.1 } }, 20_000);
    const runs = arrivals
      .map(({ length }) => (length === 0 ? '.' : 'x'))
      .join('')
      .match(/\.+/g)!;
    const lost = runs.join('').length;
    // In the long run: enter / (enter + leave) are lost, 1 / leave of them at a time.
    expect(lost / 20_000).toBeGreaterThan(0.05);
    expect(lost / 20_000).toBeLessThan(0.15);
    expect(lost / runs.length).toBeGreaterThan(5);
  });

  test('checksums find every corruption; the packet that was sent stays as it is', () => {
    fc.assert(
      fc.property(fc.integer(), fc.uint8Array({ maxLength: 1400 }), (seed, payload) => {
        const sent = tcpPacket({
          from: '10.0.0.1:1',
          to: '10.0.0.2:2',
          flags: 'PA',
          seq: 1,
          ack: 1,
          payload,
        });
        const copy = sent.slice();
        const { packet: damaged } = new FaultLink({ corrupt: 1 }, seed).pass(sent)[0] as Arrival;
        expect(sent).toEqual(copy);
        expect(damaged).not.toEqual(sent);
        // A header that says other lengths is not looked at any further.
        const sameLayout = damaged[0] === sent[0] && damaged[2] === sent[2] && damaged[3] === sent[3];
        if (sameLayout && damaged[9] === sent[9]) expect(verifyChecksums(damaged)).toBe(false);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    { loss: 2 },
    { corrupt: -1 },
    { reorder: Number.NaN },
    { delay: -1 },
    { burst: { enter: 2, leave: 0 } },
  ])('refuses %j', (faults) => {
    expect(() => new FaultLink(faults, 1)).toThrow(/is no (chance|time)/);
  });
});
