import { describe, expect, test } from 'vitest';
import { Conntrack, type ConntrackState, formatAddress } from '../../src/conntrack/index.ts';
import { echoPacket, icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { corpus } from '../corpus/load.ts';
import { hex } from '../wire/hex.ts';

const CLIENT = '10.0.0.2:40000';
const SERVER = '192.0.2.7:443';

const tcp = (from: string, to: string, flags: string) => tcpPacket({ from, to, flags });
const syn = tcp(CLIENT, SERVER, 'S');
const synAck = tcp(SERVER, CLIENT, 'SA');
const ack = tcp(CLIENT, SERVER, 'A');
const query = udpPacket({ from: '10.0.0.2:5000', to: '192.0.2.53:53', payload: 'q' });
const answer = udpPacket({ from: '192.0.2.53:53', to: '10.0.0.2:5000', payload: 'a' });

function states(conntrack: Conntrack, packets: Uint8Array[], now = 0): ConntrackState[] {
  return packets.map((packet) => conntrack.track(packet, now).state);
}

test('literal packets: a DNS query is NEW, its answer ESTABLISHED', () => {
  const conntrack = new Conntrack({ now: 0 });
  const first = conntrack.track(
    hex('45 00 00 1e 00 01 40 00 40 11 6a 6b 0a 4d 00 02 c6 12 00 02 13 88 00 35 00 0a b3 50 68 69'),
    0,
  );
  expect(first).toMatchObject({ state: 'NEW', reason: '', direction: 'original' });
  expect(first.flow).toMatchObject({
    protocol: 17,
    state: '',
    original: { sport: 5000, dport: 53 },
    reply: { sport: 53, dport: 5000 },
    originalPackets: 1,
    originalBytes: 30,
    replyPackets: 0,
    replyBytes: 0,
    timeoutSeconds: 30,
    assured: false,
    unreplied: true,
  });
  expect(formatAddress(first.flow!.original.src)).toBe('10.77.0.2');
  expect(formatAddress(first.flow!.reply.src)).toBe('198.18.0.2');
  const second = conntrack.track(
    hex('45 00 00 1e 00 01 40 00 40 11 6a 6b c6 12 00 02 0a 4d 00 02 00 35 13 88 00 0a b3 50 68 69'),
    20,
  );
  expect(second).toMatchObject({ state: 'ESTABLISHED', direction: 'reply' });
  expect(second.flow).toMatchObject({ replyPackets: 1, replyBytes: 30, unreplied: false });
});

describe('TCP', () => {
  test('NEW until the other side has answered', () => {
    const conntrack = new Conntrack({ now: 0 });
    expect(states(conntrack, [syn, syn, synAck, syn, ack])).toEqual([
      'NEW',
      'NEW',
      'ESTABLISHED',
      'ESTABLISHED',
      'ESTABLISHED',
    ]);
    expect(conntrack.size).toBe(1);
  });

  test('a SYN after the end begins another flow', () => {
    const conntrack = new Conntrack({ now: 0 });
    states(conntrack, [syn, synAck, ack, tcp(CLIENT, SERVER, 'R')]);
    const again = conntrack.track(syn, 100);
    expect(again).toMatchObject({ state: 'NEW', direction: 'original' });
    expect(again.flow).toMatchObject({ state: 'SYN_SENT', originalPackets: 1, replyPackets: 0 });
    expect(conntrack.size).toBe(1);
  });

  test('INVALID: no flow is made, and the reason is said', () => {
    const conntrack = new Conntrack({ now: 0 });
    for (const flags of ['SA', 'R', 'FA', 'SF', '']) {
      expect(conntrack.track(tcp(CLIENT, SERVER, flags), 0)).toEqual({
        state: 'INVALID',
        reason: 'invalid_tcp',
        direction: '',
        flow: null,
      });
    }
    expect(conntrack.size).toBe(0);
  });
});

describe('ICMP', () => {
  const ping = { from: '10.0.0.2', to: '192.0.2.7', identifier: 77 };

  test('echo and its reply', () => {
    const conntrack = new Conntrack({ now: 0 });
    const request = conntrack.track(echoPacket(ping), 0);
    expect(request.flow).toMatchObject({
      original: { sport: 77, dport: 77, icmpType: 8, icmpCode: 0 },
      reply: { sport: 77, dport: 77, icmpType: 0, icmpCode: 0 },
    });
    const pong = echoPacket({ ...ping, from: ping.to, to: ping.from, reply: true });
    expect(conntrack.track(pong, 0)).toMatchObject({ state: 'ESTABLISHED', direction: 'reply' });
  });

  test('a reply without a request is INVALID; so is another id', () => {
    const conntrack = new Conntrack({ now: 0 });
    const pong = (identifier: number) =>
      echoPacket({ from: ping.to, to: ping.from, identifier, reply: true });
    expect(conntrack.track(pong(77), 0)).toMatchObject({ state: 'INVALID', reason: 'no_flow' });
    conntrack.track(echoPacket(ping), 0);
    expect(states(conntrack, [pong(78), pong(77)])).toEqual(['INVALID', 'ESTABLISHED']);
  });

  test('an error is RELATED to the flow of the packet it quotes, whoever sends it, and changes nothing', () => {
    const conntrack = new Conntrack({ now: 0 });
    const before = conntrack.track(query, 0).flow;
    for (const [from, type, code] of [
      ['192.0.2.53', 3, 3],
      ['203.0.113.1', 11, 0],
      ['203.0.113.1', 3, 4],
      ['203.0.113.1', 12, 0],
      ['203.0.113.1', 4, 0],
    ] as const) {
      const error = icmpError({ from, to: '10.0.0.2', type, code, packet: query });
      expect(conntrack.track(error, 0)).toEqual({
        state: 'RELATED',
        reason: '',
        direction: 'reply',
        flow: before,
      });
    }
    expect(conntrack.track(answer, 0).state).toBe('ESTABLISHED');
    const fromClient = icmpError({ from: '10.0.0.2', to: '192.0.2.53', type: 3, code: 3, packet: answer });
    expect(conntrack.track(fromClient, 0)).toMatchObject({ state: 'RELATED', direction: 'original' });
  });

  test.each([
    ['about an unknown flow', 'no_related', { to: '10.0.0.2', packet: answer }],
    ['to another host', 'no_related', { to: '10.0.0.3', packet: query }],
    ['that quotes too little', 'bad_quote', { to: '10.0.0.2', packet: query, quote: 27 }],
  ])('an error %s is INVALID', (_, reason, fields) => {
    const conntrack = new Conntrack({ now: 0 });
    conntrack.track(query, 0);
    const error = icmpError({ from: '203.0.113.1', type: 3, code: 1, ...fields });
    expect(conntrack.track(error, 0)).toMatchObject({ state: 'INVALID', reason });
  });

  test('an error with a wrong checksum is INVALID', () => {
    const conntrack = new Conntrack({ now: 0 });
    conntrack.track(query, 0);
    const error = icmpError({ from: '203.0.113.1', to: '10.0.0.2', type: 3, code: 1, packet: query });
    error[22]! ^= 1;
    expect(conntrack.track(error, 0)).toMatchObject({ state: 'INVALID', reason: 'bad_icmp_checksum' });
  });
});

describe('fragments', () => {
  const first = hex(`
    45 00 00 2c 00 09 20 00 40 11 8a 55 0a 4d 00 02 c6 12 00 02
    13 88 00 35 00 30 00 00  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66`);
  const last = hex(
    '45 00 00 24 00 09 00 03 40 11 aa 5a 0a 4d 00 02 c6 12 00 02  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66',
  );

  test('a later one belongs to the flow of its first', () => {
    const conntrack = new Conntrack({ now: 0 });
    expect(conntrack.track(first, 0)).toMatchObject({ state: 'NEW' });
    const later = conntrack.track(last, 10);
    expect(later).toMatchObject({ state: 'NEW', direction: 'original' });
    expect(later.flow).toMatchObject({ originalPackets: 2, originalBytes: 44 + 36 });
  });

  test('without its first, or long after it, it is INVALID', () => {
    const conntrack = new Conntrack({ now: 0 });
    expect(conntrack.track(last, 0)).toMatchObject({ state: 'INVALID', reason: 'fragment_first_missing' });
    conntrack.track(first, 0);
    expect(conntrack.track(last, 29_999).state).toBe('NEW');
    expect(conntrack.track(last, 30_000)).toMatchObject({ reason: 'fragment_first_missing' });
  });

  test('one that overlaps makes its datagram INVALID; a duplicate does not', () => {
    const conntrack = new Conntrack({ now: 0 });
    const wider = hex(
      '45 00 00 3c 00 09 00 02 40 11 aa 43 0a 4d 00 02 c6 12 00 02  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 30 31 32 33 34 35 36 37',
    );
    expect(conntrack.track(first, 0).state).toBe('NEW');
    expect(conntrack.track(first, 0).state).toBe('NEW');
    expect(conntrack.track(wider, 0)).toMatchObject({ state: 'INVALID', reason: 'fragment_overlap' });
    expect(conntrack.track(last, 0)).toMatchObject({ state: 'INVALID', reason: 'fragment_overlap' });
    expect(conntrack.track(last, 30_000)).toMatchObject({ reason: 'fragment_first_missing' });
  });
});

describe('time', () => {
  test('a day passes in one line', () => {
    const conntrack = new Conntrack({ now: 0 });
    states(conntrack, [syn, synAck, ack, query]);
    expect(conntrack.size).toBe(2);
    conntrack.expire(86_400_000);
    expect([...conntrack.flows(86_400_000)].map(({ protocol }) => protocol)).toEqual([6]);
    expect([...conntrack.flows(86_400_000)][0]).toMatchObject({ timeoutSeconds: 345_600, assured: true });
  });

  test('a packet after its flow’s time is NEW, though nobody called expire()', () => {
    const conntrack = new Conntrack({ now: 0 });
    states(conntrack, [query, answer]);
    expect(conntrack.track(query, 29_000).state).toBe('ESTABLISHED');
    const late = conntrack.track(query, 29_000 + 121_000);
    expect(late.state).toBe('NEW');
    expect(late.flow).toMatchObject({ originalPackets: 1 });
  });

  test('expire() ends all that is due, behind whatever number of flows that are not', () => {
    const conntrack = new Conntrack({ now: 0, capacity: 2048 });
    conntrack.track(query, 0);
    for (let port = 1; port <= 1000; port++) {
      const from = `10.0.0.2:${port}`;
      states(conntrack, [tcp(from, SERVER, 'S'), tcp(SERVER, from, 'SA'), tcp(from, SERVER, 'A')]);
    }
    for (let port = 1; port <= 10; port++)
      conntrack.track(udpPacket({ from: `10.0.0.3:${port}`, to: SERVER }), 0);
    conntrack.expire(86_400_000);
    expect(conntrack.size).toBe(1000);
    conntrack.expire(6 * 86_400_000);
    expect(conntrack.size).toBe(0);
  });

  test('timeouts of the caller', () => {
    const conntrack = new Conntrack({ now: 0, timeouts: { udp: 5 } });
    expect(conntrack.track(query, 0).flow?.timeoutSeconds).toBe(5);
    conntrack.expire(6000);
    expect(conntrack.size).toBe(0);
  });

  test('any origin: times beyond 2^31 and before 0', () => {
    for (const origin of [Date.UTC(2030, 0), 2 ** 31 - 10, -5]) {
      const conntrack = new Conntrack({ now: origin });
      expect(conntrack.track(query, origin).state).toBe('NEW');
      expect(conntrack.track(answer, origin + 1000).state).toBe('ESTABLISHED');
      conntrack.expire(origin + 29_000);
      expect(conntrack.size).toBe(1);
      conntrack.expire(origin + 32_000);
      expect(conntrack.size).toBe(0);
    }
  });
});

test('a full table is INVALID with its reason', () => {
  const conntrack = new Conntrack({ now: 0, capacity: 2 });
  expect(states(conntrack, [query, syn])).toEqual(['NEW', 'NEW']);
  const more = udpPacket({ from: '10.0.0.2:5001', to: '192.0.2.53:53' });
  expect(conntrack.track(more, 0)).toMatchObject({ state: 'INVALID', reason: 'table_full' });
  expect(states(conntrack, [answer, synAck])).toEqual(['ESTABLISHED', 'ESTABLISHED']);
});

test('the packet is not changed, and may be a view at an odd place', () => {
  const memory = new Uint8Array(query.length + 1);
  memory.set(query, 1);
  const copy = memory.slice();
  const conntrack = new Conntrack({ now: 0 });
  expect(conntrack.track(memory.subarray(1), 0).state).toBe('NEW');
  expect(memory).toEqual(copy);
});

test('the corpus: malformed packets are INVALID under their reason', () => {
  const others = ['ok', 'bad_offload', 'not_public', 'no_flow', 'no_related', 'ttl_exceeded', 'invalid_tcp'];
  others.push('fragment_timeout');
  const malformed = corpus.filter(({ reason }) => !others.includes(reason) && !reason.startsWith('martian'));
  expect(malformed.length).toBeGreaterThan(50);
  for (const { reason, name, packet } of malformed) {
    const conntrack = new Conntrack({ now: 0 });
    expect(conntrack.track(packet, 0), `${reason}/${name}`).toMatchObject({ state: 'INVALID', reason });
  }
  for (const { name, packet } of corpus.filter(({ reason }) => reason === 'ok')) {
    expect(new Conntrack({ now: 0 }).track(packet, 0).state, name).toBe('NEW');
  }
});
