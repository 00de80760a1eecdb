import { describe, expect, it } from 'vitest';
import { machineSeconds, parseStat, processSeconds, threadSeconds } from '../../bench/net/proc.ts';
import { parseWrk } from '../../bench/net/workloads/new-connections.ts';
import { parseTimes } from '../../bench/net/workloads/rtt.ts';
import { parseIperf } from '../../bench/net/workloads/tcp.ts';
import { parseSent, parseSink } from '../../bench/net/workloads/udp-tools.ts';

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

  it('adds both directions up', () => {
    const json = JSON.stringify({
      end: {
        sum_sent: { bytes: 5e9, bits_per_second: 40e9, retransmits: 7 },
        sum_received: { bytes: 4e9, bits_per_second: 32e9 },
        sum_sent_bidir_reverse: { bytes: 2e9, bits_per_second: 16e9, retransmits: 3 },
        sum_received_bidir_reverse: { bytes: 1e9, bits_per_second: 8e9 },
      },
    });
    expect(parseIperf(json)).toEqual({ value: 40, amount: 5, details: { retransmits: 10 } });
  });

  it('takes no sum of which one direction is missing', () => {
    const sum = { bytes: 4e9, bits_per_second: 32e9 };
    const end = {
      sum_sent: sum,
      sum_received: sum,
      sum_received_bidir_reverse: { bytes: 0, bits_per_second: 0 },
    };
    expect(() => parseIperf(JSON.stringify({ end }))).toThrow('got nothing');
  });

  it('fails with what iperf3 says, and when nothing arrived', () => {
    expect(() => parseIperf('{"error":"unable to connect"}')).toThrow('unable to connect');
    const nothing = { end: { sum_sent: {}, sum_received: { bytes: 0, bits_per_second: 0 } } };
    expect(() => parseIperf(JSON.stringify(nothing))).toThrow('got nothing');
  });
});

describe('udp-sink and udp-blast', () => {
  it('are read from the last line', () => {
    const sink = parseSink('ready\n{"received":300000,"seconds":2,"source":"198.18.0.1"}\n');
    expect(sink).toEqual({ received: 300_000, seconds: 2 });
    expect(parseSent('{"sent":9,"seconds":0.5}\n')).toEqual({ sent: 9, seconds: 0.5 });
  });

  it('do not pass with untranslated packets, nor with none', () => {
    expect(() => parseSink('{"received":9,"seconds":1,"source":"10.77.0.2"}')).toThrow('not translated');
    expect(() => parseSink('{"received":0,"seconds":0,"source":""}')).toThrow('no datagram');
  });
});

describe('udp-rtt', () => {
  it('gives median, p99 and p99.9, and what was lost', () => {
    const times = Array.from({ length: 1001 }, (_, i) => 1001 - i);
    const sample = parseTimes(JSON.stringify({ sent: 1003, times }), 'rtt-idle');
    expect(sample.value).toBe(501);
    expect(sample.values).toEqual({ 'rtt-idle-p50': 501, 'rtt-idle-p99': 991, 'rtt-idle-p999': 1000 });
    expect(sample.details).toEqual({ sent: 1003, lost: 2, max: 1001 });
  });

  it('fails when half of the answers are missing', () => {
    expect(() => parseTimes('{"sent":2,"times":[40]}', 'rtt-idle')).toThrow('1 answers to 2');
    expect(() => parseTimes('{"sent":0,"times":[]}', 'rtt-idle')).toThrow('0 answers to 0');
  });
});

describe('wrk', () => {
  const output = (requests: number, rate: number, rest = '') =>
    `Running 1s test\n  ${requests} requests in 1.10s, 2.08MB read\n${rest}Requests/sec:  ${rate}\nTransfer/sec: 1MB\n`;

  it('adds up what all of them did', () => {
    const sample = parseWrk([output(2200, 2000), output(1100, 1000.5)]);
    expect(sample.value).toBeCloseTo(3.0005);
    expect(sample.amount).toBeCloseTo(3.3);
  });

  it.each([
    ['  Socket errors: connect 0, read 1, write 0, timeout 0\n', 'read 1'],
    ['  Non-2xx or 3xx responses: 4\n', 'a wrong one'],
  ])('fails with %j', (rest, part) => {
    expect(() => parseWrk([output(10, 10), output(10, 10, rest)])).toThrow(part);
  });

  it('fails without an answer, and with what it says instead of figures', () => {
    expect(() => parseWrk([output(0, 0)])).toThrow('no answer');
    expect(() => parseWrk(['unable to connect to 198.18.64.0:8080'])).toThrow('unable to connect');
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
    expect(threadSeconds([process.pid])).toBeGreaterThan(0.05);
    expect(threadSeconds([])).toBe(0);
    expect(processSeconds([])).toBe(0);
  });
});
