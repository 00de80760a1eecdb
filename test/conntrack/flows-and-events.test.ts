/** Walking, finding and ending flows, and the events of their lives. */
import { describe, expect, test } from 'vitest';
import { Conntrack, type FlowEvent, formatFlow, NatgateError } from '../../src/conntrack/index.ts';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';

const CLIENT = '10.0.0.2:40000';
const SERVER = '192.0.2.7:443';
const tcp = (from: string, to: string, flags: string) => tcpPacket({ from, to, flags });
const syn = tcp(CLIENT, SERVER, 'S');
const synAck = tcp(SERVER, CLIENT, 'SA');
const ack = tcp(CLIENT, SERVER, 'A');
const query = udpPacket({ from: '10.0.0.2:5000', to: '192.0.2.53:53', payload: 'q' });
const answer = udpPacket({ from: '192.0.2.53:53', to: '10.0.0.2:5000', payload: 'a' });
const ping = echoPacket({ from: '10.0.0.2', to: '192.0.2.7', identifier: 77 });

function trackAll(conntrack: Conntrack, packets: Uint8Array[], now = 0): Conntrack {
  for (const packet of packets) conntrack.track(packet, now);
  return conntrack;
}

const withFlows = (capacity = 64) => trackAll(new Conntrack({ now: 0, capacity }), [syn, query, ping]);

describe('flows', () => {
  test('walked, filtered and counted; those whose time is up are gone', () => {
    const conntrack = withFlows();
    const protocols = (now: number, filter?: Parameters<Conntrack['flows']>[1]) =>
      [...conntrack.flows(now, filter)].map(({ protocol }) => protocol);
    expect(protocols(0)).toEqual([6, 17, 1]);
    expect(protocols(0, (flow) => flow.protocol !== 17)).toEqual([6, 1]);
    expect(conntrack.count(0)).toBe(3);
    expect(conntrack.count(0, ({ original }) => original.dport === 443)).toBe(1);
    expect(protocols(60_000)).toEqual([6]);
    expect(conntrack.count(600_000)).toBe(0);
  });

  test('found by either tuple', () => {
    const conntrack = withFlows();
    const there = { src: '10.0.0.2', sport: 5000, dst: '192.0.2.53', dport: 53 };
    const back = { src: '192.0.2.53', sport: 53, dst: '10.0.0.2', dport: 5000 };
    const found = conntrack.find(17, there, 0);
    expect(found).toMatchObject({ protocol: 17, originalPackets: 1, timeoutSeconds: 30 });
    expect(conntrack.find(17, back, 0)).toEqual(found);
    expect(conntrack.find(17, found!.reply, 0)).toEqual(found);
    expect(conntrack.find(6, there, 0)).toBeNull();
    expect(conntrack.find(17, { ...there, dport: 54 }, 0)).toBeNull();
    expect(conntrack.find(17, there, 31_000)).toBeNull();
  });

  test('an ICMP flow is found by type and id', () => {
    const conntrack = withFlows();
    const request = { src: '10.0.0.2', dst: '192.0.2.7', sport: 77, icmpType: 8 };
    expect(conntrack.find(1, request, 0)?.protocol).toBe(1);
    expect(conntrack.find(1, { src: '192.0.2.7', dst: '10.0.0.2', sport: 77 }, 0)?.protocol).toBe(1);
    expect(conntrack.find(1, { ...request, icmpType: 13 }, 0)).toBeNull();
    expect(conntrack.find(1, { ...request, sport: 78 }, 0)).toBeNull();
  });

  test('an address that is none is refused', () => {
    const conntrack = withFlows();
    const wrong = { src: '10.0.0', dst: '192.0.2.53' };
    expect(() => conntrack.find(17, wrong, 0)).toThrow(NatgateError);
    expect(() => conntrack.delete(17, wrong, 0)).toThrow(/not an IPv4 address: 10\.0\.0/);
  });

  test('ended one by one, or all that a filter chooses', () => {
    const conntrack = withFlows();
    const { reply } = conntrack.find(17, { src: '10.0.0.2', sport: 5000, dst: '192.0.2.53', dport: 53 }, 0)!;
    expect(conntrack.delete(17, reply, 0)).toBe(true);
    expect(conntrack.delete(17, reply, 0)).toBe(false);
    expect(conntrack.track(query, 0).state).toBe('NEW');
    expect(conntrack.flush(0, ({ protocol }) => protocol === 6)).toBe(1);
    expect([...conntrack.flows(0)].map(({ protocol }) => protocol)).toEqual([17, 1]);
    expect(conntrack.flush(0)).toBe(2);
    expect(conntrack.size).toBe(0);
  });
});

describe('events', () => {
  /** `type [state] packets [reason]` of all events. */
  function listen(conntrack: Conntrack): string[] {
    const lines: string[] = [];
    const note = ({ type, flow, reason }: FlowEvent) => {
      const packets = flow.originalPackets + flow.replyPackets;
      const words = [type, flow.state, packets, flow.assured ? 'ASSURED' : '', reason];
      lines.push(words.filter((word) => word !== '').join(' '));
    };
    for (const type of ['new', 'update', 'destroy'] as const) conntrack.on(type, note);
    return lines;
  }

  test('the life of a connection', () => {
    const conntrack = new Conntrack({ now: 0 });
    const lines = listen(conntrack);
    const packets = [
      syn,
      synAck,
      ack,
      ack,
      tcp(CLIENT, SERVER, 'FA'),
      tcp(SERVER, CLIENT, 'FA'),
      tcp(CLIENT, SERVER, 'A'),
    ];
    trackAll(conntrack, packets);
    conntrack.expire(200_000);
    expect(lines).toEqual([
      'new SYN_SENT 1',
      'update SYN_RECV 2',
      'update ESTABLISHED 3 ASSURED',
      'update FIN_WAIT 5 ASSURED',
      'update LAST_ACK 6 ASSURED',
      'update TIME_WAIT 7 ASSURED',
      'destroy TIME_WAIT 7 ASSURED timeout',
    ]);
  });

  test('UDP: the first answer, and the stream', () => {
    const conntrack = new Conntrack({ now: 0 });
    const lines = listen(conntrack);
    trackAll(conntrack, [query, query, answer, answer]);
    trackAll(conntrack, [query, answer], 2001);
    expect(lines).toEqual(['new 1', 'update 3', 'update 5 ASSURED']);
  });

  test('every way to end has its reason', () => {
    const conntrack = new Conntrack({ now: 0 });
    const lines = listen(conntrack);
    trackAll(conntrack, [syn, synAck, ack, tcp(CLIENT, SERVER, 'R'), syn, query]);
    conntrack.flush(0, ({ protocol }) => protocol === 6);
    conntrack.track(ping, 31_000);
    expect(lines.slice(3)).toEqual([
      'update CLOSE 4 ASSURED',
      'destroy CLOSE 4 ASSURED reused',
      'new SYN_SENT 1',
      'new 1',
      'destroy SYN_SENT 1 deleted',
      'destroy 1 timeout',
      'new 1',
    ]);
  });

  test('carry the caller’s time, and the flow as it was', () => {
    const origin = Date.UTC(2030, 0);
    const conntrack = new Conntrack({ now: origin });
    const events: FlowEvent[] = [];
    conntrack.on('new', (event) => events.push(event));
    conntrack.on('destroy', (event) => events.push(event));
    conntrack.track(query, origin + 5);
    conntrack.expire(origin + 40_000);
    expect(events.map(({ type, now }) => [type, now - origin])).toEqual([
      ['new', 5],
      ['destroy', 40_000],
    ]);
    expect(formatFlow(events[0]!.flow)).toBe(
      'udp      17 30 src=10.0.0.2 dst=192.0.2.53 sport=5000 dport=53 [UNREPLIED] src=192.0.2.53 dst=10.0.0.2 sport=53 dport=5000 mark=0 use=1',
    );
    expect(events[1]!.flow).toEqual({ ...events[0]!.flow, timeoutSeconds: 0 });
  });

  test('INVALID and RELATED packets are no events', () => {
    const conntrack = new Conntrack({ now: 0 });
    const lines = listen(conntrack);
    trackAll(conntrack, [tcp(CLIENT, SERVER, 'SA'), answer.subarray(0, 9)]);
    expect(lines).toEqual([]);
  });

  test('a subscription ends when it is ended', () => {
    const conntrack = new Conntrack({ now: 0 });
    let told = 0;
    const stop = conntrack.on('new', () => told++);
    conntrack.track(query, 0);
    stop();
    conntrack.track(syn, 0);
    expect(told).toBe(1);
  });

  test('listeners may use the tracker; everybody sees one order', () => {
    const conntrack = new Conntrack({ now: 0 });
    conntrack.on('new', ({ flow, now }) => {
      if (flow.protocol === 17) conntrack.delete(17, flow.original, now);
      if (flow.protocol === 6) conntrack.track(ping, now);
    });
    const lines = listen(conntrack);
    trackAll(conntrack, [query, syn]);
    expect(lines).toEqual(['new 1', 'destroy 1 deleted', 'new SYN_SENT 1', 'new 1']);
    expect(conntrack.size).toBe(2);
  });

  test('a listener that throws keeps nothing from the others, nor from the tracker', () => {
    const conntrack = new Conntrack({ now: 0 });
    conntrack.on('destroy', () => {
      throw new Error('mine');
    });
    const lines = listen(conntrack);
    trackAll(conntrack, [syn, query]);
    expect(() => conntrack.flush(0)).toThrow('mine');
    expect(lines).toEqual(['new SYN_SENT 1', 'new 1', 'destroy SYN_SENT 1 deleted', 'destroy 1 deleted']);
    expect(conntrack.size).toBe(0);
    conntrack.track(query, 0);
    expect(lines).toHaveLength(5);
  });

  test('as many begin as end', () => {
    const conntrack = new Conntrack({ now: 0, capacity: 32 });
    let live = 0;
    conntrack.on('new', () => live++);
    conntrack.on('destroy', () => live--);
    for (let i = 0; i < 500; i++) {
      conntrack.track(udpPacket({ from: `10.0.0.2:${1 + (i % 77)}`, to: '192.0.2.53:53' }), i * 900);
      expect(live).toBe(conntrack.size);
    }
    conntrack.expire(500 * 900 + 40_000);
    expect([live, conntrack.size]).toEqual([0, 0]);
  });
});
