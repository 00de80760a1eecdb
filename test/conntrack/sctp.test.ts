/** SCTP associations as conversations, the verification tag's rules, and the whole table of netfilter. */
import { describe, expect, test } from 'vitest';
import { nextSctpState, SCTP_INVALID, sctpStateNames } from '../../src/conntrack/sctp-states.ts';
import { chunk, initChunk, sctpPacket } from './sctp-packets.ts';
import { Bed } from './tracker-bed.ts';

const A = '10.77.0.2:5000';
const B = '198.18.0.2:38412';
/** What the client, and what the server wants to see. */
const [CLIENT, SERVER] = [0x11111111, 0xee222222];
const [DATA, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT] = [0, 2, 3, 4, 5, 6] as const;
const [SHUTDOWN, SHUTDOWN_ACK, ERROR, COOKIE_ECHO, COOKIE_ACK, SHUTDOWN_COMPLETE] = [
  7, 8, 9, 10, 11, 14,
] as const;
const out = (tag: number, ...chunks: Uint8Array[]) => sctpPacket({ from: A, to: B, tag, chunks });
const back = (tag: number, ...chunks: Uint8Array[]) => sctpPacket({ from: B, to: A, tag, chunks });

function feed(bed: Bed, ...packets: Uint8Array[]): string[] {
  return packets.map((packet) => {
    const verdict = bed.feed(packet);
    const flow = bed.flow();
    return `${verdict} ${flow?.state} ${flow?.timeoutSeconds}${flow?.assured ? ' assured' : ''}`;
  });
}

const handshake = () => [
  out(0, initChunk(CLIENT)),
  back(CLIENT, initChunk(SERVER, INIT_ACK)),
  out(SERVER, chunk(COOKIE_ECHO, 0, 40), chunk(DATA, 3, 20)),
  back(CLIENT, chunk(COOKIE_ACK), chunk(SACK, 0, 12)),
];

function associated(): Bed {
  const bed = new Bed();
  feed(bed, ...handshake());
  expect(bed.flow()).toMatchObject({ state: 'ESTABLISHED', assured: true });
  return bed;
}

test('from INIT to SHUTDOWN COMPLETE, with netfilter’s timeouts and events', () => {
  const bed = new Bed();
  expect(feed(bed, ...handshake())).toEqual([
    'original CLOSED 10',
    'reply COOKIE_WAIT 3',
    'original COOKIE_ECHOED 3',
    'reply ESTABLISHED 210 assured',
  ]);
  expect(feed(bed, out(SERVER, chunk(DATA, 3, 21)), back(CLIENT, chunk(SACK, 0, 12)))).toEqual([
    'original ESTABLISHED 210 assured',
    'reply ESTABLISHED 210 assured',
  ]);
  expect(
    feed(
      bed,
      out(SERVER, chunk(SHUTDOWN, 0, 4)),
      back(CLIENT, chunk(SHUTDOWN_ACK)),
      out(SERVER, chunk(SHUTDOWN_COMPLETE)),
    ),
  ).toEqual([
    'original SHUTDOWN_SENT 3 assured',
    'reply SHUTDOWN_ACK_SENT 3 assured',
    'original CLOSED 10 assured',
  ]);
  bed.pass(11_000);
  expect(bed.table.count).toBe(0);
  expect(bed.events).toEqual([
    'new 0 CLOSED unreplied',
    'update 0 COOKIE_WAIT',
    'update 0 COOKIE_ECHOED',
    'update 0 ESTABLISHED assured',
    'update 0 SHUTDOWN_SENT assured',
    'update 0 SHUTDOWN_ACK_SENT assured',
    'update 0 CLOSED assured',
    'destroy 0 timeout',
  ]);
});

describe('the first packet', () => {
  test.each([
    ['DATA', out(SERVER, chunk(DATA, 3, 16))],
    ['COOKIE ECHO', out(SERVER, chunk(COOKIE_ECHO, 0, 8))],
    ['ABORT', out(SERVER, chunk(ABORT))],
    ['SHUTDOWN ACK', out(SERVER, chunk(SHUTDOWN_ACK))],
    ['an INIT with a tag', out(1, initChunk(CLIENT))],
    ['an INIT with company', out(0, initChunk(CLIENT), chunk(DATA, 3, 16))],
    ['half an INIT', out(0, chunk(1, 0, 12))],
    ['no chunk', out(0)],
    ['a chunk without length', out(0, new Uint8Array([1, 0, 0, 0]))],
  ])('%s begins nothing', (_, packet) => {
    const bed = new Bed();
    expect(bed.feed(packet)).toBe('invalid first');
    expect(bed.table.count).toBe(0);
  });

  test('a HEARTBEAT begins a second path; its answer makes it ESTABLISHED', () => {
    const bed = new Bed();
    expect(feed(bed, out(SERVER, chunk(HEARTBEAT, 0, 8)), back(CLIENT, chunk(HEARTBEAT_ACK, 0, 8)))).toEqual([
      'original HEARTBEAT_SENT 30',
      'reply ESTABLISHED 210 assured',
    ]);
    expect(feed(bed, out(SERVER, chunk(DATA, 3, 16)), back(CLIENT, chunk(SACK, 0, 12)))).toEqual([
      'original ESTABLISHED 210 assured',
      'reply ESTABLISHED 210 assured',
    ]);
    expect(bed.feed(back(CLIENT + 1, chunk(DATA, 3, 16)))).toBe('invalid_sctp');
  });

  test('an INIT that is sent again does not prolong', () => {
    const bed = new Bed();
    feed(bed, out(0, initChunk(CLIENT)));
    bed.pass(4000);
    expect(feed(bed, out(0, initChunk(CLIENT)))).toEqual(['original CLOSED 6']);
  });
});

describe('verification tags', () => {
  test.each([
    ['DATA', out(SERVER + 1, chunk(DATA, 3, 16))],
    ['DATA with the sender’s own', out(CLIENT, chunk(DATA, 3, 16))],
    ['SACK', back(SERVER, chunk(SACK, 0, 12))],
    ['SHUTDOWN', back(CLIENT - 1, chunk(SHUTDOWN, 0, 4))],
    ['ERROR', back(0, chunk(ERROR, 0, 4))],
    ['COOKIE ECHO', out(CLIENT, chunk(COOKIE_ECHO, 0, 8))],
    ['COOKIE ACK', back(SERVER, chunk(COOKIE_ACK))],
    ['INIT that is not 0', out(SERVER, initChunk(9))],
    ['INIT ACK', back(0, initChunk(9, INIT_ACK))],
    ['ABORT', back(SERVER, chunk(ABORT))],
    ['ABORT, reflected', back(CLIENT, chunk(ABORT, 1))],
    ['SHUTDOWN COMPLETE', out(CLIENT, chunk(SHUTDOWN_COMPLETE))],
    ['SHUTDOWN COMPLETE, reflected', out(SERVER, chunk(SHUTDOWN_COMPLETE, 1))],
    ['HEARTBEAT with DATA', out(5, chunk(HEARTBEAT, 0, 8), chunk(DATA, 3, 16))],
    ['HEARTBEAT ACK that nobody asked for', back(5, chunk(HEARTBEAT_ACK, 0, 8))],
  ])('wrong: %s', (_, packet) => {
    const bed = associated();
    const before = bed.table.hot.slice();
    bed.now += 1000;
    expect(bed.feed(packet)).toBe('invalid_sctp');
    expect(bed.table.hot).toEqual(before);
  });

  test('ABORT with the right tag, or with the reflected one and flag T, closes', () => {
    expect(feed(associated(), back(CLIENT, chunk(ABORT)))).toEqual(['reply CLOSED 10 assured']);
    expect(feed(associated(), back(SERVER, chunk(ABORT, 1)))).toEqual(['reply CLOSED 10 assured']);
  });

  test('after a restart a HEARTBEAT with new tags passes, and counts once it is answered', () => {
    const bed = associated();
    bed.pass(5000);
    expect(feed(bed, out(0x77, chunk(HEARTBEAT, 0, 8)))).toEqual(['original ESTABLISHED 205 assured']);
    expect(feed(bed, back(0x88, chunk(HEARTBEAT_ACK, 0, 8)))).toEqual(['reply ESTABLISHED 210 assured']);
    expect(bed.feed(back(0x88, chunk(DATA, 3, 16)))).toBe('reply');
    expect(bed.feed(back(CLIENT, chunk(DATA, 3, 16)))).toBe('invalid_sctp');
    expect(bed.feed(out(0x77, chunk(HEARTBEAT, 0, 8)))).toBe('original');
    expect(bed.feed(out(0x77, chunk(DATA, 3, 16)))).toBe('original');
  });

  test('the answer to one’s own HEARTBEAT must come from the other side', () => {
    const bed = associated();
    feed(bed, out(0x77, chunk(HEARTBEAT, 0, 8)));
    expect(bed.feed(out(0x78, chunk(HEARTBEAT_ACK, 0, 8)))).toBe('invalid_sctp');
  });
});

test('chunks out of place', () => {
  const bed = associated();
  expect(bed.feed(out(SERVER, chunk(DATA, 3, 16), chunk(COOKIE_ECHO, 0, 8)))).toBe('invalid_sctp');
  expect(bed.feed(back(CLIENT, chunk(SACK, 0, 12), chunk(COOKIE_ACK)))).toBe('invalid_sctp');
  expect(bed.feed(out(SERVER, chunk(SHUTDOWN_COMPLETE), chunk(DATA, 3, 16)))).toBe('invalid_sctp');
});

/** As enum sctp_conntrack and its table list them, by chunk. */
const rows: Record<string, string> = {
  'original 1': 'CL CL CW CE ES CL CL SA CW',
  'original 2': 'CL CL CW CE ES SS SR SA CL',
  'original 6': 'CL CL CL CL CL CL CL CL CL',
  'original 7': 'CL CL CW CE SS SS SR SA CL',
  'original 8': 'SA CL CW CE ES SA SA SA SA',
  'original 9': 'CL CL CW CE ES SS SR SA CL',
  'original 10': 'CL CL CE CE ES SS SR SA CL',
  'original 11': 'CL CL CW CE ES SS SR SA CL',
  'original 14': 'CL CL CW CE ES SS SR CL CL',
  'original 4': 'HS CL CW CE ES SS SR SA HS',
  'original 5': 'CL CL CW CE ES SS SR SA HS',
  'reply 1': 'IV CL CW CE ES SS SR SA IV',
  'reply 2': 'IV CW CW CE ES SS SR SA IV',
  'reply 6': 'IV CL CL CL CL CL CL CL IV',
  'reply 7': 'IV CL CW CE SR SS SR SA IV',
  'reply 8': 'IV CL CW CE ES SA SA SA IV',
  'reply 9': 'IV CL CW CL ES SS SR SA IV',
  'reply 10': 'IV CL CW CE ES SS SR SA IV',
  'reply 11': 'IV CL CW ES ES SS SR SA IV',
  'reply 14': 'IV CL CW CE ES SS SR CL IV',
  'reply 4': 'IV CL CW CE ES SS SR SA HS',
  'reply 5': 'IV CL CW CE ES SS SR SA ES',
};
const short: Record<string, string> = {
  CL: 'CLOSED',
  CW: 'COOKIE_WAIT',
  CE: 'COOKIE_ECHOED',
  ES: 'ESTABLISHED',
  SS: 'SHUTDOWN_SENT',
  SR: 'SHUTDOWN_RECD',
  SA: 'SHUTDOWN_ACK_SENT',
  HS: 'HEARTBEAT_SENT',
};

test('the whole table; chunks that are not in it leave the state', () => {
  for (const direction of [0, 1]) {
    for (let type = 0; type < 256; type++) {
      const row = rows[`${direction ? 'reply' : 'original'} ${type}`]?.split(' ');
      for (let state = 0; state < 9; state++) {
        const next = nextSctpState(direction, type, state);
        const name = next === SCTP_INVALID ? undefined : sctpStateNames[next];
        expect(name, `${direction} ${type} ${state}`).toBe(row ? short[row[state]!] : sctpStateNames[state]);
      }
    }
  }
});
