/** What happens when something runs out, or goes away. */
import { describe, expect, test } from 'vitest';
import { masqueradeAll } from '../../src/nat/config.ts';
import { describePacket, echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { address, Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

const SERVER = '203.0.113.9';
const query = (client: string, port: number, server = SERVER) =>
  udpPacket({ from: `${client}:${port}`, to: `${server}:53` });

test('table full: 3/13 for the new, the old go on; room once one has ended', () => {
  const bed = new Bed({ flows: 8 });
  for (let port = 1; port <= 8; port++)
    expect(to(PUBLIC, bed.out(query('10.77.0.2', 40000 + port)))).toHaveLength(1);
  const [error, ...more] = bed.out(query('10.77.0.2', 50000));
  expect(more).toEqual([]);
  expect(describePacket(error!.packet)).toBe(
    `icmp 3/13 10.77.0.1 > 10.77.0.2 [udp 10.77.0.2:50000 > ${SERVER}:53 ttl 64 length 28] ttl 64 length 56`,
  );
  expect(bed.drops).toEqual({ table_full: 1 });
  bed.checkInvariants();
  expect(to(PUBLIC, bed.out(query('10.77.0.2', 40001)))).toHaveLength(1);
  bed.pass(302_000);
  expect(to(PUBLIC, bed.out(query('10.77.0.2', 50000)))).toHaveLength(1);
  bed.checkInvariants();
});

describe('ports exhausted', () => {
  const ports = { first: 40000, last: 40003 };

  test('3/13, and nobody loses what he has; other protocols go on', () => {
    const bed = new Bed({ ports, nat: masqueradeAll(ports, { overload: 'never' }) });
    for (let host = 2; host <= 5; host++)
      expect(to(PUBLIC, bed.out(query(`10.77.0.${host}`, 1000)))).toHaveLength(1);
    const [error] = bed.out(query('10.77.0.6', 1000));
    expect(decode(error!.packet)).toMatchObject({ dst: '10.77.0.6', type: 3, code: 13 });
    expect(bed.drops).toEqual({ no_free_port: 1 });
    const tcp = tcpPacket({ from: '10.77.0.6:1000', to: `${SERVER}:80`, flags: 'S' });
    expect(to(PUBLIC, bed.out(tcp))).toHaveLength(1);
    // A known endpoint needs no new port.
    expect(to(PUBLIC, bed.out(query('10.77.0.2', 1000, '203.0.113.10')))).toHaveLength(1);
    bed.checkInvariants(ports);
    bed.pass(302_000);
    expect(to(PUBLIC, bed.out(query('10.77.0.6', 1000)))).toHaveLength(1);
  });

  test('what the host holds is left out; given back, it is used', () => {
    const nat = masqueradeAll(ports, { overload: 'never' });
    const bed = new Bed({ ports, nat, held: { tcp: [], udp: [40000, 40001, 40002] } });
    expect(decode(bed.out(query('10.77.0.2', 1000))[0]!.packet).sport).toBe(40003);
    expect(decode(bed.out(query('10.77.0.3', 1000))[0]!.packet)).toMatchObject({ code: 13 });
    bed.engine.setHeldPorts(17, [40000]);
    expect(decode(bed.out(query('10.77.0.3', 1000))[0]!.packet).src).toBe(EXTERNAL);
    bed.checkInvariants(ports, { tcp: [], udp: [40000] });
  });
});

describe('the external address', () => {
  test('changes: its flows end, the ports are free, new flows have the new one', () => {
    const bed = new Bed();
    bed.out(query('10.77.0.2', 40000));
    bed.out(tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'S' }));
    bed.out(echoPacket({ from: '10.77.0.2', to: SERVER, identifier: 5 }));
    bed.out(rawPacket({ src: '10.77.0.2', dst: SERVER, protocol: 47, body: filler(8) }));
    const [first, later] = cut(
      udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53`, payload: filler(2000), fragment: 0 }),
      1480,
    );
    bed.out(first!);
    bed.engine.setDevice(PUBLIC, { address: address('198.18.0.200'), mtu: 1500 });
    expect(bed.flows()).toEqual([]);
    // The RST of the connection.
    expect(to(PRIVATE, bed.settle())).toHaveLength(1);
    expect(bed.totals).toMatchObject({ flows_ended: 4 });
    expect(bed.out(later!)).toEqual([]);
    const old = udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000` });
    expect(bed.in(old)).toEqual([]);
    expect(decode(bed.out(query('10.77.0.3', 40000))[0]!.packet)).toMatchObject({
      src: '198.18.0.200',
      sport: 40000,
    });
    bed.checkInvariants();
  });

  test('stays the same: nothing ends, though the MTU changes, nor with the private side’s address', () => {
    const bed = new Bed();
    bed.out(query('10.77.0.2', 40000));
    bed.engine.setDevice(PUBLIC, { address: address(EXTERNAL), mtu: 1400 });
    bed.engine.setDevice(PRIVATE, { address: address('10.77.0.254'), mtu: 1400 });
    expect(bed.flows()).toHaveLength(1);
    const [error] = bed.out(udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53`, ttl: 1 }));
    expect(decode(error!.packet).src).toBe('10.77.0.254');
  });

  test('goes and comes back: flows of before are gone', () => {
    const bed = new Bed();
    bed.out(query('10.77.0.2', 40000));
    bed.engine.setDevice(PUBLIC, { address: 0, mtu: 1500 });
    expect(bed.flows()).toEqual([]);
    expect(decode(bed.out(query('10.77.0.2', 40000))[0]!.packet)).toMatchObject({ type: 3, code: 13 });
    bed.engine.setDevice(PUBLIC, { address: address(EXTERNAL), mtu: 1500 });
    expect(to(PUBLIC, bed.out(query('10.77.0.2', 40000)))).toHaveLength(1);
    bed.checkInvariants();
  });
});

test('a mass expiry is spread over ticks, and ends complete', () => {
  const bed = new Bed({ flows: 4096 });
  for (let i = 0; i < 2000; i++) bed.out(query(`10.77.0.${2 + (i % 200)}`, 33000 + i));
  expect(bed.flows()).toHaveLength(2000);
  bed.now += 310_000;
  bed.engine.tick(bed.now);
  expect(bed.flows()).toHaveLength(2000 - 256);
  expect(bed.engine.sessions.isBehind).toBe(true);
  for (let i = 0; i < 8; i++) bed.engine.tick(bed.now);
  expect(bed.flows()).toEqual([]);
  bed.checkInvariants();
});
