/** Helpers read what strangers write: whatever comes, no exception, edits in order, and nothing longer than a packet. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type HelperName, helperKinds } from '../../../src/nat/alg/registry.ts';
import { applyEdits, MEMORY_WORDS } from '../../../src/nat/alg/session.ts';
import { CLIENT, EXTERNAL, FakeSession, SERVER } from './session.ts';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000_000);

const SAMPLES: Record<HelperName, string[]> = {
  ftp: [
    'PORT 10,0,0,2,19,136\r\n',
    'EPRT |1|10.0.0.2|5000|\r\n',
    '227 Entering Passive Mode (203,0,113,9,19,137).\r\n',
    '229 Entering Extended Passive Mode (|||5001|)\r\n',
  ],
  tftp: ['\0\x01file\0octet\0'],
  irc: ['PRIVMSG bob :\x01DCC SEND "a b" 167772162 5000 1\x01\r\n'],
  pptp: [
    '\0\x10\0\x01\x1a\x2b\x3c\x4d\0\x07\0\0\x12\x34\0\x01',
    '\0\x12\0\x01\x1a\x2b\x3c\x4d\0\x08\0\0\0\x55\x12\x34\x01\0',
    '\0\x10\0\x01\x1a\x2b\x3c\x4d\0\x0d\0\0\0\x55\0\0',
  ],
  sip: [
    [
      `INVITE sip:b@${SERVER} SIP/2.0`,
      `Via: SIP/2.0/UDP ${CLIENT}:5060;branch=1;received=${CLIENT};rport=5060`,
      `Contact: <sip:a@${CLIENT}:5060>`,
      'Content-Type: application/sdp',
      'Content-Length: 92',
      '',
      `o=- 1 1 IN IP4 ${CLIENT}\r\nc=IN IP4 ${CLIENT}\r\nm=audio 5004 RTP/AVP 0\r\na=rtcp:5005\r\nm=image 6000 udptl t38\r\n`,
    ].join('\r\n'),
    `INVITE sip:b SIP/2.0\r\nc: application/sdp\r\n\r\nc=IN IP4 ${CLIENT}\r\nm=audio 65535 RTP/AVP 0\r\na=rtcp:70000\r\n`,
    `REGISTER sip:b SIP/2.0\r\nm: <sip:a@${CLIENT}:70000>\r\n\r\n`,
    [
      'SIP/2.0 200 OK',
      'CSeq: 1 REGISTER',
      `Contact: <sip:a@${EXTERNAL}:33000>;expires=60`,
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n'),
  ],
};

interface Mutation {
  at: number;
  length: number;
  text: string;
}

const PIECES = ['', '\r\n', '\n', ' ', ':', ',', '|', '0', '65535', '99999999999', '\x00', '\xff', '=', '%'];
const mutation = fc.record({
  at: fc.nat(600),
  length: fc.nat(4),
  text: fc.oneof(fc.constantFrom(...PIECES), fc.string({ maxLength: 6, unit: 'binary-ascii' })),
});

function mutate(text: string, mutations: readonly Mutation[]): string {
  return mutations.reduce((result, { at, length, text: piece }) => {
    const place = at % (result.length + 1);
    return result.slice(0, place) + piece + result.slice(place + length);
  }, text);
}

test.each(Object.keys(helperKinds) as HelperName[])(`%s (seed ${SEED})`, (name) => {
  const { run, protocols } = helperKinds[name];
  const packet = fc.record({
    sample: fc.constantFrom(...SAMPLES[name]),
    mutations: fc.array(mutation, { maxLength: 5 }),
    repeat: fc.integer({ min: 1, max: 3 }),
    direction: fc.constantFrom(0 as const, 1 as const),
    protocol: fc.constantFrom(...protocols),
  });
  const property = fc.property(fc.array(packet, { maxLength: 8 }), fc.boolean(), (packets, isOut) => {
    const memory = new Int32Array(MEMORY_WORDS + 2);
    memory[0] = memory[MEMORY_WORDS + 1] = 0x55;
    run({ text: '', sequence: 0, syn: true }, new FakeSession(0, 6, 5060, 33000, 5060), memory, 1);
    for (const { sample, mutations, repeat, direction, protocol } of packets) {
      const text = mutate(sample, mutations).repeat(repeat);
      const session = new FakeSession(direction, protocol, 5060, 33000, 5060);
      session.portFor = (port) => (isOut ? -1 : (port * 7) & 0xffff);
      const edits = run({ text, sequence: 1, syn: false }, session, memory, 1);
      if (edits === null) continue;
      let done = 0;
      for (const { start, end } of edits) {
        expect(start).toBeGreaterThanOrEqual(done);
        expect(end).toBeGreaterThanOrEqual(start);
        done = end;
      }
      expect(done).toBeLessThanOrEqual(text.length);
      expect(/^[\0-\xff]*$/.test(applyEdits(text, edits)), 'bytes only').toBe(true);
      for (const { port } of session.wanted) expect(port > 0 && port < 65536, `port ${port}`).toBe(true);
    }
    // Its memory is its own, and no word more.
    expect([memory[0], memory[MEMORY_WORDS + 1]]).toEqual([0x55, 0x55]);
  });
  fc.assert(property, { seed: SEED, numRuns: 500 });
});
