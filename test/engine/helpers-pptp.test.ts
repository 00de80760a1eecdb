/** PPTP through a gateway in memory: its control connection, and the calls that GRE carries. */
import { describe, expect, test } from 'vitest';
import { describePacket, icmpError, parseAddress } from '../../src/testing/index.ts';
import { ipPacket } from '../../src/testing/packets.ts';
import {
  CLIENT,
  Connection,
  EXTERNAL,
  gatewayWith,
  OTHER,
  only,
  PPTP,
  payloadOf,
  related,
  SERVER,
  STRANGER,
} from './helpers-bed.ts';

describe('PPTP', () => {
  function control(type: number, ...words: number[]): string {
    const message = Buffer.alloc(12 + words.length * 2);
    message.writeUInt16BE(message.length, 0);
    message.writeUInt16BE(1, 2);
    message.writeUInt32BE(0x1a2b3c4d, 4);
    message.writeUInt16BE(type, 8);
    for (const [i, word] of words.entries()) message.writeUInt16BE(word, 12 + i * 2);
    return message.toString('latin1');
  }

  function word(text: string, at: number): number {
    return Buffer.from(text, 'latin1').readUInt16BE(at);
  }

  function gre(from: string, to: string, callId: number): Uint8Array {
    const payload = new Uint8Array([0x30, 1, 0x88, 0x0b, 0, 1, callId >> 8, callId & 255, 0, 0, 0, 1, 0xff]);
    return ipPacket({ from: parseAddress(from)!, to: parseAddress(to)!, protocol: 47, payload });
  }

  function callIn(packet: Uint8Array): number {
    return (packet[26]! << 8) | packet[27]!;
  }

  test('two clients choose the same call id at one server, and each gets its own call', () => {
    const gateway = gatewayWith([PPTP]);
    const calls = [CLIENT, OTHER].map((client, i) => {
      const connection = new Connection(gateway, `${client}:4030${i}`, `${SERVER}:1723`);
      const told = word(payloadOf(connection.toServer(control(7, 77, 1))), 12);
      const reply = payloadOf(connection.toClient(control(8, 500 + i, told, 0x0100)));
      expect(word(reply, 14)).toBe(77);
      return { client, connection, told, peer: 500 + i };
    });
    expect(calls[0]!.told).toBe(77);
    expect(calls[1]!.told).not.toBe(77);
    for (const { client, told, peer } of calls) {
      gateway.sendPrivate(gre(client, SERVER, peer));
      const out = only(gateway.receivePublic());
      expect([describePacket(out), callIn(out)]).toEqual([
        `proto 47 ${EXTERNAL} > ${SERVER} ttl 63 length 33`,
        peer,
      ]);
      gateway.sendPublic(gre(SERVER, EXTERNAL, told));
      const back = only(gateway.receivePrivate());
      expect([describePacket(back), callIn(back)]).toEqual([
        `proto 47 ${SERVER} > ${client} ttl 63 length 33`,
        77,
      ]);
    }
    expect(related(gateway)).toHaveLength(2);
    // The server hangs up: only that call ends.
    calls[0]!.connection.toClient(control(13, calls[0]!.peer, 0));
    expect(related(gateway)).toHaveLength(1);
    gateway.sendPublic(gre(SERVER, EXTERNAL, calls[0]!.told));
    expect(gateway.receivePrivate()).toEqual([]);
    // It is the host's business now.
    expect(gateway.receivePublic()).toEqual([gre(SERVER, EXTERNAL, calls[0]!.told)]);
    // A control connection that ends takes its call along.
    calls[1]!.connection.toServer('', 'RA');
    gateway.advance(242_000);
    expect(related(gateway)).toEqual([]);
  });

  test('ICMP errors about a call reach who had sent it, with the ids that it knows', () => {
    const gateway = gatewayWith([PPTP]);
    const connect = (client: string) => {
      const connection = new Connection(gateway, `${client}:40300`, `${SERVER}:1723`);
      const told = word(payloadOf(connection.toServer(control(7, 77, 1))), 12);
      connection.toClient(control(8, told + 1, told, 0x0100));
      return told;
    };
    connect(CLIENT);
    const told = connect(OTHER);
    const unreachable = { from: STRANGER, to: EXTERNAL, type: 3, code: 4, rest: 1400 };
    gateway.sendPrivate(gre(OTHER, SERVER, told + 1));
    const sent = only(gateway.receivePublic());
    gateway.sendPublic(icmpError({ ...unreachable, packet: sent }));
    const error = only(gateway.receivePrivate());
    expect(describePacket(error)).toContain(`icmp 3/4 ${STRANGER} > ${OTHER} [proto 47 ${OTHER} > ${SERVER}`);
    gateway.sendPublic(gre(SERVER, EXTERNAL, told));
    const arrived = only(gateway.receivePrivate());
    gateway.sendPrivate(icmpError({ from: OTHER, to: SERVER, type: 3, code: 2, packet: arrived }));
    const back = only(gateway.receivePublic());
    expect(describePacket(back)).toContain(
      `icmp 3/2 ${EXTERNAL} > ${SERVER} [proto 47 ${SERVER} > ${EXTERNAL}`,
    );
    expect(callIn(back.subarray(28))).toBe(told);
  });

  test('the server may speak first', () => {
    const gateway = gatewayWith([PPTP]);
    const connection = new Connection(gateway, `${CLIENT}:40300`, `${SERVER}:1723`);
    connection.toServer(control(7, 77, 1));
    connection.toClient(control(8, 500, 77, 0x0100));
    gateway.sendPublic(gre(SERVER, EXTERNAL, 77));
    expect(callIn(only(gateway.receivePrivate()))).toBe(77);
    gateway.sendPrivate(gre(CLIENT, SERVER, 500));
    expect(callIn(only(gateway.receivePublic()))).toBe(500);
    expect(related(gateway)).toHaveLength(1);
  });
});
