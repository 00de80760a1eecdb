import { describe, expect, it } from 'vitest';
import { Bed } from '../../bench/engine/bed.ts';
import type { PacketRunResult } from '../../bench/engine/packet-run.ts';
import { makePlan, type PlannedRules, type PlannedRun, smokePlan } from '../../bench/engine/plan.ts';
import { markdown, perTenMillion, remarks, tables } from '../../bench/engine/report.ts';
import { collect, type EngineResults } from '../../bench/engine/results.ts';
import type { RulesRunResult } from '../../bench/engine/rules-run.ts';
import { PRIVATE_DEVICE, PUBLIC_DEVICE, Traffic } from '../../bench/engine/traffic.ts';
import { ARENA_BYTES, BATCH, IN_LIST, packetOffset } from '../../src/engine/arena.ts';
import { describePacket } from '../../src/testing/index.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import { checksum } from '../../src/wire/checksum.ts';
import { META, parsePacket } from '../../src/wire/parse.ts';

/** Two processes of each run: 100 and 300 ns for a packet, 1000 ns for a flow. */
function results(runs: PlannedRun[], ruled: PlannedRules[] = []): EngineResults {
  const result = (ns: number): PacketRunResult => ({
    nsPerFlow: 1000,
    variants: [
      { order: 'in order', size: 'small', nsPerPacket: [ns] },
      { order: 'random', size: 'small', nsPerPacket: [ns, ns + 20] },
    ],
    ...{ measured: 5_000_000, collections: 1, collectionsMaking: 0 },
  });
  const done = new Map(runs.map((run) => [run, [result(100), result(300)]]));
  // The second process is twice as slow.
  const ruledResult = (slow: number): RulesRunResult => ({
    nsPerFlow: [1000, 2000, 3000].map((ns) => ns * slow),
    nsPerPacket: [
      [100, 200],
      [110, 180],
      [100, 210],
    ].map((readings) => readings.map((ns) => ns * slow)),
    ...{ measured: 600, collections: 0, collectionsMaking: 0 },
  });
  const doneRules = new Map(ruled.map((run) => [run, [ruledResult(1), ruledResult(2)]]));
  return {
    command: 'npm run bench',
    machine: {
      ...{ cpu: 'A CPU', cores: 2, memoryGiB: 4, kernel: '6.1.0', node: '20.19.0' },
      ...{ commit: '0123456789ab', date: '2030-01-02', packages: [] },
    },
    functions: [{ name: 'noop', nsPerCall: 1, margin: 2 }],
    ...collect({ seconds: 1, runs, ruled, memory: [], adoption: [] }, done, doneRules),
    memory: [{ protocol: 'tcp', flows: 1_000_000, own: true, bytesPerFlow: 123.4 }],
    adoption: [
      {
        name: 'adoption-1000000',
        flows: 1_000_000,
        own: false,
        ms: { median: 250.4, fastest: 200, slowest: 300, readings: 3 },
      },
    ],
    failures: [{ name: 'tcp-4000000', error: 'out of memory' }],
  };
}

describe('the plan', () => {
  it('has every number of flows for UDP and TCP, each figure read often enough, and a mixed run', () => {
    const { runs, ruled, memory } = makePlan(5, 1000);
    for (const protocol of ['udp', 'tcp']) {
      const flows = runs.filter((run) => run.protocol === protocol && !run.own).map((run) => run.flows);
      expect(flows).toEqual([1, 1000, 60_000, 1_000_000, 2_000_000, 4_000_000]);
      expect(memory.map((run) => run.protocol)).toContain(protocol);
      expect(ruled.find((run) => run.protocol === protocol)!.rules).toEqual([1, 100, 1000]);
    }
    expect(runs.some((run) => run.protocol === 'mixed')).toBe(true);
    for (const { processes, readings } of [...runs, ...ruled])
      expect(processes * readings).toBeGreaterThanOrEqual(5);
  });
});

describe('what is made of the readings', () => {
  const found = results(makePlan(1, 1000).runs.filter(({ name }) => /^udp-(1000|1000000)$/.test(name)));

  it('are medians over all processes, with the range', () => {
    expect(found.packets.map(({ name }) => name)).toContain('udp-1000 random small');
    expect(found.packets.find(({ name }) => name === 'udp-1000 random small')!.ns).toEqual({
      ...{ median: 210, fastest: 100, slowest: 320, readings: 4 },
    });
    expect(perTenMillion(found)).toBe('2.00');
  });

  it('has no flows per second of few flows: that would be a figure of the compiler', () => {
    expect(found.creation.map(({ name }) => name)).toEqual(['udp-1000000']);
  });

  it('with firewall rules stand by themselves', () => {
    const ruled = results([], makePlan(1, 1000).ruled);
    expect(ruled.packets).toEqual([]);
    expect(ruled.creation).toEqual([]);
    // A ratio is that of readings of one process and turn: 110/100, 180/200, and again; not that of the medians.
    const rows = [
      ['1', '200 (100 - 400)', '1.00', '1500 (1000 - 2000)', '1.00'],
      ['100', '200 (110 - 360)', '1.00', '3000 (2000 - 4000)', '2.00'],
      ['1,000', '205 (100 - 420)', '1.02', '4500 (3000 - 6000)', '3.00'],
    ];
    expect(tables(ruled).at(-2)!.rows).toEqual([['mappings shared', '1,000,000', '250 (200 - 300)']]);
    expect(tables(ruled).at(-1)!.rows).toEqual(
      ['udp', 'tcp'].flatMap((protocol) => rows.map((row) => [`${protocol}, 150,000 flows`, ...row])),
    );
    expect(ruled.measuredPackets).toBe(2400);
  });

  it('shows what was measured, and what failed', () => {
    const [, packets, creation, memory] = tables(found);
    expect(packets!.rows[0]).toEqual([
      'udp, 1,000 flows',
      ...['210 (100 - 320)', '-', '200 (100 - 300)', '-', '4.76'],
    ]);
    expect(creation!.rows).toEqual([
      ['udp, 1,000,000 flows, mappings shared', '1,000,000', '1000 (1000 - 1000)'],
    ]);
    expect(memory!.rows).toEqual([['tcp, 1,000,000 flows, a mapping each', '123']]);
    expect(remarks(found)).toContain('tcp-4000000 failed: out of memory');
    const page = markdown(found, { file: 'engine.svg', alt: 'Engine', svg: '' });
    expect(page).toContain('![Engine](benchmarks/engine.svg)');
    expect(page).toContain('commit 0123456789ab');
  });
});

describe('the traffic', () => {
  const arena = new ArrayBuffer(ARENA_BYTES);
  const bytes = new Bytes(arena);
  const at = packetOffset(0);

  it.each([
    ['udp', 'first', 'small', 40],
    ['udp', 'data', 'full', 1428],
    ['tcp', 'first', 'small', 60],
    ['tcp', 'answer', 'small', 60],
    ['tcp', 'third', 'small', 52],
    ['tcp', 'data', 'small', 64],
    ['tcp', 'data', 'full', 1452],
  ] as const)(
    'of %s, %s, %s has right lengths and header checksums, both ways',
    (protocol, stage, size, length) => {
      const traffic = new Traffic(arena, protocol, false);
      traffic.begin(stage, size);
      for (const [flow, isReply] of [
        [0, false],
        [3_999_999, true],
        [123_456, false],
      ] as const) {
        bytes.u8.fill(0xa5, at, at + 2000);
        traffic.write(0, flow, isReply);
        expect(bytes.i32[IN_LIST >> 2]).toBe(isReply ? PUBLIC_DEVICE : PRIVATE_DEVICE);
        expect(bytes.i32[(IN_LIST >> 2) + 1]).toBe(length);
        expect(checksum(bytes.u8, bytes.u16, at, 20)).toBe(0);
        expect(parsePacket(bytes, at, length, true, new Int32Array(META), 0)).toBe(0);
      }
    },
  );

  it.each([false, true])('has no flow twice (a mapping each: %s)', (own) => {
    const traffic = new Traffic(arena, 'udp', own);
    const seen = new Set<string>();
    const flows = 1_000_000;
    for (let flow = 0; flow < flows; flow += 7) {
      traffic.write(0, flow, false);
      seen.add(describePacket(bytes.u8.slice(at, at + 40)));
    }
    expect(seen.size).toBe(Math.ceil(flows / 7));
  });
});

describe('the bed', () => {
  it.each(['udp', 'tcp', 'mixed'] as const)(
    'opens all flows of %s, and finds nothing in their way',
    (protocol) => {
      const bed = new Bed(protocol, 20_000, false);
      bed.open();
      bed.traffic.begin('data', 'full');
      for (let flow = 0; flow + BATCH <= 20_000; flow += BATCH) {
        for (let i = 0; i < BATCH; i++) bed.traffic.write(i, flow + i, i % 2 === 0);
        bed.handle(BATCH);
        bed.clearOut();
      }
      bed.check();
    },
  );

  it('gives each flow a mapping of its own where that is asked for', () => {
    const bed = new Bed('tcp', 100_000, true);
    bed.open();
    bed.check();
  });

  it('does not take a run for one in which something was dropped', () => {
    const bed = new Bed('tcp', 64, false);
    bed.open();
    bed.traffic.begin('answer', 'small');
    bed.traffic.write(0, 100, true);
    bed.handle(1);
    expect(() => bed.check()).toThrow(/something was in the way: .*"no_flow":1/);
  });
});

it('the smoke run is a part of the whole, small', () => {
  const packets = smokePlan().runs.reduce((sum, run) => sum + 4 * run.packets * run.readings, 0);
  expect(packets).toBeLessThan(2_000_000);
});
