import { describe, expect, test } from 'vitest';
import { sip } from '../../../src/nat/alg/sip.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { CLIENT, EXTERNAL, FakeSession, result, SERVER } from './session.ts';

const UDP = 17;
const TCP = 6;

/** Lines, and a body whose length is filled in. */
function message(head: string[], body: string[] = []): string {
  const text = body.map((line) => `${line}\r\n`).join('');
  const type = body.length > 0 ? ['Content-Type: application/sdp'] : [];
  return [...head, ...type, `Content-Length: ${text.length}`, '', text].join('\r\n');
}

function session(direction: 0 | 1, protocol = UDP): FakeSession {
  const made = new FakeSession(direction, protocol, 5060, 33000, 5060);
  made.portFor = (port) => 40000 + (port % 1000);
  return made;
}

function read(text: string, of: FakeSession): string | null {
  return result(text, sip({ text, sequence: 0, syn: false }, of));
}

describe('headers', () => {
  test.each([
    [`Via: SIP/2.0/UDP ${CLIENT}:5060;branch=1`, `Via: SIP/2.0/UDP ${EXTERNAL}:33000;branch=1`],
    [`v: SIP/2.0/UDP ${CLIENT};branch=1`, `v: SIP/2.0/UDP ${EXTERNAL}:33000;branch=1`],
    [`From: <sip:a@${CLIENT}>;tag=1`, `From: <sip:a@${EXTERNAL}:33000>;tag=1`],
    [`f:<sip:a@${CLIENT}:5060>`, `f:<sip:a@${EXTERNAL}:33000>`],
    [`CONTACT: <sip:a@${CLIENT}:5060;transport=udp>`, `CONTACT: <sip:a@${EXTERNAL}:33000;transport=udp>`],
    [`m: sip:${CLIENT}:5060`, `m: sip:${EXTERNAL}:33000`],
    [`Contact: <sip:a@${CLIENT}:7777>`, `Contact: <sip:a@${EXTERNAL}:7777>`],
    [`Record-Route: <sip:${CLIENT};lr>, <sip:x;lr>`, `Record-Route: <sip:${EXTERNAL}:33000;lr>, <sip:x;lr>`],
    [`Contact: <sip:a@h>,\r\n <sip:b@${CLIENT}:5060>`, `Contact: <sip:a@h>,\r\n <sip:b@${EXTERNAL}:33000>`],
  ])('going out: %j', (before, after) => {
    const [first, ...rest] = [`OPTIONS sip:b@${SERVER} SIP/2.0`, 'CSeq: 1 OPTIONS'];
    expect(read(message([first!, before, ...rest]), session(0))).toBe(message([first!, after, ...rest]));
  });

  test.each([
    `To: <sip:b@${SERVER}:5060>`,
    `Call-ID: 1@${CLIENT}`,
    `Subject: call ${CLIENT}:5060`,
    'Contact: <sip:a@10.0.0.22:5060>',
    'Contact: <sip:a@110.0.0.2:5060>',
    `Contact: <sip:${CLIENT}@elsewhere.example>`,
  ])('going out, as it is: %j', (line) => {
    const text = message([`OPTIONS sip:b@${SERVER} SIP/2.0`, line]);
    expect(read(text, session(0))).toBe(text);
  });

  test('coming in: request URI and To lead inside, and so does what a server saw of a request', () => {
    const request = (uri: string) =>
      message([
        `INVITE sip:a@${uri} SIP/2.0`,
        `To: <sip:a@${uri}>`,
        `Via: SIP/2.0/UDP ${SERVER}:5060;branch=1`,
      ]);
    expect(read(request(`${EXTERNAL}:33000`), session(1))).toBe(request(`${CLIENT}:5060`));
    const response = (host: string, port: number) =>
      message([
        'SIP/2.0 180 Ringing',
        `Via: SIP/2.0/UDP ${host}:${port};received=${host};rport=${port};branch=1`,
      ]);
    expect(read(response(EXTERNAL, 33000), session(1))).toBe(response(CLIENT, 5060));
  });

  test('what is no SIP passes, and keeps nothing alive', () => {
    for (const text of [
      '\r\n\r\n',
      '',
      'hello',
      'GET / HTTP/1.1\r\n\r\n',
      'INVITE sip:a SIP/2.0\r\nVia: x\r\n',
    ]) {
      const of = session(0);
      expect(read(text, of)).toBe(text);
      expect(of.kept).toBe(false);
    }
    const of = session(0);
    read(message([`OPTIONS sip:b@${SERVER} SIP/2.0`]), of);
    expect(of.kept).toBe(true);
  });
});

describe('SDP', () => {
  const head = [`INVITE sip:b@${SERVER} SIP/2.0`, `Contact: <sip:a@${CLIENT}:5060>`, 'CSeq: 1 INVITE'];
  const headOut = [head[0]!, `Contact: <sip:a@${EXTERNAL}:33000>`, head[2]!];

  test('addresses, ports of several media, and the length of it all', () => {
    const body = (host: string, audio: number, video: number, fax: number) => [
      'v=0',
      `o=- 1 1 IN IP4 ${host}`,
      `c=IN IP4 ${host}`,
      't=0 0',
      `m=audio ${audio} RTP/AVP 0 8`,
      `m=video ${video} RTP/SAVP 99`,
      `c=IN IP4 ${host}`,
      `m=image ${fax} udptl t38`,
    ];
    const of = session(0);
    expect(read(message(head, body(CLIENT, 5004, 5006, 5008)), of)).toBe(
      message(headOut, body(EXTERNAL, 40004, 40006, 40008)),
    );
    expect(of.wanted.map(({ kind, port, limit, seconds }) => [kind, port, limit, seconds])).toEqual([
      [1, 5004, 4, 180],
      [1, 5005, 4, 180],
      [2, 5006, 4, 180],
      [2, 5007, 4, 180],
      [3, 5008, 2, 180],
    ]);
    expect(new Set(of.wanted.map(({ address, protocol, from }) => `${address} ${protocol} ${from}`))).toEqual(
      new Set([`${parseAddress(CLIENT)} 17 anywhere`]),
    );
  });

  test('RTCP at a port of its own, and the same as RTP', () => {
    const body = (host: string, port: number, rtcp: number) => [
      `c=IN IP4 ${host}`,
      `m=audio ${port} RTP/AVP 0`,
      `a=rtcp:${rtcp} IN IP4 ${host}`,
    ];
    expect(read(message(head, body(CLIENT, 5004, 5100)), session(0))).toBe(
      message(headOut, body(EXTERNAL, 40004, 40100)),
    );
    expect(read(message(head, body(CLIENT, 5004, 5005)), session(0))).toBe(
      message(headOut, body(EXTERNAL, 40004, 40005)),
    );
    expect(read(message(head, body(CLIENT, 5004, 5004)), session(0))).toBe(
      message(headOut, body(EXTERNAL, 40004, 40004)),
    );
  });

  test.each([
    ['another host’s address', ['c=IN IP4 10.0.0.3', 'm=audio 5004 RTP/AVP 0']],
    ['a refused stream', [`c=IN IP4 ${SERVER}`, 'm=audio 0 RTP/AVP 0']],
    ['a low port', [`c=IN IP4 ${SERVER}`, 'm=audio 1023 RTP/AVP 0']],
    ['a port that is none', [`c=IN IP4 ${SERVER}`, 'm=audio 65536 RTP/AVP 0']],
    ['media that is not known', [`c=IN IP4 ${SERVER}`, 'm=application 5004 TCP/BFCP *']],
    ['no address', ['m=audio 5004 RTP/AVP 0']],
  ])('%s is not announced', (_, body) => {
    const of = session(0);
    expect(read(message(head, body), of)).toBe(message(headOut, body));
    expect(of.wanted).toEqual([]);
  });

  test('the other side’s media is expected too; nothing is changed', () => {
    const of = session(1);
    const text = message(
      ['SIP/2.0 200 OK', 'CSeq: 1 INVITE'],
      [`c=IN IP4 ${SERVER}`, 'm=audio 30000 RTP/AVP 0'],
    );
    expect(read(text, of)).toBe(text);
    expect(of.wanted.map(({ port }) => port)).toEqual([30000, 30001]);
  });

  test('without a port the message is dropped', () => {
    const of = session(0);
    of.portFor = () => -1;
    expect(read(message(head, [`c=IN IP4 ${CLIENT}`, 'm=audio 5004 RTP/AVP 0']), of)).toBeNull();
  });
});

describe('the end of a call', () => {
  test.each([
    [['BYE sip:b@h SIP/2.0', 'CSeq: 2 BYE'], true],
    [['CANCEL sip:b@h SIP/2.0', 'CSeq: 1 CANCEL'], true],
    [['SIP/2.0 486 Busy Here', 'CSeq: 1 INVITE'], true],
    [['SIP/2.0 404 Not Found', 'CSeq: 1 OPTIONS'], false],
    [['SIP/2.0 180 Ringing', 'CSeq: 1 INVITE'], false],
    [['SIP/2.0 200 OK', 'CSeq: 1 INVITE'], false],
  ])('%j: %s', (head, isEnd) => {
    const of = session(0);
    read(message(head), of);
    expect(of.calls).toEqual(isEnd ? ['forget 1 2 3'] : []);
  });
});

describe('registration', () => {
  const register = (contact: string, more: string[] = []) =>
    message([`REGISTER sip:${SERVER} SIP/2.0`, 'CSeq: 1 REGISTER', `Contact: ${contact}`, ...more]);

  test('the contact is announced, to be confirmed', () => {
    const of = session(0);
    expect(read(register(`<sip:a@${CLIENT}:5060>;expires=600`), of)).toBe(
      register(`<sip:a@${EXTERNAL}:33000>;expires=600`),
    );
    expect(of.wanted).toMatchObject([
      {
        kind: 0,
        limit: 1,
        port: 5060,
        protocol: UDP,
        from: 'peer',
        permanent: true,
        inactive: true,
        helped: true,
        own: true,
      },
    ]);
  });

  test('a contact at another port, over another transport, gets that port’s own external one', () => {
    const of = session(0, TCP);
    of.sourcePort = 49152;
    expect(read(register(`<sip:a@${CLIENT}:5070;transport=udp>`), of)).toBe(
      register(`<sip:a@${EXTERNAL}:40070;transport=udp>`),
    );
    expect(of.wanted).toMatchObject([{ port: 5070, protocol: UDP, own: false }]);
  });

  test.each([
    [
      '`expires` of the contact',
      [`Contact: <sip:a@${EXTERNAL}:33000>;expires=60`, 'Expires: 700'],
      ['refresh 17 33000 0 60'],
    ],
    ['`Expires`', [`Contact: <sip:a@${EXTERNAL}:33000>`, 'Expires: 700'], ['refresh 17 33000 0 700']],
    ['an hour at most', [`Contact: <sip:a@${EXTERNAL}:33000>;expires=999999`], ['refresh 17 33000 0 3600']],
    [
      'ours among others',
      [`Contact: <sip:a@192.0.2.1:33000>, <sip:a@${EXTERNAL}:33000>`],
      ['refresh 17 33000 0 3600'],
    ],
    ['others only', ['Contact: <sip:a@192.0.2.1:33000>;expires=60'], ['forget 0']],
    ['no time left', [`Contact: <sip:a@${EXTERNAL}:33000>;expires=0`], ['forget 0']],
    ['none', [], ['forget 0']],
  ])('the registrar’s answer counts: %s', (_, lines, calls) => {
    const of = session(1);
    read(message(['SIP/2.0 200 OK', 'CSeq: 1 REGISTER', ...lines]), of);
    expect(of.calls).toEqual(calls);
  });

  test('a refusal changes nothing; neither does a farewell before it is answered', () => {
    const of = session(1);
    read(message(['SIP/2.0 401 Unauthorized', 'CSeq: 1 REGISTER']), of);
    expect(of.calls).toEqual([]);
    const farewell = session(0);
    read(register(`<sip:a@${CLIENT}:5060>`, ['Expires: 0']), farewell);
    expect(farewell.wanted).toEqual([]);
  });
});

describe('over TCP', () => {
  const ping = message([`OPTIONS sip:b@${SERVER} SIP/2.0`, `Via: SIP/2.0/TCP ${CLIENT}:5060`]);
  const out = ping.replace(`${CLIENT}:5060`, `${EXTERNAL}:33000`);

  test('several messages in one segment', () => {
    expect(read(ping + ping, session(0, TCP))).toBe(out + out);
  });

  test('a message that is cut passes as it is, and what is before it is translated', () => {
    expect(read(ping + ping.slice(0, -2), session(0, TCP))).toBe(out + ping.slice(0, -2));
    const body = message(
      [`OPTIONS sip:b@${SERVER} SIP/2.0`, `Via: SIP/2.0/TCP ${CLIENT}:5060`],
      ['v=0', 's=-'],
    );
    expect(read(body.slice(0, -1), session(0, TCP))).toBe(body.slice(0, -1));
  });

  test('without Content-Length nobody knows where it ends', () => {
    const text = `OPTIONS sip:b@${SERVER} SIP/2.0\r\nVia: SIP/2.0/TCP ${CLIENT}:5060\r\n\r\n`;
    expect(read(text, session(0, TCP))).toBe(text);
  });
});

test('a large hostile message takes no time worth mentioning', () => {
  const via = `Via: ${'1.'.repeat(15000)}${'sip:@;'.repeat(3000)}`;
  const text = message([
    `OPTIONS sip:${'@'.repeat(1000)} SIP/2.0`,
    via,
    `Contact: ${'sip:'.repeat(3000)}`,
    'm=audio',
  ]);
  expect(read(text, session(0))).toBe(text);
});
