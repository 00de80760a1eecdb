/** The tracker as the engine drives it: find, else open, then update. No NAT: replies are the inverse. */
import { describe, expect, test } from 'vitest';
import { END_DELETED } from '../../src/conntrack/end-reasons.ts';
import { FlowTable, H_BYTES, H_BYTES_HIGH, H_PACKETS } from '../../src/conntrack/flow-table.ts';
import { defaultTimeouts, rfcTimeouts, TimeoutTable } from '../../src/conntrack/timeouts.ts';
import { Tracker } from '../../src/conntrack/tracker.ts';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { ipPacket } from '../../src/testing/packets.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { Bed } from './tracker-bed.ts';

const A = '10.77.0.2:40000';
const B = '198.18.0.2:80';

const out = (flags: string, seq = 0) => tcpPacket({ from: A, to: B, flags, seq });
const back = (flags: string, seq = 0) => tcpPacket({ from: B, to: A, flags, seq });
const udpOut = () => udpPacket({ from: A, to: B, payload: 'q' });
const udpBack = () => udpPacket({ from: B, to: A, payload: 'r' });

/** Sends the packets and notes the state and timeout after each. */
function walk(bed: Bed, packets: Uint8Array[]): string[] {
  return packets.map((packet) => {
    const verdict = bed.feed(packet);
    const flow = bed.flow();
    return `${verdict} ${flow?.state} ${flow?.timeoutSeconds}${flow?.assured ? ' assured' : ''}`;
  });
}

describe('TCP', () => {
  test('a connection from SYN to TIME_WAIT, with netfilter’s timeouts, then forgotten', () => {
    const bed = new Bed();
    const life = [out('S'), back('SA'), out('A'), back('A'), out('FA'), back('A'), back('FA'), out('A')];
    expect(walk(bed, life)).toEqual([
      'original SYN_SENT 120',
      'reply SYN_RECV 60',
      'original ESTABLISHED 432000 assured',
      'reply ESTABLISHED 432000 assured',
      'original FIN_WAIT 120 assured',
      'reply CLOSE_WAIT 60 assured',
      'reply LAST_ACK 30 assured',
      'original TIME_WAIT 120 assured',
    ]);
    bed.pass(119_000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
    expect(bed.closed).toEqual([0]);
  });

  test('RST ends a connection within 10 s', () => {
    const bed = new Bed();
    walk(bed, [out('S'), back('SA'), out('A')]);
    expect(walk(bed, [back('RA')])).toEqual(['reply CLOSE 10 assured']);
    bed.pass(9000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
  });

  test('simultaneous open', () => {
    const bed = new Bed();
    expect(walk(bed, [out('S'), back('S'), out('SA'), back('A'), out('A')])).toEqual([
      'original SYN_SENT 120',
      'reply SYN_SENT2 120',
      'original SYN_RECV 60',
      'reply ESTABLISHED 432000 assured',
      'original ESTABLISHED 432000 assured',
    ]);
  });

  test('picked up from its middle: ESTABLISHED for 300 s, ASSURED by the first packet after an answer', () => {
    const bed = new Bed();
    expect(walk(bed, [out('A'), out('A'), back('PA'), out('A')])).toEqual([
      'original ESTABLISHED 300',
      'original ESTABLISHED 300',
      'reply ESTABLISHED 300',
      'original ESTABLISHED 432000 assured',
    ]);
  });

  test.each(['SA', 'R', 'RA', 'FA', 'F', '', 'SF'])('%j begins nothing', (flags) => {
    const bed = new Bed();
    expect(bed.feed(out(flags))).toBe('invalid first');
    expect(bed.table.count).toBe(0);
  });

  test('an INVALID packet changes nothing: no state, no timer, no counter', () => {
    const bed = new Bed();
    walk(bed, [out('S'), back('SA')]);
    const before = bed.table.hot.slice();
    bed.now += 5000;
    for (const bad of [out(''), out('SF'), back('S'), back('SFR')]) expect(bed.feed(bad)).toBe('invalid_tcp');
    expect(bed.table.hot).toEqual(before);
  });

  test('a SYN on a live connection passes, is counted, and changes nothing else', () => {
    const bed = new Bed();
    walk(bed, [out('S'), back('SA'), out('A')]);
    bed.pass(10_000);
    expect(bed.feed(out('S'))).toBe('original');
    expect(bed.flow()).toMatchObject({ state: 'ESTABLISHED', originalPackets: 3, timeoutSeconds: 431_990 });
  });

  test('what a FIN closed, a SYN of either side opens anew', () => {
    const bed = new Bed();
    walk(bed, [out('S'), back('SA'), out('A'), out('FA'), back('FA'), out('A')]);
    expect(bed.flow()?.state).toBe('TIME_WAIT');
    expect(bed.feed(back('S'))).toBe('reopen');
    expect(bed.feed(out('S'))).toBe('reopen');
  });

  test('a state with a shorter timeout takes effect at once, whatever was scheduled', () => {
    const bed = new Bed();
    walk(bed, [out('S'), back('SA'), out('A')]);
    bed.pass(3600_000);
    expect(bed.feed(back('R'))).toBe('reply');
    bed.pass(11_000);
    expect(bed.table.count).toBe(0);
  });

  test('an hour of silence does not end a connection; five days do', () => {
    const bed = new Bed();
    walk(bed, [out('S'), back('SA'), out('A')]);
    bed.pass(432_000_000 - 1000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
  });
});

describe('UDP', () => {
  test('30 s without an answer', () => {
    const bed = new Bed();
    expect(walk(bed, [udpOut()])).toEqual(['original  30']);
    expect(bed.flow()?.unreplied).toBe(true);
    bed.pass(29_000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
  });

  test('question and answer within two seconds keep 30 s: DNS does not fill the table', () => {
    const bed = new Bed();
    walk(bed, [udpOut(), udpBack()]);
    bed.pass(1900);
    expect(walk(bed, [udpOut(), udpBack()])).toEqual(['original  30', 'reply  30']);
    expect(bed.flow()).toMatchObject({ assured: false, unreplied: false });
  });

  test('still in use after two seconds, answered: a stream, ASSURED, 120 s', () => {
    const bed = new Bed();
    walk(bed, [udpOut(), udpBack()]);
    bed.pass(2001);
    expect(walk(bed, [udpOut()])).toEqual(['original  120 assured']);
    bed.pass(119_000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
  });

  test('unanswered it is no stream, however long it lasts', () => {
    const bed = new Bed();
    for (let i = 0; i < 20; i++) bed.feed(udpOut(), 5000);
    expect(bed.flow()).toMatchObject({ assured: false, timeoutSeconds: 30, originalPackets: 20 });
  });

  test('packets of either direction refresh', () => {
    const bed = new Bed();
    bed.feed(udpOut());
    for (let i = 0; i < 10; i++) {
      expect(bed.feed(udpBack(), 25_000)).toBe('reply');
      expect(bed.feed(udpOut(), 25_000)).toBe('original');
    }
    expect(bed.table.count).toBe(1);
  });
});

describe('DNS, where its flows end early', () => {
  const question = () => udpPacket({ from: A, to: '198.18.0.2:53', payload: 'q' });
  const answer = () => udpPacket({ from: '198.18.0.2:53', to: A, payload: 'r' });

  test('10 s after the answer, however long the question took', () => {
    const bed = new Bed({ timeouts: rfcTimeouts });
    expect(walk(bed, [question()])).toEqual(['original  300']);
    bed.pass(250_000);
    expect(walk(bed, [answer()])).toEqual(['reply  10']);
    bed.pass(9000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
  });

  test('another question on it waits as long as the first; it never becomes a stream', () => {
    const bed = new Bed({ timeouts: rfcTimeouts });
    walk(bed, [question(), answer()]);
    bed.pass(5000);
    expect(walk(bed, [question(), question(), answer()])).toEqual([
      'original  300',
      'original  300',
      'reply  10',
    ]);
    expect(bed.flow()).toMatchObject({ assured: false });
  });

  test('a client’s own port 53, or another remote port, is no DNS', () => {
    const bed = new Bed({ timeouts: rfcTimeouts });
    walk(bed, [udpPacket({ from: '10.77.0.2:53', to: B })]);
    expect(walk(bed, [udpPacket({ from: B, to: '10.77.0.2:53' })])).toEqual(['reply  300']);
  });

  test('0: as any other flow', () => {
    const bed = new Bed();
    expect(walk(bed, [question(), answer()])).toEqual(['original  30', 'reply  30']);
    bed.pass(2001);
    expect(walk(bed, [answer()])).toEqual(['reply  120 assured']);
  });
});

test('events of UDP: new, answered, stream', () => {
  const bed = new Bed();
  walk(bed, [udpOut(), udpOut(), udpBack(), udpOut()]);
  bed.pass(2001);
  walk(bed, [udpOut(), udpBack()]);
  bed.pass(121_000);
  expect(bed.events).toEqual(['new 0 unreplied', 'update 0', 'update 0 assured', 'destroy 0 timeout']);
});

test('GRE: 30 s, and 180 s and ASSURED from the first packet after an answer', () => {
  const gre = (from: string, to: string) =>
    ipPacket({ from: parseAddress(from)!, to: parseAddress(to)!, protocol: 47, payload: new Uint8Array(8) });
  const bed = new Bed();
  const [there, here] = [gre('10.77.0.2', '198.18.0.2'), gre('198.18.0.2', '10.77.0.2')];
  expect(walk(bed, [there, here, there])).toEqual(['original  30', 'reply  30', 'original  180 assured']);
});

describe('ICMP and others', () => {
  const echo = (reply: boolean) =>
    reply
      ? echoPacket({ from: '198.18.0.2', to: '10.77.0.2', identifier: 7, reply })
      : echoPacket({ from: '10.77.0.2', to: '198.18.0.2', identifier: 7 });

  test('echo: 30 s, the reply belongs to it, a reply begins nothing', () => {
    const bed = new Bed();
    expect(bed.feed(echo(true))).toBe('invalid first');
    expect(walk(bed, [echo(false), echo(true)])).toEqual(['original  30', 'reply  30']);
    expect(bed.flow()?.unreplied).toBe(false);
    bed.pass(31_000);
    expect(bed.table.count).toBe(0);
  });
});

test('counters: packets, bytes, and bytes beyond 4 GiB in both directions', () => {
  const bed = new Bed();
  bed.feed(udpOut());
  const { hot } = bed.table;
  hot[H_BYTES] = -10; // 4 GiB - 10
  hot[H_BYTES + 1] = -1;
  hot[H_BYTES_HIGH] = 2 | (5 << 16);
  hot[H_PACKETS] = -1; // 2^32 - 1
  bed.feed(udpBack());
  expect(bed.flow()).toMatchObject({
    originalBytes: 3 * 2 ** 32 - 10,
    replyBytes: 6 * 2 ** 32 + 28,
    originalPackets: 2 ** 32 - 1,
    replyPackets: 1,
  });
  bed.feed(udpOut());
  expect(bed.flow()).toMatchObject({ originalBytes: 3 * 2 ** 32 + 19, originalPackets: 0 });
});

test('a full table refuses, and takes the next once one has gone', () => {
  const bed = new Bed({ capacity: 4 });
  const from = (port: number) => udpPacket({ from: `10.77.0.2:${port}`, to: B });
  for (let port = 1; port <= 4; port++) expect(bed.feed(from(port))).toBe('original');
  expect(bed.feed(from(5))).toBe('full');
  bed.tracker.close(2, END_DELETED);
  expect(bed.closed).toEqual([2]);
  expect(bed.feed(from(5))).toBe('original');
  expect(bed.feed(from(6))).toBe('full');
});

test('one expire() looks at 256 flows at most and says whether it is done', () => {
  const bed = new Bed({ capacity: 600 });
  for (let port = 1; port <= 600; port++) bed.feed(udpPacket({ from: `10.77.0.2:${port}`, to: B }));
  expect(bed.tracker.expire(40_000)).toBe(false);
  expect(bed.table.count).toBe(600 - 256);
  expect(bed.tracker.expire(40_000)).toBe(false);
  expect(bed.tracker.expire(40_000)).toBe(true);
  expect(bed.table.count).toBe(0);
  expect(new Set(bed.closed).size).toBe(600);
});

test('time may wrap in the middle of a flow', () => {
  const bed = new Bed({ now: 2 ** 31 - 10_000 });
  walk(bed, [udpOut(), udpBack()]);
  expect(bed.feed(udpOut(), 15_000)).toBe('original');
  expect(bed.now).toBeGreaterThan(2 ** 31);
  expect(bed.flow()).toMatchObject({ assured: true, timeoutSeconds: 120 });
  bed.pass(119_000);
  expect(bed.table.count).toBe(1);
  bed.pass(2000);
  expect(bed.table.count).toBe(0);
});

test('adopted flows keep what is left of their time', () => {
  const bed = new Bed();
  walk(bed, [out('S'), back('SA'), out('A'), back('R')]);
  bed.feed(udpPacket({ from: '10.77.0.2:9', to: B }), 4000);
  const table = new FlowTable(bed.table.hot.buffer as ArrayBuffer, 0, 64, [1, 2]);
  const tracker = new Tracker(table, new TimeoutTable(defaultTimeouts), 8000);
  const seen: number[] = [];
  expect(tracker.adopt(8000, (flow) => seen.push(flow) > 0).cleared).toBe(0);
  expect(seen.sort()).toEqual([0, 1]);
  const left = (now: number) => {
    tracker.expire(now);
    return table.count;
  };
  expect([left(9000), left(11_000), left(33_000), left(35_000)]).toEqual([2, 1, 1, 0]);
});
