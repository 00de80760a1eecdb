/** Who is cut down, and when, by a virtual clock. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { type Flood, FloodWatch, fairLimit } from '../../../src/gateway/host/flood-watch.ts';
import { type Demand, INTERVAL_MS, METER_BYTES, Meter } from '../../../src/host/steering/meter.ts';
import { parseAddress } from '../../../src/wire/address.ts';

describe('the fair limit', () => {
  it.each([
    [[10, 20], 100, Number.POSITIVE_INFINITY],
    [[10, 2000], 100, 90],
    [[1000, 2000], 100, 50],
    [[10, 1000, 2000], 100, 45],
    [[5], 0, 1],
    [[], 0, Number.POSITIVE_INFINITY],
  ])('of %j in %i is %d', (demands, capacity, limit) => {
    expect(fairLimit(demands, capacity)).toBe(limit);
  });

  test('gives all that there is, and who wants less has what he wants', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(10_000), { minLength: 1, maxLength: 40 }),
        fc.nat(100_000),
        (demands, capacity) => {
          const limit = fairLimit(demands, capacity);
          const wanted = demands.reduce((sum, demand) => sum + demand, 0);
          const given = demands.reduce((sum, demand) => sum + Math.min(demand, limit), 0);
          if (wanted <= capacity) expect(limit).toBe(Number.POSITIVE_INFINITY);
          else {
            expect(given).toBeLessThanOrEqual(Math.max(capacity, demands.length));
            expect(given).toBeGreaterThan(capacity - demands.length);
          }
        },
      ),
    );
  });
});

describe('the watch', () => {
  const passed = { packets: 0, dropped: 0 };
  let now: number;
  let demands: Demand[];
  let lines: string[];
  let records: Flood[];
  let meter: Meter;
  let watch: FloodWatch;
  beforeEach(() => {
    vi.useFakeTimers();
    Object.assign(passed, { packets: 0, dropped: 0 });
    now = 0;
    demands = [];
    lines = [];
    records = [];
    meter = new Meter(new ArrayBuffer(METER_BYTES));
    vi.spyOn(meter, 'demands').mockImplementation(() => demands);
    watch = new FloodWatch({
      meter,
      passed: () => ({ ...passed }),
      log: (line) => void lines.push(line),
      record: (flood) => void records.push(flood),
      random: () => 7,
      now: () => now,
    });
  });
  afterEach(() => {
    watch.close();
    vi.useRealTimers();
  });

  /** A quarter of a second in which the engine read, and queues dropped. */
  const pass = (packets: number, dropped: number) => {
    passed.packets += packets;
    passed.dropped += dropped;
    now += 250;
    watch.look();
  };
  const demand = (address: string, packets: number): Demand => ({ address: parseAddress(address)!, packets });

  it('looks on while queues do not drop, and at a burst', () => {
    pass(100_000, 0);
    pass(100_000, 60);
    expect(meter.limit).toBe(0);
  });

  it('counts, limits whoever sends most, and stops when he does', () => {
    pass(30_000, 5000);
    expect(meter.limit).toBe(0xffffffff);
    demands = [demand('10.0.0.66', 3000), demand('10.0.0.2', 10)];
    pass(30_000, 5000);
    const capacity = (30_000 * INTERVAL_MS * 0.9) / 250;
    expect(meter.limit).toBe(Math.floor(capacity - 10));
    expect(lines).toEqual([
      expect.stringMatching(/^a private host floods: 10\.0\.0\.66 sends 357\d{3} packets a second; /),
    ]);
    // No drops: a little more is tried.
    pass(27_000, 0);
    expect(meter.limit).toBe(Math.floor(capacity * 1.05 - 10));
    demands = [demand('10.0.0.2', 10)];
    for (let look = 0; look < 8; look++) pass(1000, 0);
    expect(meter.limit).toBe(0);
    expect(lines.at(-1)).toMatch(/^the flood is over/);
    expect(lines).toHaveLength(2);
    expect(records).toEqual([
      { host: '10.0.0.66', dropped: 0 },
      { host: null, dropped: 0 },
    ]);
  });

  it('an engine that is stopped, or dead, for a while is no flood: nobody is limited, before nor after', () => {
    demands = [demand('10.0.0.2', 10), demand('10.0.0.3', 9)];
    for (const seconds of [0.25, 1, 5]) {
      pass(600, 0);
      // It stops in the middle of a look, and goes on in the middle of another.
      pass(300, 120);
      for (let look = 0; look < seconds * 4; look++) pass(0, 600);
      pass(800, 200);
      for (let look = 0; look < 20; look++) {
        pass(600, 0);
        expect(meter.limit === 0 || meter.limit === 0xffffffff).toBe(true);
      }
      expect(meter.limit).toBe(0);
    }
    expect(lines).toEqual([]);
  });

  it('an engine that stops under a flood leaves the limit as it was', () => {
    demands = [demand('10.0.0.66', 3000), demand('10.0.0.2', 10)];
    pass(30_000, 5000);
    pass(30_000, 5000);
    const { limit } = meter;
    expect(limit).toBeLessThan(3000);
    for (let look = 0; look < 20; look++) pass(0, 9000);
    expect(meter.limit).toBe(limit);
  });

  it('whatever was found once, a limit rises to what is wanted within two seconds in which no queue drops', () => {
    for (const packets of [1, 20, 300, 5000]) {
      demands = [demand('10.0.0.2', 90), demand('10.0.0.3', 80)];
      pass(packets, 5000);
      pass(packets, 5000);
      for (let look = 0; look < 8; look++) pass(packets, 0);
      expect(meter.limit >= 90 || meter.limit === 0, `${packets}: ${meter.limit}`).toBe(true);
      demands = [];
      for (let look = 0; look < 20; look++) pass(0, 0);
      expect(meter.limit).toBe(0);
    }
  });

  it('a TUN that was made anew, whose counts begin anew, is no flood', () => {
    pass(30_000, 5000);
    pass(-20_000, -4000);
    pass(100, 0);
    expect(lines).toEqual([]);
  });
});
