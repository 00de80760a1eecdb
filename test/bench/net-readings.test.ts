import { describe, expect, it } from 'vitest';
import { machineSeconds, parseStat, processSeconds } from '../../bench/net/proc.ts';
import { parsePing } from '../../bench/net/workloads/ping.ts';
import { parseIperf } from '../../bench/net/workloads/tcp.ts';
import { parseSink } from '../../bench/net/workloads/udp-pps.ts';

describe('iperf3', () => {
  it('counts what the receiver got', () => {
    const json = JSON.stringify({
      end: {
        sum_sent: { bytes: 5e9, bits_per_second: 40e9, retransmits: 7 },
        sum_received: { bytes: 4e9, bits_per_second: 32e9 },
      },
    });
    expect(parseIperf(json)).toEqual({ value: 32, amount: 4, details: { retransmits: 7 } });
  });

  it('fails with what iperf3 says, and when nothing arrived', () => {
    expect(() => parseIperf('{"error":"unable to connect"}')).toThrow('unable to connect');
    const nothing = { end: { sum_sent: {}, sum_received: { bytes: 0, bits_per_second: 0 } } };
    expect(() => parseIperf(JSON.stringify(nothing))).toThrow('got nothing');
  });
});

describe('udp-sink', () => {
  it('gives thousands per second', () => {
    const sample = parseSink('ready\n{"received":300000,"seconds":2,"source":"198.18.0.1"}\n');
    expect(sample).toEqual({ value: 150, amount: 0.3 });
  });

  it('does not take untranslated packets, nor none', () => {
    expect(() => parseSink('{"received":9,"seconds":1,"source":"10.77.0.2"}')).toThrow('not translated');
    expect(() => parseSink('{"received":0,"seconds":0,"source":""}')).toThrow('no datagram');
  });
});

describe('ping', () => {
  const answer = (ms: string) => `64 bytes from 198.18.0.2: icmp_seq=1 ttl=63 time=${ms} ms\n`;

  it('takes the median in microseconds', () => {
    const sample = parsePing(`PING …\n${answer('0.041')}${answer('1.2')}${answer('0.040')}`, 3);
    expect(sample.value).toBeCloseTo(41);
    expect(sample.details?.['lost']).toBe(0);
  });

  it('fails when too many answers are missing', () => {
    expect(() => parsePing(answer('0.041'), 2)).toThrow('1 answers to 2');
  });
});

describe('CPU time', () => {
  it('reads a stat line whose name holds spaces and brackets', () => {
    const line = '42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 1 0 100 0 0';
    expect(parseStat(line)).toEqual({ alive: true, parent: 7, ticks: 175 });
  });

  it('counts neither idle time nor guests twice', () => {
    // cpu user nice system idle iowait irq softirq steal guest guest_nice
    expect(machineSeconds('cpu  100 20 300 99999 999 4 56 888 77 7\ncpu0 …')).toBe(4.8);
  });

  it('grows while this process works', () => {
    const before = processSeconds([process.pid]);
    for (const start = process.cpuUsage(); process.cpuUsage(start).user < 50_000; );
    expect(processSeconds([process.pid])).toBeGreaterThan(before);
    expect(processSeconds([])).toBe(0);
  });
});
