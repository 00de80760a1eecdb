/** SIP calls and registrations through a gateway in memory: messages translated both ways, media where they say. */
import { describe, expect, test } from 'vitest';
import { describePacket, type MemoryGateway, udpPacket } from '../../src/testing/index.ts';
import {
  CLIENT,
  Connection,
  EXTERNAL,
  gatewayWith,
  numbers,
  OTHER,
  only,
  payloadOf,
  related,
  SERVER,
  SIP,
  STRANGER,
} from './helpers-bed.ts';

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
