/** What `natgate bench` makes of its options and of what the tools print. The comparison itself: test/netns/bench.test.ts. */
import { describe, expect, it } from 'vitest';
import { benchNotes, benchTable, failureLines } from '../../src/cli/bench/bench-text.ts';
import { parseOnly } from '../../src/cli/bench/options.ts';
import { median, type Reading, summarise } from '../../src/cli/bench/summary.ts';
import {
  bitsPerSecond,
  medianPing,
  packetsDelivered,
  parseIperf,
  workloads,
} from '../../src/cli/bench/workloads.ts';

const readings: Reading[] = [
  { round: 1, contender: 'natgate', workload: 'tcp-out', value: 8 },
  { round: 1, contender: 'kernel', workload: 'tcp-out', value: 10 },
  { round: 1, contender: 'pasta', workload: 'tcp-out', error: 'no\n  route' },
  { round: 2, contender: 'natgate', workload: 'tcp-out', value: 12 },
  { round: 2, contender: 'kernel', workload: 'tcp-out', value: 24 },
  { round: 2, contender: 'pasta', workload: 'tcp-out', error: 'no route' },
  { round: 3, contender: 'natgate', workload: 'tcp-out', value: 18 },
  { round: 3, contender: 'kernel', workload: 'tcp-out', error: 'gone' },
];

describe('summarise', () => {
  it('takes medians, ranges, and the median of the ratios of the rounds that have both', () => {
    const [natgate, kernel, ...others] = summarise(readings);
    expect(natgate).toEqual({
      ...{ contender: 'natgate', workload: 'tcp-out', median: 12, lowest: 8, highest: 18 },
      ratio: median([0.8, 0.5]),
    });
    expect(kernel).toMatchObject({ median: 17, ratio: 1 });
    expect(others).toEqual([]);
  });
});

describe('the text', () => {
  const rows = workloads.filter(({ name }) => name === 'tcp-out' || name === 'rtt');

  it('has a row for each measurement; what failed is said, what was not tried is a dash', () => {
    const table = benchTable(summarise(readings), readings, ['natgate', 'kernel', 'pasta'], rows);
    expect(table).toBe(
      [
        '                                      natgate                  kernel   ratio    pasta',
        'TCP out, Gb/s            12.00 (8.00 - 18.00)   17.00 (10.00 - 24.00)    0.65   failed',
        'Round trip, median, µs                      -                       -       -        -',
      ].join('\n'),
    );
  });

  it('has no ratio where the kernel was not asked for', () => {
    const table = benchTable(summarise(readings), readings, ['natgate'], rows.slice(0, 1));
    expect(table.split('\n')[0]).not.toContain('ratio');
  });

  it('says with what it was measured, each once, and which way is better', () => {
    const notes = benchNotes(workloads, 3);
    expect(notes.split('TCP: iperf3')).toHaveLength(2);
    expect(notes).toContain('iperf3 -u');
    expect(notes).toContain('ping');
    expect(notes).toContain('(Round trip, median: below 1)');
  });

  it('says a cause once, in one line, with the places', () => {
    expect(failureLines(readings)).toEqual([
      'pasta failed (tcp-out in round 1, tcp-out in round 2): no route',
      'kernel failed (tcp-out in round 3): gone',
    ]);
  });
});

describe('what the tools print', () => {
  it('is read from the receiver', () => {
    const tcp = parseIperf('{"end":{"sum_received":{"bytes":1000,"bits_per_second":8000}}}');
    expect(bitsPerSecond(tcp)).toBe(8000);
    const udp = parseIperf('{"end":{"sum":{"packets":1000,"lost_packets":400,"seconds":2}}}');
    expect(packetsDelivered(udp)).toBe(300);
    const ping = '64 bytes: icmp_seq=1 ttl=63 time=0.050 ms\n... time=0.010 ms\n... time=1.5 ms\n';
    expect(medianPing(ping, 3)).toBeCloseTo(50);
  });

  it('is a failure, never a zero, when nothing arrived', () => {
    expect(() => parseIperf('{"error":"unable to connect"}')).toThrow('iperf3: unable to connect');
    expect(() => parseIperf('')).toThrow('iperf3 gave no report');
    expect(() => bitsPerSecond({ end: { sum_received: { bytes: 0, bits_per_second: 0 } } })).toThrow(
      'the receiver got nothing',
    );
    expect(() => packetsDelivered({ end: { sum: { packets: 9, lost_packets: 9, seconds: 1 } } })).toThrow(
      'the receiver got nothing',
    );
    expect(() => medianPing('1 packets transmitted, 0 received', 10)).toThrow('0 of 10 pings were answered');
  });
});

describe('--only', () => {
  it('takes contenders and measurements; natgate is always there', () => {
    expect(parseOnly(undefined)).toEqual({ contenders: [], workloads: [] });
    expect(parseOnly('udp,kernel,tcp-out')).toEqual({
      contenders: ['natgate', 'kernel'],
      workloads: ['tcp-out', 'udp'],
    });
    expect(() => parseOnly('tcp-out,ipvs')).toThrow('--only ipvs: neither a contender nor a measurement');
  });
});
