/** Whole conversations that a helper reads, through a gateway in memory: control, announced flow, both translated. */
import { describe, expect, test } from 'vitest';
import {
  describePacket,
  type HelperConfig,
  icmpError,
  MemoryGateway,
  parseAddress,
  tcpPacket,
  udpPacket,
  verifyChecksums,
} from '../../src/testing/index.ts';
import { ipPacket } from '../../src/testing/packets.ts';

import { Bed, vnetHeader } from './bed.ts';

const CLIENT = '10.77.0.2';
const OTHER = '10.77.0.3';
const EXTERNAL = '198.18.0.1';
const SERVER = '203.0.113.9';
const STRANGER = '203.0.113.77';

const FTP: HelperConfig = { name: 'ftp', protocol: 6, port: 21 };
const TFTP: HelperConfig = { name: 'tftp', protocol: 17, port: 69 };
const IRC: HelperConfig = { name: 'irc', protocol: 6, port: 6667 };
const PPTP: HelperConfig = { name: 'pptp', protocol: 6, port: 1723 };
const SIP: HelperConfig[] = [
  { name: 'sip', protocol: 17, port: 5060 },
  { name: 'sip', protocol: 6, port: 5060 },
];

function gatewayWith(helpers: readonly HelperConfig[], options = {}): MemoryGateway {
  return new MemoryGateway({ private: '10.77.0.1/24', public: `${EXTERNAL}/24`, helpers, ...options });
}

function payloadOf(packet: Uint8Array): string {
  const l4 = (packet[0]! & 15) * 4;
  const header = packet[9] === 17 ? 8 : (packet[l4 + 12]! >> 4) * 4;
  return Buffer.from(packet.subarray(l4 + header)).toString('latin1');
}

function only(packets: Uint8Array[]): Uint8Array {
  expect(packets).toHaveLength(1);
  expect(verifyChecksums(packets[0]!)).toBe(true);
  return packets[0]!;
}

function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** Source port, sequence and acknowledgement. */
function numbers(packet: Uint8Array): { port: number; to: number; seq: number; ack: number } {
  const view = new DataView(packet.buffer, packet.byteOffset);
  return {
    port: view.getUint16(20),
    to: view.getUint16(22),
    seq: view.getUint32(24),
    ack: view.getUint32(28),
  };
}

/** A TCP connection from a private host; each end counts in its own numbers. */
class Connection {
  clientNext = 1000;
  serverNext = 5000;
  /** What each end has received so far, in its own numbering of the other's. */
  serverSeen = 0;
  clientSeen = 0;
  external = 0;
  private readonly gateway: MemoryGateway;
  private readonly from: string;
  private readonly to: string;

  constructor(gateway: MemoryGateway, from: string, to: string) {
    this.gateway = gateway;
    this.from = from;
    this.to = to;
    const syn = this.toServer('', 'S', 999);
    this.external = numbers(syn).port;
    this.serverSeen = numbers(syn).seq + 1;
    this.clientSeen = numbers(this.toClient('', 'SA', 4999)).seq + 1;
    this.toServer('', 'A');
  }

  toServer(payload: string, flags = 'PA', seq = this.clientNext): Uint8Array {
    this.gateway.sendPrivate(
      tcpPacket({
        from: this.from,
        to: this.to,
        flags,
        seq,
        ack: flags === 'S' ? 0 : this.clientSeen,
        payload: latin1(payload),
      }),
    );
    const sent = only(this.gateway.receivePublic());
    if (seq === this.clientNext) {
      this.clientNext += payload.length;
      this.serverSeen = numbers(sent).seq + payloadOf(sent).length;
    }
    return sent;
  }

  toClient(payload: string, flags = 'PA', seq = this.serverNext): Uint8Array {
    this.gateway.sendPublic(
      tcpPacket({
        from: this.to,
        to: `${EXTERNAL}:${this.external}`,
        flags,
        seq,
        ack: this.serverSeen,
        payload: latin1(payload),
      }),
    );
    const sent = only(this.gateway.receivePrivate());
    if (seq === this.serverNext) {
      this.serverNext += payload.length;
      this.clientSeen = numbers(sent).seq + payloadOf(sent).length;
    }
    return sent;
  }
}

function related(gateway: MemoryGateway) {
  return gateway.flows().filter((flow) => flow.related);
}

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
    expect(gateway.drops()).toEqual({ no_flow: 1 });
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
    gateway.advance(12_000);
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
    gateway.advance(12_000);
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

describe('SIP', () => {
  function message(lines: string[], body = ''): string {
    const type = body === '' ? [] : ['Content-Type: application/sdp'];
    return [...lines, ...type, `Content-Length: ${body.length}`, '', body].join('\r\n');
  }

  function sdp(host: string, port: number): string {
    return [
      'v=0',
      `o=- 1 1 IN IP4 ${host}`,
      's=-',
      `c=IN IP4 ${host}`,
      't=0 0',
      `m=audio ${port} RTP/AVP 0`,
      '',
    ].join('\r\n');
  }

  const invite = message(
    [
      `INVITE sip:bob@${SERVER} SIP/2.0`,
      `Via: SIP/2.0/UDP ${CLIENT}:5060;branch=z9hG4bK1;rport`,
      `From: "Alice" <sip:alice@${CLIENT}>;tag=1`,
      `To: <sip:bob@${SERVER}>`,
      'Call-ID: 1@x',
      'CSeq: 1 INVITE',
      `Contact: <sip:alice@${CLIENT}:5060>`,
    ],
    sdp(CLIENT, 40500),
  );

  function call(gateway: MemoryGateway): { external: number; offer: string } {
    gateway.sendPrivate(udpPacket({ from: `${CLIENT}:5060`, to: `${SERVER}:5060`, payload: invite }));
    const sent = only(gateway.receivePublic());
    return { external: numbers(sent).port, offer: payloadOf(sent) };
  }

  function answer(gateway: MemoryGateway, external: number): string {
    const ok = message(
      [
        'SIP/2.0 200 OK',
        `Via: SIP/2.0/UDP ${EXTERNAL}:${external};branch=z9hG4bK1;received=${EXTERNAL};rport=${external}`,
        `From: "Alice" <sip:alice@${EXTERNAL}:${external}>;tag=1`,
        `To: <sip:bob@${SERVER}>;tag=2`,
        'Call-ID: 1@x',
        'CSeq: 1 INVITE',
        `Contact: <sip:bob@${SERVER}:5060>`,
      ],
      sdp(SERVER, 30000),
    );
    gateway.sendPublic(udpPacket({ from: `${SERVER}:5060`, to: `${EXTERNAL}:${external}`, payload: ok }));
    return payloadOf(only(gateway.receivePrivate()));
  }

  test('a call: the message speaks of external endpoints, the answer of private ones, and media flows both ways', () => {
    const gateway = gatewayWith(SIP);
    const { external, offer } = call(gateway);
    expect(offer).toBe(
      message(
        [
          `INVITE sip:bob@${SERVER} SIP/2.0`,
          `Via: SIP/2.0/UDP ${EXTERNAL}:${external};branch=z9hG4bK1;rport`,
          `From: "Alice" <sip:alice@${EXTERNAL}:${external}>;tag=1`,
          `To: <sip:bob@${SERVER}>`,
          'Call-ID: 1@x',
          'CSeq: 1 INVITE',
          `Contact: <sip:alice@${EXTERNAL}:${external}>`,
        ],
        sdp(EXTERNAL, 40500),
      ),
    );
    const reply = answer(gateway, external);
    expect(reply).toContain(
      `Via: SIP/2.0/UDP ${CLIENT}:5060;branch=z9hG4bK1;received=${CLIENT}:5060;rport=5060`.replace(
        `received=${CLIENT}:5060`,
        `received=${CLIENT}`,
      ),
    );
    expect(reply).toContain(`From: "Alice" <sip:alice@${CLIENT}:5060>;tag=1`);
    expect(reply).toContain(`c=IN IP4 ${SERVER}\r\n`);
    // From a media server that no one has spoken of yet, RTP and RTCP.
    for (const port of [40500, 40501]) {
      gateway.sendPublic(
        udpPacket({ from: `${STRANGER}:${port - 10000}`, to: `${EXTERNAL}:${port}`, payload: 'rtp' }),
      );
      expect(describePacket(only(gateway.receivePrivate()))).toContain(
        `${STRANGER}:${port - 10000} > ${CLIENT}:${port}`,
      );
      gateway.sendPrivate(
        udpPacket({ from: `${CLIENT}:${port}`, to: `${STRANGER}:${port - 10000}`, payload: 'rtp' }),
      );
      expect(describePacket(only(gateway.receivePublic()))).toContain(
        `${EXTERNAL}:${port} > ${STRANGER}:${port - 10000}`,
      );
    }
    expect(related(gateway)).toHaveLength(2);
    // And to where the answer has said.
    gateway.sendPrivate(udpPacket({ from: `${CLIENT}:40500`, to: `${SERVER}:30000`, payload: 'rtp' }));
    only(gateway.receivePublic());
    expect(related(gateway)).toHaveLength(3);
  });

  test('a BYE gives up the media that nobody used', () => {
    const gateway = gatewayWith(SIP);
    const { external } = call(gateway);
    expect(gateway.totals()['ports_udp']).toBe(3);
    const bye = message([
      `BYE sip:alice@${EXTERNAL}:${external} SIP/2.0`,
      `Via: SIP/2.0/UDP ${SERVER}:5060;branch=z9hG4bK2`,
      'CSeq: 2 BYE',
    ]);
    gateway.sendPublic(udpPacket({ from: `${SERVER}:5060`, to: `${EXTERNAL}:${external}`, payload: bye }));
    expect(payloadOf(only(gateway.receivePrivate()))).toContain(`BYE sip:alice@${CLIENT}:5060 SIP/2.0`);
    expect(gateway.totals()['ports_udp']).toBe(1);
  });

  test('media of a port that is taken gets an even one and its neighbour', () => {
    const gateway = gatewayWith(SIP);
    gateway.sendPrivate(udpPacket({ from: `${OTHER}:40501`, to: `${SERVER}:9`, payload: 'x' }));
    gateway.receivePublic();
    const { offer } = call(gateway);
    const port = Number(/m=audio (\d+)/.exec(offer)![1]);
    expect(port % 2).toBe(0);
    expect(port).not.toBe(40500);
    for (const [at, inside] of [
      [port, 40500],
      [port + 1, 40501],
    ]) {
      gateway.sendPublic(udpPacket({ from: `${SERVER}:30000`, to: `${EXTERNAL}:${at}`, payload: 'rtp' }));
      expect(describePacket(only(gateway.receivePrivate()))).toContain(`> ${CLIENT}:${inside}`);
    }
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'media of a port that natgate does not have is a pair too (seed %i)',
    (seed) => {
      const gateway = gatewayWith(SIP, { seed });
      for (const port of [5004, 5007]) {
        const payload = invite
          .replace('m=audio 40500', `m=audio ${port}`)
          .replace(/Length: \d+/, (length) => length.replace(/\d+/, (digits) => String(Number(digits) - 1)));
        gateway.sendPrivate(udpPacket({ from: `${CLIENT}:5060`, to: `${SERVER}:5060`, payload }));
        const external = Number(/m=audio (\d+)/.exec(payloadOf(only(gateway.receivePublic())))![1]);
        expect(external % 2).toBe(port % 2);
        for (const i of [0, 1]) {
          gateway.sendPublic(
            udpPacket({ from: `${SERVER}:30000`, to: `${EXTERNAL}:${external + i}`, payload: 'rtp' }),
          );
          expect(describePacket(only(gateway.receivePrivate()))).toContain(`> ${CLIENT}:${port + i} `);
        }
      }
    },
  );

  test('who has registered is called from any port of the registrar’s, until the registration ends', () => {
    const gateway = gatewayWith(SIP);
    const register = (expires: number) =>
      message([
        `REGISTER sip:${SERVER} SIP/2.0`,
        `Via: SIP/2.0/UDP ${CLIENT}:5060;branch=z9hG4bK3`,
        'CSeq: 1 REGISTER',
        `Contact: <sip:alice@${CLIENT}:5060>;expires=${expires}`,
      ]);
    const confirm = (external: number, contact: string) => {
      const ok = message([
        'SIP/2.0 200 OK',
        `Via: SIP/2.0/UDP ${EXTERNAL}:${external};branch=z9hG4bK3`,
        'CSeq: 1 REGISTER',
        ...(contact === '' ? [] : [contact]),
      ]);
      gateway.sendPublic(udpPacket({ from: `${SERVER}:5060`, to: `${EXTERNAL}:${external}`, payload: ok }));
      return payloadOf(only(gateway.receivePrivate()));
    };
    const send = (expires: number) => {
      gateway.sendPrivate(
        udpPacket({ from: `${CLIENT}:5060`, to: `${SERVER}:5060`, payload: register(expires) }),
      );
      return numbers(only(gateway.receivePublic())).port;
    };
    const called = (from: string, external: number) => {
      const options = message([`OPTIONS sip:alice@${EXTERNAL}:${external} SIP/2.0`, 'CSeq: 1 OPTIONS']);
      gateway.sendPublic(udpPacket({ from, to: `${EXTERNAL}:${external}`, payload: options }));
      return gateway.receivePrivate().map(payloadOf);
    };
    const external = send(1800);
    // Not before the registrar agrees.
    expect(called(`${SERVER}:7000`, external)).toEqual([]);
    const contact = `Contact: <sip:alice@${EXTERNAL}:${external}>;expires=1800`;
    expect(confirm(external, contact)).toContain(`Contact: <sip:alice@${CLIENT}:5060>;expires=1800`);
    for (const port of [7000, 7001]) {
      expect(called(`${SERVER}:${port}`, external)[0]).toContain(`OPTIONS sip:alice@${CLIENT}:5060 SIP/2.0`);
    }
    expect(called(`${STRANGER}:7000`, external)).toEqual([]);
    // The flow itself waits too, longer than an ordinary one.
    gateway.advance(1_700_000);
    expect(called(`${SERVER}:5060`, external)).toHaveLength(1);
    expect(called(`${SERVER}:7002`, external)).toHaveLength(1);
    expect(send(0)).toBe(external);
    confirm(external, '');
    expect(called(`${SERVER}:7003`, external)).toEqual([]);
  });

  test('over TCP a message that changes its length moves the numbers', () => {
    const gateway = gatewayWith(SIP);
    const connection = new Connection(gateway, `${CLIENT}:40600`, `${SERVER}:5060`);
    const request = message(
      [
        `INVITE sip:bob@${SERVER} SIP/2.0`,
        `Via: SIP/2.0/TCP ${CLIENT}:40600;branch=z9hG4bK4`,
        'CSeq: 1 INVITE',
        `Contact: <sip:alice@${CLIENT}:40600;transport=tcp>`,
      ],
      sdp(CLIENT, 40500),
    );
    const sent = payloadOf(connection.toServer(request));
    expect(sent).toContain(`Via: SIP/2.0/TCP ${EXTERNAL}:40600;`);
    const growth = sent.length - request.length;
    expect(growth).toBeGreaterThan(0);
    const body = sent.slice(sent.indexOf('\r\n\r\n') + 4);
    expect(body).toBe(sdp(EXTERNAL, 40500));
    expect(sent).toContain(`Content-Length: ${body.length}\r\n`);
    expect(numbers(connection.toClient('SIP/2.0 100 Trying\r\n\r\n')).ack).toBe(1000 + request.length);
    expect(numbers(connection.toServer('\r\n\r\n')).seq).toBe(1000 + request.length + growth);
  });

  test('a message that no longer fits is sent in pieces', () => {
    const gateway = gatewayWith(SIP);
    const padding = `Subject: ${'x'.repeat(1458 - invite.length)}`;
    const long = invite.replace('CSeq:', `${padding}\r\nCSeq:`);
    gateway.sendPrivate(udpPacket({ from: `${CLIENT}:5060`, to: `${SERVER}:5060`, payload: long }));
    const pieces = gateway.receivePublic();
    expect(pieces).toHaveLength(2);
    for (const piece of pieces) expect(piece.length).toBeLessThanOrEqual(1500);
    const whole = Buffer.concat(pieces.map((piece) => piece.subarray(20)));
    expect(whole.readUInt16BE(4)).toBe(whole.length);
    expect(whole.toString('latin1', 8)).toContain(`c=IN IP4 ${EXTERNAL}\r\n`);
  });
});

describe('in the engine', () => {
  const line = 'PORT 10,77,0,2,1,2\r\n';

  /** A bed with a control connection whose next byte is 1000. */
  function connected(): { bed: Bed; packet: (payload: string) => Uint8Array } {
    const bed = new Bed({ helpers: [FTP] });
    const ends = { from: `${CLIENT}:40000`, to: `${SERVER}:21` };
    bed.out(tcpPacket({ ...ends, flags: 'S', seq: 999 }));
    bed.in(tcpPacket({ from: ends.to, to: `${EXTERNAL}:40000`, flags: 'SA', seq: 4999, ack: 1000 }));
    bed.out(tcpPacket({ ...ends, flags: 'A', seq: 1000, ack: 5000 }));
    return {
      bed,
      packet: (payload) => tcpPacket({ ...ends, flags: 'PA', seq: 1000, ack: 5000, payload }),
    };
  }

  /** Replaces the checksum by that of the pseudo-header alone, as a sender with offload does. */
  function partial(packet: Uint8Array): Uint8Array {
    const copy = packet.slice();
    let sum = 6 + copy.length - 20;
    for (let i = 12; i < 20; i += 2) sum += (copy[i]! << 8) | copy[i + 1]!;
    sum = (sum & 0xffff) + (sum >>> 16);
    copy[36] = sum >>> 8;
    copy[37] = sum;
    return copy;
  }

  test('a partial checksum stays one, of the new length', () => {
    const { bed, packet } = connected();
    const vnet = vnetHeader({ flags: 1, csumStart: 20, csumOffset: 16 });
    const [sent] = bed.out(partial(packet(line)), vnet);
    expect(payloadOf(sent!.packet)).toMatch(/^PORT 198,18,0,1,\d+,\d+\r\n$/);
    expect(sent!.vnet).toEqual(vnet);
    expect(sent!.packet).toEqual(partial(sent!.packet));
  });

  test('a super-packet of many lines: only the command changes, and what is beyond the header slot moves along', () => {
    const { bed, packet } = connected();
    const tail = 'NOOP 0123456789\r\n'.repeat(300);
    const vnet = vnetHeader({ flags: 1, gso: 1, hdrLen: 40, gsoSize: 1460, csumStart: 20, csumOffset: 16 });
    const [sent] = bed.out(partial(packet(line + tail)), vnet);
    const text = payloadOf(sent!.packet);
    expect(text.slice(text.indexOf('\n') + 1)).toBe(tail);
    expect(sent!.vnet).toEqual(vnet);
    expect(sent!.packet.length).toBe((sent!.packet[2]! << 8) | sent!.packet[3]!);
    expect(sent!.packet).toEqual(partial(sent!.packet));
  });

  test('a full segment that grows becomes a super-packet of two', () => {
    const { bed, packet } = connected();
    const full = `${line}${'x'.repeat(1460 - line.length - 2)}\r\n`;
    const [sent] = bed.out(packet(full));
    expect(sent!.packet.length).toBeGreaterThan(1500);
    expect(sent!.vnet).toEqual(
      vnetHeader({ flags: 1, gso: 1, hdrLen: 40, gsoSize: 1460, csumStart: 20, csumOffset: 16 }),
    );
    expect(sent!.packet).toEqual(partial(sent!.packet));
  });

  test('a wrong checksum stays wrong', () => {
    const { bed, packet } = connected();
    const wrong = packet(line);
    wrong[36]! ^= 0x55;
    const [sent] = bed.out(wrong);
    expect(payloadOf(sent!.packet)).toContain('198,18,0,1');
    expect(verifyChecksums(sent!.packet)).toBe(false);
  });

  test('a flow that came in lives through a restart, and ends when the address changes', () => {
    const { bed, packet } = connected();
    bed.out(packet('PORT 10,77,0,2,156,65\r\n'));
    bed.in(tcpPacket({ from: `${SERVER}:20`, to: `${EXTERNAL}:40001`, flags: 'S' }));
    const after = new Bed({ after: bed, helpers: [FTP] });
    expect(after.flows()).toHaveLength(2);
    after.checkInvariants();
    const answer = tcpPacket({ from: `${CLIENT}:40001`, to: `${SERVER}:20`, flags: 'SA', ack: 1 });
    expect(describePacket(after.out(answer)[0]!.packet)).toContain(`${EXTERNAL}:40001 > ${SERVER}:20`);
    after.engine.setDevice(1, { address: parseAddress('198.18.0.9')!, mtu: 1500 });
    expect(after.flows()).toEqual([]);
  });

  test('an ICMP error of a private host about a flow that came in has the external address', () => {
    const { bed, packet } = connected();
    bed.out(packet('PORT 10,77,0,2,156,65\r\n'));
    const [syn] = bed.in(tcpPacket({ from: `${SERVER}:20`, to: `${EXTERNAL}:40001`, flags: 'S' }));
    const error = { from: '10.77.0.9', to: SERVER, type: 3, code: 1, packet: syn!.packet };
    expect(describePacket(bed.out(icmpError(error))[0]!.packet)).toContain(
      `icmp 3/1 ${EXTERNAL} > ${SERVER} [tcp S ${SERVER}:20 > ${EXTERNAL}:40001`,
    );
  });
});
