/** FTP, TFTP and IRC through a gateway in memory: control, announced flow, both translated. */
import { describe, expect, test } from 'vitest';
import { describePacket, parseAddress, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import {
  CLIENT,
  Connection,
  EXTERNAL,
  FTP,
  gatewayWith,
  IRC,
  numbers,
  only,
  payloadOf,
  related,
  SERVER,
  STRANGER,
  TFTP,
} from './helpers-bed.ts';

describe('FTP', () => {
  test('active: the data connection comes in from outside, RELATED, to the port that the client announced', () => {
    const gateway = gatewayWith([FTP]);
    const control = new Connection(gateway, `${CLIENT}:40000`, `${SERVER}:21`);
    const command = payloadOf(control.toServer('PORT 10,77,0,2,156,65\r\n'));
    expect(command).toBe('PORT 198,18,0,1,156,65\r\n');
    gateway.sendPublic(tcpPacket({ from: `${SERVER}:20`, to: `${EXTERNAL}:40001`, flags: 'S', seq: 1 }));
    expect(describePacket(only(gateway.receivePrivate()))).toBe(
      `tcp S ${SERVER}:20 > ${CLIENT}:40001 ttl 63 length 40`,
    );
    gateway.sendPrivate(
      tcpPacket({ from: `${CLIENT}:40001`, to: `${SERVER}:20`, flags: 'SA', seq: 7, ack: 2 }),
    );
    expect(describePacket(only(gateway.receivePublic()))).toBe(
      `tcp SA ${EXTERNAL}:40001 > ${SERVER}:20 ttl 63 length 40`,
    );
    expect(related(gateway)).toMatchObject([{ state: 'SYN_RECV', original: { dport: 40001, sport: 20 } }]);
    // Once only.
    gateway.sendPublic(tcpPacket({ from: `${SERVER}:22`, to: `${EXTERNAL}:40001`, flags: 'S', seq: 1 }));
    expect(gateway.receivePrivate()).toEqual([]);
    expect(gateway.drops()).toEqual({ filtered: 1 });
  });

  test('nobody but the server may use it, and without the helper nobody at all', () => {
    const gateway = gatewayWith([FTP]);
    new Connection(gateway, `${CLIENT}:40000`, `${SERVER}:21`).toServer('PORT 10,77,0,2,156,65\r\n');
    gateway.sendPublic(tcpPacket({ from: `${STRANGER}:20`, to: `${EXTERNAL}:40001`, flags: 'S' }));
    expect(gateway.receivePrivate()).toEqual([]);

    const plain = gatewayWith([]);
    const sent = new Connection(plain, `${CLIENT}:40000`, `${SERVER}:21`).toServer(
      'PORT 10,77,0,2,156,65\r\n',
    );
    expect(payloadOf(sent)).toBe('PORT 10,77,0,2,156,65\r\n');
    plain.sendPublic(tcpPacket({ from: `${SERVER}:20`, to: `${EXTERNAL}:40001`, flags: 'S' }));
    expect(plain.receivePrivate()).toEqual([]);
  });

  test('what changes its length moves the numbers of both directions, and a repetition comes out the same', () => {
    const gateway = gatewayWith([FTP]);
    const control = new Connection(gateway, `${CLIENT}:40000`, `${SERVER}:21`);
    const line = 'PORT 10,77,0,2,1,2\r\n';
    const first = control.toServer(line);
    const growth = payloadOf(first).length - line.length;
    expect(payloadOf(first)).toMatch(/^PORT 198,18,0,1,\d+,\d+\r\n$/);
    expect(growth).toBeGreaterThan(0);
    const again = control.toServer(line, 'PA', 1000);
    expect(numbers(again)).toEqual(numbers(first));
    expect(payloadOf(again)).toBe(payloadOf(first));
    const answer = control.toClient('200 PORT command successful.\r\n');
    expect(numbers(answer)).toMatchObject({ seq: 5000, ack: 1000 + line.length });
    const next = control.toServer('LIST\r\n');
    expect(numbers(next)).toMatchObject({ seq: 1000 + line.length + growth });
    expect(payloadOf(next)).toBe('LIST\r\n');
    // A second change adds to the first.
    const second = control.toServer(line);
    const both = growth + payloadOf(second).length - line.length;
    expect(numbers(control.toServer('NOOP\r\n')).seq).toBe(1000 + 2 * line.length + 6 + both);
    expect(numbers(control.toClient('200 ok\r\n')).ack).toBe(1000 + 2 * line.length + 12);
  });

  test('passive: nothing is rewritten, the data connection is RELATED', () => {
    const gateway = gatewayWith([FTP]);
    const control = new Connection(gateway, `${CLIENT}:40000`, `${SERVER}:21`);
    const answer = '227 Entering Passive Mode (203,0,113,9,200,10).\r\n';
    expect(payloadOf(control.toClient(answer))).toBe(answer);
    gateway.sendPrivate(tcpPacket({ from: `${CLIENT}:40009`, to: `${SERVER}:51210`, flags: 'S' }));
    expect(describePacket(only(gateway.receivePublic()))).toContain(`${EXTERNAL}:40009 > ${SERVER}:51210`);
    expect(related(gateway)).toMatchObject([{ original: { src: parseAddress(CLIENT), dport: 51210 } }]);
  });

  test('what was announced ends with the control connection, with its time, and gives its port back', () => {
    const gateway = gatewayWith([FTP], { timeouts: { tcpEstablished: 400 } });
    const control = new Connection(gateway, `${CLIENT}:40000`, `${SERVER}:21`);
    control.toServer('PORT 10,77,0,2,156,65\r\n');
    expect(gateway.totals()['ports_tcp']).toBe(2);
    gateway.advance(301_000);
    expect(gateway.totals()['ports_tcp']).toBe(1);
    control.toServer('PORT 10,77,0,2,156,66\r\n');
    expect(gateway.totals()['ports_tcp']).toBe(2);
    control.toServer('', 'RA');
    gateway.advance(242_000);
    expect(gateway.flows()).toEqual([]);
    expect(gateway.totals()['ports_tcp']).toBe(0);
  });

  test('a command that leaves no room is dropped, not sent with a private address', () => {
    const gateway = gatewayWith([FTP], { ports: { first: 40000, last: 40000 } });
    new Connection(gateway, `${CLIENT}:40000`, `${SERVER}:21`);
    gateway.sendPrivate(
      tcpPacket({
        from: `${CLIENT}:40000`,
        to: `${SERVER}:21`,
        flags: 'PA',
        seq: 1000,
        ack: 5000,
        payload: 'PORT 10,77,0,2,156,65\r\n',
      }),
    );
    expect(gateway.receivePublic()).toEqual([]);
    expect(gateway.drops()).toEqual({ helper_failed: 1 });
  });
});

test('TFTP: the answer comes from a port of the server’s choice', () => {
  const gateway = gatewayWith([TFTP]);
  gateway.sendPrivate(
    udpPacket({ from: `${CLIENT}:40100`, to: `${SERVER}:69`, payload: '\0\x01file\0octet\0' }),
  );
  only(gateway.receivePublic());
  gateway.sendPublic(udpPacket({ from: `${STRANGER}:3000`, to: `${EXTERNAL}:40100`, payload: 'x' }));
  expect(gateway.receivePrivate()).toEqual([]);
  gateway.sendPublic(
    udpPacket({ from: `${SERVER}:3000`, to: `${EXTERNAL}:40100`, payload: '\0\x03\0\x01data' }),
  );
  expect(describePacket(only(gateway.receivePrivate()))).toContain(`${SERVER}:3000 > ${CLIENT}:40100`);
  gateway.sendPrivate(udpPacket({ from: `${CLIENT}:40100`, to: `${SERVER}:3000`, payload: '\0\x04\0\x01' }));
  expect(describePacket(only(gateway.receivePublic()))).toContain(`${EXTERNAL}:40100 > ${SERVER}:3000`);
  expect(related(gateway)).toHaveLength(1);
});

test('IRC: an offer of a file is taken by whoever it was for', () => {
  const gateway = gatewayWith([IRC]);
  const control = new Connection(gateway, `${CLIENT}:40200`, `${SERVER}:6667`);
  const offer = control.toServer('PRIVMSG bob :\x01DCC SEND "my file.txt" 172818434 40201 5\x01\r\n');
  expect(payloadOf(offer)).toBe('PRIVMSG bob :\x01DCC SEND "my file.txt" 3323068417 40201 5\x01\r\n');
  gateway.sendPublic(tcpPacket({ from: `${STRANGER}:999`, to: `${EXTERNAL}:40201`, flags: 'S' }));
  expect(describePacket(only(gateway.receivePrivate()))).toContain(`${STRANGER}:999 > ${CLIENT}:40201`);
  expect(related(gateway)).toHaveLength(1);
});
