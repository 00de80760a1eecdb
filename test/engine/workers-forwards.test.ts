/** Four workers as one gateway: forwards that shift ports, and hairpins, whose two ends are at two workers. */
import { describe, expect, test } from 'vitest';
import { workerOfPort } from '../../src/nat/port-class.ts';
import { echoPacket, icmpError, tcpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { address, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { Crew, queueOf } from './crew.ts';
import { only } from './nat-bed.ts';
import { filler } from './packets.ts';
import { CLIENT, crewWith, OTHER, SERVER, udp, WORKERS, withForward } from './workers-bed.ts';

describe('a forward that shifts ports', () => {
  // 8082 is worker 1's, 80 worker 0's.
  test('its answers find the way to the flow', () => {
    const crew = new Crew({ nat: withForward(8082, 80) });
    const inward = only(PRIVATE, crew.in(udp(`${SERVER}:5000`, `${EXTERNAL}:8082`)));
    expect(inward).toMatchObject({ src: SERVER, sport: 5000, dst: CLIENT, dport: 80 });
    expect(crew.counts).toEqual([0, 1, 0, 0]);
    const answer = only(PUBLIC, crew.out(udp(`${CLIENT}:80`, `${SERVER}:5000`)));
    expect(answer).toMatchObject({ src: EXTERNAL, sport: 8082, dst: SERVER });
    expect(crew.totals['handed_off']).toBe(1);
    // The flow is over: the next packet of the server is a flow of its own, at the worker of its own port.
    crew.pass(300_000);
    expect(crew.counts).toEqual([0, 0, 0, 0]);
    expect(only(PUBLIC, crew.out(udp(`${CLIENT}:80`, `${SERVER}:5000`)))).toMatchObject({ src: EXTERNAL });
    expect(crew.counts).toEqual([1, 0, 0, 0]);
    expect(crew.totals['handed_off']).toBe(1);
  });

  test('an ICMP error about its answer finds it too', () => {
    const crew = new Crew({ nat: withForward(8082, 80) });
    const inward = to(PRIVATE, crew.in(udp(`${SERVER}:5000`, `${EXTERNAL}:8082`)))[0]!;
    const error = icmpError({ from: CLIENT, to: SERVER, type: 3, code: 3, packet: inward });
    expect(queueOf(error, PRIVATE, WORKERS)).toBe(0);
    const sent = decode(to(PUBLIC, crew.out(error))[0]!);
    expect(sent).toMatchObject({ src: EXTERNAL, dst: SERVER, type: 3, code: 3, checksumOk: true });
    // It quotes what the remote host sent.
    expect(decode(sent.payload.subarray(0)).dport).toBe(8082);
  });

  test('twice NAT, with a remote port of any worker', () => {
    const crew = new Crew({ nat: withForward(8082, 80, { twice: true }) });
    for (const port of [5000, 5002, 5004, 5006]) {
      const inward = only(PRIVATE, crew.in(udp(`${SERVER}:${port}`, `${EXTERNAL}:8082`)));
      expect(inward).toMatchObject({ src: '10.77.0.1', dst: CLIENT, dport: 80 });
      expect(workerOfPort(inward.sport, WORKERS)).toBe(1);
      const answer = only(PUBLIC, crew.out(udp(`${CLIENT}:80`, `10.77.0.1:${inward.sport}`)));
      expect(answer).toMatchObject({ src: EXTERNAL, sport: 8082, dst: SERVER, dport: port });
    }
    expect(crew.counts).toEqual([0, 4, 0, 0]);
  });

  test('affinity holds at all workers', () => {
    const targets = [CLIENT, OTHER, '10.77.0.4'].map((text) => ({ address: address(text), port: 8080 }));
    const crew = new Crew({ flows: 256, nat: withForward(8080, 0, { targets, affinitySeconds: 60 }, 8) });
    const chosen = new Set<string>();
    for (let host = 1; host < 40; host++) {
      const mine = new Set<string>();
      for (let port = 8080; port < 8088; port++) {
        mine.add(only(PRIVATE, crew.in(udp(`203.0.113.${host}:5000`, `${EXTERNAL}:${port}`))).dst);
      }
      expect(mine.size).toBe(1);
      for (const target of mine) chosen.add(target);
    }
    expect(chosen.size).toBe(3);
  });
});

describe('hairpins', () => {
  /** CLIENT:40000 (worker 0) is known outside, and OTHER:40002 (worker 1) sends to its external endpoint. */
  function hairpin(crew: Crew) {
    only(PUBLIC, crew.out(udp(`${CLIENT}:40000`, `${SERVER}:53`)));
    return only(PRIVATE, crew.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`)));
  }

  test('between two workers, both as the world knows them', () => {
    const crew = new Crew();
    const there = hairpin(crew);
    expect(there).toMatchObject({ src: EXTERNAL, sport: 40002, dst: CLIENT, dport: 40000 });
    expect(crew.counts).toEqual([1, 1, 0, 0]);
    const back = only(PRIVATE, crew.out(udp(`${CLIENT}:40000`, `${EXTERNAL}:40002`)));
    expect(back).toMatchObject({ src: EXTERNAL, sport: 40000, dst: OTHER, dport: 40002 });
    // The same mapping as towards everybody else.
    expect(only(PUBLIC, crew.out(udp(`${OTHER}:40002`, `${SERVER}:53`))).sport).toBe(40002);
    expect(crew.counts).toEqual([1, 2, 0, 0]);
    expect(crew.drops).toEqual({});
  });

  test('a hairpin keeps the mapping it goes to, and gives it back', () => {
    const crew = crewWith({ filtering: 'endpoint-independent', quarantineSeconds: 0 });
    hairpin(crew);
    // CLIENT's own flow ends; OTHER goes on.
    for (let i = 0; i < 40; i++) {
      crew.pass(20_000);
      only(PRIVATE, crew.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`)));
    }
    expect(crew.counts).toEqual([0, 1, 0, 0]);
    const stranger = udp('203.0.113.77:9', `${EXTERNAL}:40000`);
    expect(only(PRIVATE, crew.in(stranger))).toMatchObject({ dst: CLIENT, dport: 40000 });
    crew.pass(700_000);
    expect(crew.counts).toEqual([0, 0, 0, 0]);
    expect(to(PRIVATE, crew.in(stranger))).toEqual([]);
    expect(crew.drops).toEqual({ no_flow: 1 });
    expect(crew.totals['ports_udp']).toBe(0);
  });

  test('nothing behind the endpoint, or not for hairpins', () => {
    const crew = new Crew();
    expect(crew.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`))).toEqual([]);
    expect(crew.drops).toEqual({ not_public: 1 });
    const strict = crewWith({ hairpin: false });
    strict.out(udp(`${CLIENT}:40000`, `${SERVER}:53`));
    expect(strict.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`))).toEqual([]);
    expect(strict.drops).toEqual({ no_hairpin: 1 });
  });

  test('one that cannot begin gives the mapping back at once', () => {
    const crew = crewWith({ flowsPerHost: 1, quarantineSeconds: 0 });
    crew.out(udp(`${OTHER}:40004`, `${SERVER}:53`));
    only(PUBLIC, crew.out(udp(`${CLIENT}:40000`, `${SERVER}:53`)));
    expect(
      to(PRIVATE, crew.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`))).filter(
        (packet) => decode(packet).protocol === 17,
      ),
    ).toEqual([]);
    expect(crew.drops).toEqual({ host_flow_limit: 1 });
    crew.pass(700_000);
    expect(crew.totals['ports_udp']).toBe(0);
  });

  test('of a TCP connection, with data both ways', () => {
    const crew = new Crew({ nat: withForward(8086, 80, { protocol: 6 }) });
    const ends = { from: `${OTHER}:40002`, to: `${EXTERNAL}:8086` };
    const syn = only(PRIVATE, crew.out(tcpPacket({ ...ends, flags: 'S', seq: 100 })));
    expect(syn).toMatchObject({ src: EXTERNAL, sport: 40002, dst: CLIENT, dport: 80 });
    const back = { from: `${CLIENT}:80`, to: `${EXTERNAL}:40002` };
    const synAck = only(PRIVATE, crew.out(tcpPacket({ ...back, flags: 'SA', seq: 500, ack: 101 })));
    expect(synAck).toMatchObject({ src: EXTERNAL, sport: 8086, dst: OTHER, dport: 40002 });
    only(PRIVATE, crew.out(tcpPacket({ ...ends, flags: 'PA', seq: 101, ack: 501, payload: 'GET' })));
    only(PRIVATE, crew.out(tcpPacket({ ...back, flags: 'PA', seq: 501, ack: 104, payload: filler(900) })));
    expect(crew.counts).toEqual([0, 1, 0, 0]);
    expect(crew.drops).toEqual({});
  });

  test('of a ping', () => {
    const crew = new Crew();
    only(PUBLIC, crew.out(echoPacket({ from: CLIENT, to: SERVER, identifier: 40002 })));
    const there = only(PRIVATE, crew.out(echoPacket({ from: OTHER, to: EXTERNAL, identifier: 40002 })));
    expect(there).toMatchObject({ src: EXTERNAL, dst: CLIENT, icmpId: 40002 });
    const back = echoPacket({ from: CLIENT, to: EXTERNAL, identifier: 40002, reply: true });
    expect(only(PRIVATE, crew.out(back))).toMatchObject({ src: EXTERNAL, dst: OTHER, icmpId: 40002 });
  });
});
