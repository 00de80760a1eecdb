/** Helpers: what they change is within the payload, what they announce is the sender's own, what they remember has its place. */
import { type HelperName, helperKinds } from '../../../../src/nat/alg/registry.ts';
import { type AlgSession, applyEdits, MEMORY_WORDS, type Wanted } from '../../../../src/nat/alg/session.ts';
import { parseAddress } from '../../../../src/wire/address.ts';
import { must, mustEqual, type Target } from '../target.ts';

const CLIENT = parseAddress('10.77.0.2')!;
const SERVER = parseAddress('203.0.113.9')!;
const EXTERNAL = parseAddress('198.18.0.1')!;
/** Flows that a helper's memory is between. */
const NEIGHBOUR = 0x5a5a5a5a;

/** What a helper did with a payload. `first`: of an input, which direction, and how far its numbers are. */
function once(name: HelperName, first: number, text: string, sequence: number, memory: Int32Array): string {
  const { run, port, protocols } = helperKinds[name];
  const protocol = protocols[(first >> 1) % protocols.length]!;
  const direction = (first & 1) as 0 | 1;
  const isOut = direction === 0;
  let given = 33_000;
  const announced: string[] = [];
  const give = (wanted: Wanted, count: number): number => {
    announced.push(JSON.stringify(wanted));
    must(wanted.address === session.source, 'foreign', () => JSON.stringify(wanted));
    must(wanted.port > 0 && wanted.port < 65_536, 'port', () => JSON.stringify(wanted));
    must(wanted.seconds > 0 && wanted.limit > 0, 'unlimited', () => JSON.stringify(wanted));
    if ((first & 0x40) !== 0) return -1;
    given += count;
    return given - count;
  };
  const session: AlgSession = {
    protocol,
    direction,
    source: isOut ? CLIENT : SERVER,
    sourcePort: isOut ? 40_000 : port,
    destination: isOut ? SERVER : EXTERNAL,
    destinationPort: isOut ? port : 33_005,
    newSource: isOut ? EXTERNAL : SERVER,
    newSourcePort: isOut ? 33_005 : port,
    newDestination: isOut ? SERVER : CLIENT,
    newDestinationPort: isOut ? port : 40_000,
    expect: (wanted) => give(wanted, 1),
    expectPair: (wanted) => give(wanted, 2),
    portOf: (_, address, wanted) => (address === CLIENT && wanted === 40_000 ? 33_005 : -1),
    refresh: (...of) => void announced.push(`refresh ${of}`),
    forget: (kinds) => void announced.push(`forget ${kinds}`),
    keep: () => void announced.push('keep'),
    callId: (id) => ((first & 0x40) !== 0 ? -1 : id ^ 0x100),
    call: (...of) => announced.push(`call ${of}`) > 0,
    hangUp: (...of) => void announced.push(`hang up ${of}`),
  };
  const packet = { text, sequence, syn: text === '' };
  const edits = run(packet, session, memory, MEMORY_WORDS);
  if (edits === null) return 'dropped';
  let end = 0;
  for (const edit of edits) {
    must(edit.start >= end && edit.end >= edit.start && edit.end <= text.length, 'edits', () =>
      JSON.stringify(edits),
    );
    must(Buffer.from(edit.text, 'latin1').toString('latin1') === edit.text, 'wide', () => edit.text);
    end = edit.end;
  }
  return JSON.stringify([applyEdits(text, edits), announced]);
}

function helper(name: HelperName, files: string[], seeds: readonly string[]): Target {
  return {
    name,
    files: files.map((file) => `nat/alg/${file}.ts`),
    form: 'latin1',
    // The first character says who sends, and whether there is a port.
    seeds: () => seeds.flatMap((seed) => ['0', '1', 'p'].map((first) => first + seed)),
    most: 1600,
    run: (_, text) => {
      const first = text.charCodeAt(0) || 0;
      // Two segments, where the text says so: the second is read with what the first left in the memory.
      const segments = text.slice(1).split('\u0001\u0001');
      const said = [0, 1].map(() => {
        const memory = new Int32Array(3 * MEMORY_WORDS).fill(NEIGHBOUR);
        memory.fill(0, MEMORY_WORDS, 2 * MEMORY_WORDS);
        // A SYN goes before, mostly: helpers of streams want to know where lines begin.
        let sequence = first * 1000;
        const all = [...((first & 0x10) !== 0 ? [''] : []), ...segments.slice(0, 4)].map((segment) => {
          const done = once(name, first, segment, sequence, memory);
          sequence += Math.max(segment.length, 1);
          return done;
        });
        const others = [...memory.subarray(0, MEMORY_WORDS), ...memory.subarray(2 * MEMORY_WORDS)];
        must(
          others.every((word) => word === NEIGHBOUR),
          'memory',
          () => `${memory}`,
        );
        return all;
      });
      mustEqual(said[1], said[0], 'again');
    },
  };
}

const SDP =
  'v=0\r\no=a 1 1 IN IP4 10.77.0.2\r\ns=-\r\nc=IN IP4 10.77.0.2\r\nt=0 0\r\nm=audio 33020 RTP/AVP 0\r\na=rtcp:33021 IN IP4 10.77.0.2\r\nm=video 33030 RTP/AVP 31\r\nc=IN IP4 10.77.0.2\r\n';
const invite = (body: string) =>
  `INVITE sip:bob@203.0.113.9 SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.0.2:40000;branch=z9hG4bK1\r\nContact: <sip:a@10.77.0.2:40000>\r\nContent-Type: application/sdp\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

const PPTP_MAGIC = '\x1a\x2b\x3c\x4d';
const pptpMessage = (type: number, body: string, length = 12 + body.length) =>
  `${String.fromCharCode(length >> 8, length & 255)}\0\x01${PPTP_MAGIC}${String.fromCharCode(0, type)}\0\0${body}`;

export const helpers: readonly Target[] = [
  helper(
    'ftp',
    ['ftp'],
    [
      'PORT 10,77,0,2,129,10\r\n',
      'EPRT |1|10.77.0.2|33034|\r\n',
      'PASV\r\n',
      'EPSV\r\n',
      '227 Entering Passive Mode (203,0,113,9,4,1)\r\n',
      '229 Entering Extended Passive Mode (|||6446|)\r\n',
    ],
  ),
  helper(
    'irc',
    ['irc'],
    [
      'PRIVMSG bob :\x01DCC SEND file 172818434 33034 100\x01\r\n',
      'PRIVMSG bob :\x01DCC CHAT chat 172818434 33034\x01\r\n',
    ],
  ),
  helper('tftp', ['tftp'], ['\0\x01file\0octet\0', '\0\x02file\0netascii\0blksize\x001400\0']),
  helper(
    'sip',
    ['sip', 'sip-message', 'sdp'],
    [
      invite(SDP),
      invite(''),
      'REGISTER sip:203.0.113.9 SIP/2.0\r\nv: SIP/2.0/UDP 10.77.0.2:40000;rport\r\nm: <sip:a@10.77.0.2:40000>;expires=60\r\nExpires: 3600\r\nl: 0\r\n\r\n',
      `SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.18.0.1:33005;received=198.18.0.1\r\nCSeq: 1 REGISTER\r\nContact: <sip:a@198.18.0.1:33005>;expires=60\r\nContent-Length: 0\r\n\r\n`,
      'BYE sip:a@10.77.0.2 SIP/2.0\r\nRoute: <sip:10.77.0.2;lr>\r\nRecord-Route: <sip:10.77.0.2:5060;lr>\r\nContent-Length: 0\r\n\r\n',
    ],
  ),
  helper(
    'pptp',
    ['pptp'],
    [
      pptpMessage(1, '\x01\0\0\0'.padEnd(144, '\0')),
      ...[7, 8, 9, 10, 11, 12, 13, 14, 15].map((type) =>
        pptpMessage(type, '\0\x07\0\x08\x01'.padEnd(20, '\0')),
      ),
      `${pptpMessage(7, '\0\x07'.padEnd(156, '\0'))}\u0001\u0001${pptpMessage(8, '\0\x09\0\x07\x01'.padEnd(20, '\0'))}`,
    ],
  ),
];
