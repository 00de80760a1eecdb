/** The in-memory gateway as its users see it. */
import { describe, expect, test } from 'vitest';
import { NatgateError } from '../../src/core/errors.ts';
import {
  describePacket,
  echoPacket,
  formatAddress,
  MemoryGateway,
  type MemoryGatewayOptions,
  tcpPacket,
  udpPacket,
} from '../../src/testing/index.ts';
import { filler } from '../engine/packets.ts';
import { decode } from '../wire/decode.ts';

const SERVER = '203.0.113.9:53';

function newGateway(options: Partial<MemoryGatewayOptions> = {}): MemoryGateway {
  return new MemoryGateway({ private: '10.77.0.1/24', public: '198.18.0.1/24', ...options });
}

const query = (from = '10.77.0.2:40000', fields = {}) => udpPacket({ from, to: SERVER, ...fields });

test('the example of its documentation', () => {
  const gateway = newGateway();
  gateway.sendPrivate(udpPacket({ from: '10.77.0.2:5000', to: '198.18.0.2:53' }));
  const [sent, ...more] = gateway.receivePublic();
  expect(more).toEqual([]);
  expect(decode(sent!)).toMatchObject({ src: '198.18.0.1', dst: '198.18.0.2', dport: 53, checksumOk: true });
  expect(gateway.receivePrivate()).toEqual([]);
});

test('packets wait, in order, until they are taken, and are then gone', () => {
  const gateway = newGateway();
  for (const id of [1, 2, 3]) gateway.sendPrivate(query(undefined, { id }));
  expect(gateway.receivePublic().map((packet) => decode(packet).id)).toEqual([1, 2, 3]);
  expect(gateway.receivePublic()).toEqual([]);
});

test('a connection, seen from both sides and in the flows', () => {
  const gateway = newGateway();
  const lines: string[] = [];
  const send = (side: 'Private' | 'Public', packet: Uint8Array) => {
    gateway[`send${side}`](packet);
    lines.push(...[...gateway.receivePublic(), ...gateway.receivePrivate()].map(describePacket));
  };
  const [client, server, outside] = ['10.77.0.2:40000', '203.0.113.9:80', '198.18.0.1:40000'];
  send('Private', tcpPacket({ from: client, to: server, flags: 'S' }));
  send('Public', tcpPacket({ from: server, to: outside, flags: 'SA' }));
  send('Private', tcpPacket({ from: client, to: server, flags: 'A' }));
  expect(lines).toEqual([
    'tcp S 198.18.0.1:40000 > 203.0.113.9:80 ttl 63 length 40',
    'tcp SA 203.0.113.9:80 > 10.77.0.2:40000 ttl 63 length 40',
    'tcp A 198.18.0.1:40000 > 203.0.113.9:80 ttl 63 length 40',
  ]);
  const [flow] = gateway.flows();
  expect(flow).toMatchObject({ state: 'ESTABLISHED', assured: true, originalPackets: 2, replyPackets: 1 });
  expect(formatAddress(flow!.reply.dst)).toBe('198.18.0.1');
  expect(gateway.totals()).toMatchObject({ flows_tcp: 1, flows_started: 1 });
});

test('time passes when it is told to', () => {
  const gateway = newGateway({ now: 2 ** 31 - 10_000, timeouts: { udp: 60 } });
  gateway.sendPrivate(query());
  gateway.advance(59_000);
  expect(gateway.flows()).toHaveLength(1);
  gateway.advance(2500);
  expect(gateway.flows()).toEqual([]);
});

test('uninvited packets come through nowhere and are counted', () => {
  const gateway = newGateway();
  gateway.sendPublic(udpPacket({ from: SERVER, to: '198.18.0.1:40000' }));
  gateway.sendPublic(new Uint8Array(5));
  expect([gateway.receivePrivate(), gateway.receivePublic()]).toEqual([[], []]);
  expect(gateway.drops()).toEqual({ no_flow: 1, short_packet: 1 });
});

describe('options', () => {
  test('ports', () => {
    const gateway = newGateway({ ports: { first: 2000, last: 2000 } });
    gateway.sendPrivate(query());
    gateway.sendPrivate(query('10.77.0.3:1'));
    expect(gateway.receivePublic().map((packet) => decode(packet).sport)).toEqual([2000]);
    expect(gateway.drops()).toEqual({ no_free_port: 1 });
  });

  test('flows', () => {
    const gateway = newGateway({ flows: 1 });
    gateway.sendPrivate(query());
    gateway.sendPrivate(query('10.77.0.3:1'));
    expect(gateway.drops()).toEqual({ table_full: 1 });
  });

  test('MTU of either side', () => {
    const gateway = newGateway({ mtu: { private: 9000, public: 600 } });
    gateway.sendPrivate(query(undefined, { payload: filler(1000), fragment: 0 }));
    expect(gateway.receivePublic().map((packet) => packet.length)).toEqual([596, 452]);
    gateway.sendPublic(udpPacket({ from: SERVER, to: '198.18.0.1:40000', payload: filler(8000) }));
    expect(gateway.receivePrivate()).toHaveLength(1);
  });

  test('seed: the same one gives the same run, another one another', () => {
    const portOf = (seed: number) => {
      const gateway = newGateway({ seed });
      gateway.sendPrivate(query('10.77.0.2:1'));
      return decode(gateway.receivePublic()[0]!).sport;
    };
    expect(portOf(7)).toBe(portOf(7));
    expect(new Set([1, 2, 3, 4, 5].map(portOf)).size).toBeGreaterThan(1);
  });

  test.each(['10.77.0.1', '10.77.0.1/33', '10.77.0/24', 'eth0', ''])('no interface address: %j', (text) => {
    expect(() => newGateway({ private: text })).toThrow(NatgateError);
    expect(() => newGateway({ public: text })).toThrow(/not an address with prefix length/);
  });
});

test('the gateway’s own addresses are not forwarded to', () => {
  const gateway = newGateway();
  const ping = (to: string) => echoPacket({ from: '10.77.0.2', to, identifier: 1 });
  gateway.sendPrivate(ping('10.77.0.1'));
  expect(gateway.drops()).toEqual({ not_public: 1 });
  // The one that it shares with the host: as on the public side, the packet goes back for the host to have it.
  gateway.sendPrivate(ping('198.18.0.1'));
  expect(gateway.receivePrivate()).toEqual([ping('198.18.0.1')]);
  expect(gateway.totals()).toMatchObject({ handed_back: 1 });
  expect(gateway.receivePublic()).toEqual([]);
  expect(gateway.drops()).toEqual({ not_public: 1 });
});
