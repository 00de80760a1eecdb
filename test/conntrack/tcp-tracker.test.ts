/** What netfilter does around its TCP table: each refinement as a conversation; and every cell of the table through the tracker. */
import { describe, expect, test } from 'vitest';
import { H_STATUS, STATE_SHIFT } from '../../src/conntrack/flow-table.ts';
import { IGNORE, INVALID, nextTcpState, tcpStateNames } from '../../src/conntrack/tcp-states.ts';
import * as w from '../../src/conntrack/tcp-window.ts';
import { rfcTimeouts } from '../../src/conntrack/timeouts.ts';
import { type TcpFields, tcpPacket } from '../../src/testing/index.ts';
import { hex } from '../wire/hex.ts';
import { Bed } from './tracker-bed.ts';

const A = '10.77.0.2:40000';
const B = '198.18.0.2:80';
type Rest = Partial<Omit<TcpFields, 'flags' | 'seq' | 'ack'>>;
const out = (flags: string, seq: number, ack = 0, rest: Rest = {}) =>
  tcpPacket({ from: A, to: B, flags, seq, ack, ...rest });
const back = (flags: string, seq: number, ack = 0, rest: Rest = {}) =>
  tcpPacket({ from: B, to: A, flags, seq, ack, ...rest });

function feed(bed: Bed, ...packets: Uint8Array[]): string[] {
  return packets.map((packet) => {
    const verdict = bed.feed(packet);
    const flow = bed.flow();
    return `${verdict} ${flow?.state} ${flow?.timeoutSeconds}`;
  });
}

/** Client at 1001, server at 5001. */
function connected(bed = new Bed()): Bed {
  feed(bed, out('S', 1000), back('SA', 5000, 1001), out('A', 1001, 5001));
  expect(bed.flow()).toMatchObject({ state: 'ESTABLISHED', assured: true });
  return bed;
}

describe('RST', () => {
  test('as first answer it passes, and the flow ends with the next expire', () => {
    const bed = new Bed();
    expect(feed(bed, out('S', 1000), back('RA', 0, 1001))).toEqual([
      'original SYN_SENT 120',
      'reply CLOSE 10',
    ]);
    expect(bed.table.count).toBe(1);
    bed.tracker.expire(bed.now | 0);
    expect(bed.table.count).toBe(0);
    expect(bed.events).toEqual(['new 0 SYN_SENT unreplied', 'update 0 CLOSE unreplied', 'destroy 0 closed']);
  });

  test('as first answer with a wrong acknowledgement it is INVALID: a blind RST ends nothing', () => {
    const bed = new Bed();
    feed(bed, out('S', 1000));
    expect(bed.feed(back('RA', 0, 1003))).toBe('invalid_window');
    expect(bed.flow()).toMatchObject({ state: 'SYN_SENT' });
  });

  test('it answers a SYN of the other side, not one of its own sender, and is checked as any then', () => {
    const bed = new Bed();
    feed(bed, out('S', 1000, 0, { window: 100 }), back('S', 5000));
    expect(feed(bed, back('R', 4000))).toEqual(['reply SYN_SENT2 120']);
    const other = new Bed();
    feed(other, out('S', 1000, 0, { window: 100 }), back('S', 5000), out('S', 1000, 0, { window: 100 }));
    expect(feed(other, back('R', 4000))).toEqual(['reply CLOSE 10']);
  });

  test('a SYN right behind it, before the flow is gone, begins anew', () => {
    const bed = new Bed();
    feed(bed, out('S', 1000), back('RA', 0, 1001));
    expect(bed.feed(out('S', 2000))).toBe('reopen');
  });

  test('a flow that was ended and made again meanwhile stays', () => {
    const bed = new Bed();
    feed(bed, out('S', 1000), back('RA', 0, 1001));
    bed.tracker.close(0, 0);
    feed(bed, out('S', 2000));
    bed.tracker.expire(bed.now | 0);
    expect(bed.flow()).toMatchObject({ state: 'SYN_SENT' });
  });

  test('from the client before any answer it ends the flow, too', () => {
    const bed = new Bed();
    feed(bed, out('S', 1000), out('R', 1001));
    bed.tracker.expire(bed.now | 0);
    expect(bed.table.count).toBe(0);
  });

  test('before what is acknowledged: INVALID', () => {
    const bed = connected();
    feed(bed, back('PA', 5001, 1001, { payload: 'hello' }), out('A', 1001, 5006));
    expect(bed.feed(back('R', 5005))).toBe('invalid_rst');
    expect(bed.feed(back('R', 5001))).toBe('invalid_rst');
    expect(bed.flow()).toMatchObject({ state: 'ESTABLISHED' });
  });

  test('exactly there it closes', () => {
    const bed = connected();
    expect(feed(bed, back('R', 5001))).toEqual(['reply CLOSE 10']);
  });

  test('in the window but not there it passes and leaves ESTABLISHED, for 10 s unless somebody speaks', () => {
    const bed = connected();
    expect(feed(bed, back('R', 5100))).toEqual(['reply ESTABLISHED 10']);
    // Its number counts as sent, and is not acknowledged.
    expect(feed(bed, out('A', 1001, 5001))).toEqual(['original ESTABLISHED 300']);
    feed(bed, back('R', 5100));
    bed.pass(9000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
  });

  test('right behind the last segment of its sender it is part of the train, and closes', () => {
    const bed = connected();
    feed(bed, back('PA', 5001, 1001, { payload: 'hello' }));
    expect(feed(bed, back('R', 5006, 1001))).toEqual(['reply CLOSE 10']);
  });

  test('outside the window it is INVALID', () => {
    const bed = connected();
    expect(bed.feed(back('R', 500_000))).toBe('invalid_window');
  });

  test('while the connection closes it is not checked', () => {
    const bed = connected();
    feed(bed, out('FA', 1001, 5001));
    expect(feed(bed, back('R', 1))).toEqual(['reply CLOSE 10']);
  });
});

describe('port reuse', () => {
  const closed = () => {
    const bed = connected();
    feed(bed, out('FA', 1001, 5001), back('FA', 5001, 1002), out('A', 1002, 5002));
    expect(bed.flow()).toMatchObject({ state: 'TIME_WAIT' });
    return bed;
  };

  test('TIME_WAIT: a SYN of either side begins anew', () => {
    expect(closed().feed(out('S', 9000))).toBe('reopen');
    expect(closed().feed(back('S', 9000))).toBe('reopen');
  });

  test('CLOSE by a RST of the same sender: anew', () => {
    const bed = connected();
    feed(bed, out('R', 1001));
    expect(bed.flow()).toMatchObject({ state: 'CLOSE' });
    expect(bed.feed(out('S', 9000))).toBe('reopen');
  });

  test('CLOSE by a RST of the other: the SYN passes, and the SYN/ACK puts the flow right', () => {
    const bed = connected();
    feed(bed, back('R', 5001));
    expect(feed(bed, out('S', 9000), back('SA', 70_000, 9001), out('A', 9001, 70_001))).toEqual([
      'original CLOSE 10',
      'reply SYN_RECV 60',
      'original ESTABLISHED 432000',
    ]);
  });
});

describe('a SYN on a live connection', () => {
  const syn = out('S', 700_000, 0, { window: 3000, options: hex('01010402 01030305') });

  test('answered by a SYN/ACK: in step again, options and window of the SYN count', () => {
    const bed = connected();
    expect(feed(bed, syn)[0]).toBe('original ESTABLISHED 432000');
    expect(
      feed(bed, back('SA', 90_000, 700_001, { window: 2000, options: hex('01010402 01030302') })),
    ).toEqual(['reply SYN_RECV 60']);
    const { track } = bed.table;
    expect(track[w.W_END]).toBe(700_001);
    expect(track[w.W_FLAGS]! >> w.SCALE_SHIFT).toBe(5);
    expect(track[w.SIDE + w.W_END]).toBe(90_001);
    expect(track[w.SIDE + w.W_FLAGS]! >> w.SCALE_SHIFT).toBe(2);
    expect(feed(bed, out('A', 700_001, 90_001), out('PA', 700_001, 90_001, { payload: 'x' }))).toEqual([
      'original ESTABLISHED 432000',
      'original ESTABLISHED 300',
    ]);
  });

  test('a SYN/ACK that answers another passes beside', () => {
    const bed = connected();
    feed(bed, syn);
    expect(feed(bed, back('SA', 90_000, 700_002))).toEqual(['reply ESTABLISHED 432000']);
  });

  test('answered by a challenge ACK and that by a RST: closed', () => {
    const bed = connected();
    feed(bed, syn);
    expect(feed(bed, back('A', 5001, 1001))).toEqual(['reply ESTABLISHED 432000']);
    expect(feed(bed, out('R', 5001 - 4000))).toEqual(
      ['original ESTABLISHED 432000'].map(() => 'original CLOSE 10'),
    );
  });

  test('answered by a RST: closed, though it acknowledges what the flow has never seen', () => {
    const bed = connected();
    feed(bed, syn);
    expect(feed(bed, back('RA', 0, 700_001))).toEqual(['reply CLOSE 10']);
  });

  test('in LAST_ACK the challenge ACK is not taken for that of the FIN', () => {
    const bed = connected();
    feed(bed, out('FA', 1001, 5001), back('FA', 5001, 1002));
    expect(bed.flow()).toMatchObject({ state: 'LAST_ACK' });
    expect(feed(bed, syn, back('A', 5002, 1002), back('A', 5002, 1002))).toEqual([
      'original LAST_ACK 30',
      'reply LAST_ACK 30',
      'reply TIME_WAIT 120',
    ]);
  });
});

describe('opening', () => {
  test('a SYN that is sent again does not prolong, until there is an answer', () => {
    const bed = new Bed();
    feed(bed, out('S', 1000));
    bed.pass(50_000);
    expect(feed(bed, out('S', 1000))).toEqual(['original SYN_SENT 70']);
    bed.pass(69_000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
  });

  test('a later SYN with other numbers: its answer fits', () => {
    const bed = new Bed();
    feed(bed, out('S', 1000), out('S', 400_000));
    expect(feed(bed, back('SA', 5000, 400_001))).toEqual(['reply SYN_RECV 60']);
  });

  test('both at once, the second half of the handshake from either side', () => {
    const bed = new Bed();
    expect(
      feed(
        bed,
        out('S', 1000),
        back('S', 5000),
        out('SA', 1000, 5001),
        back('SA', 5000, 1001),
        out('A', 1001, 5001),
      ),
    ).toEqual([
      'original SYN_SENT 120',
      'reply SYN_SENT2 120',
      'original SYN_RECV 60',
      'reply SYN_RECV 60',
      'original ESTABLISHED 432000',
    ]);
    const other = new Bed();
    feed(other, out('S', 1000), back('S', 5000), out('SA', 1000, 5001));
    expect(feed(other, back('A', 5001, 1001))).toEqual(['reply ESTABLISHED 432000']);
    expect(other.flow()).toMatchObject({ assured: true });
  });

  test('a challenge ACK instead of a SYN/ACK passes; the RST that answers it ends an old connection of the server', () => {
    const bed = new Bed();
    feed(bed, out('S', 1000));
    expect(feed(bed, back('A', 5001, 77_777))).toEqual(['reply SYN_SENT 120']);
    expect(feed(bed, out('R', 77_777))).toEqual(['original CLOSE 10']);
  });
});

describe('timers', () => {
  test('unacknowledged data: 300 s, acknowledged: five days', () => {
    const bed = connected();
    expect(feed(bed, out('PA', 1001, 5001, { payload: 'x' }), back('A', 5001, 1002))).toEqual([
      'original ESTABLISHED 300',
      'reply ESTABLISHED 432000',
    ]);
    bed.pass(1000_000);
    feed(bed, out('PA', 1002, 5001, { payload: 'x' }));
    bed.pass(299_000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
  });

  test('the same segment a fourth time: 300 s; another one: five days', () => {
    const bed = connected();
    const keepalive = out('A', 1000, 5001);
    expect(feed(bed, keepalive, keepalive, keepalive, keepalive, out('A', 1001, 5001))).toEqual([
      'original ESTABLISHED 432000',
      'original ESTABLISHED 432000',
      'original ESTABLISHED 432000',
      'original ESTABLISHED 300',
      'original ESTABLISHED 432000',
    ]);
  });

  test('a thousand repetitions count as many', () => {
    const bed = connected();
    for (let i = 0; i < 1000; i++) expect(bed.feed(out('A', 1000, 5001))).toBe('original');
    expect(bed.flow()).toMatchObject({ timeoutSeconds: 300 });
  });

  test('a shut window: 300 s', () => {
    const bed = connected();
    expect(feed(bed, back('A', 5001, 1001, { window: 0 }), back('A', 5001, 1001))).toEqual([
      'reply ESTABLISHED 300',
      'reply ESTABLISHED 432000',
    ]);
  });

  test('a FIN outside the window answered by a RST outside: 300 s from now', () => {
    const bed = connected();
    bed.pass(10_000);
    expect(bed.feed(out('FA', 900_000, 5001))).toBe('invalid_window');
    expect(bed.flow()).toMatchObject({ timeoutSeconds: 431_990 });
    expect(bed.feed(back('R', 900_000))).toBe('invalid_window');
    expect(bed.flow()).toMatchObject({ state: 'ESTABLISHED', timeoutSeconds: 300 });
    bed.pass(301_000);
    expect(bed.table.count).toBe(0);
  });

  test('with the RFCs’ timeouts data that is not acknowledged keeps 2 h 4 min', () => {
    const bed = connected(new Bed({ timeouts: rfcTimeouts }));
    feed(bed, out('PA', 1001, 5001, { payload: 'x' }));
    bed.pass(7_439_000);
    expect(bed.table.count).toBe(1);
    bed.pass(2000);
    expect(bed.table.count).toBe(0);
  });
});

test('events: new, then each change of state, the first answer and ASSURED; nothing for plain packets', () => {
  const bed = connected();
  feed(
    bed,
    out('PA', 1001, 5001, { payload: 'x' }),
    back('A', 5001, 1002),
    back('PA', 5001, 1002, { payload: 'y' }),
  );
  feed(bed, out('A', 1002, 5002), out('FA', 1002, 5002), back('A', 5002, 1003), back('FA', 5002, 1003));
  feed(bed, out('A', 1003, 5003));
  bed.pass(121_000);
  expect(bed.events).toEqual([
    'new 0 SYN_SENT unreplied',
    'update 0 SYN_RECV',
    'update 0 ESTABLISHED assured',
    'update 0 FIN_WAIT assured',
    'update 0 CLOSE_WAIT assured',
    'update 0 LAST_ACK assured',
    'update 0 TIME_WAIT assured',
    'destroy 0 timeout',
  ]);
});

/** Every cell of the table, by a packet that is right in window and number. */
describe('every cell', () => {
  const cells = [0, 1].flatMap((direction) =>
    ['S', 'SA', 'FA', 'A', 'R', ''].flatMap((flags) =>
      [1, 2, 3, 4, 5, 6, 7, 8, 9].map(
        (state) => [direction ? 'reply' : 'original', flags, tcpStateNames[state]!, state] as const,
      ),
    ),
  );
  const bits: Record<string, number> = { S: 2, SA: 18, FA: 17, A: 16, R: 4, '': 0 };

  test.each(cells)('%s %s in %s', (from, flags, name, state) => {
    const bed = connected();
    const { hot } = bed.table;
    hot[H_STATUS] = (hot[H_STATUS]! & ~0x7f00) | (state << STATE_SHIFT);
    const direction = from === 'reply' ? 1 : 0;
    const packet = direction === 1 ? back(flags, 5001, 1001) : out(flags, 1001, 5001);
    const next = nextTcpState(direction, bits[flags]!, state);
    const verdict = bed.feed(packet);
    if (next === INVALID) expect(verdict).toBe('invalid_tcp');
    else expect(verdict).toBe(from);
    const passes = next === INVALID || next === IGNORE || (next === 1 && state >= 7);
    expect(bed.flow()!.state).toBe(passes ? name : tcpStateNames[next]);
  });
});
