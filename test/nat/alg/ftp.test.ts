import { describe, expect, test } from 'vitest';
import { ftp } from '../../../src/nat/alg/ftp.ts';
import { MEMORY_WORDS } from '../../../src/nat/alg/session.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { CLIENT, FakeSession, result, SERVER } from './session.ts';

const FROM_CLIENT = 0;
const FROM_SERVER = 1;

/** A control connection whose segments are read one after the other. */
class Control {
  readonly memory = new Int32Array(MEMORY_WORDS);
  readonly sessions: [FakeSession, FakeSession] = [session(0), session(1)];
  /** Number of each end's next byte: near the wrap, which must not matter. */
  next: [number, number] = [0x7ffffff0, -20];

  constructor() {
    for (const end of [0, 1] as const) this.read(end, '', (this.next[end] - 1) | 0, true);
  }

  read(end: 0 | 1, text: string, sequence = this.next[end], syn = false): string | null {
    const edits = ftp({ text, sequence, syn }, this.sessions[end], this.memory, 0);
    if (sequence === this.next[end]) this.next[end] = (sequence + text.length) | 0;
    return result(text, edits);
  }

  get wanted() {
    return this.sessions.flatMap(({ wanted }) => wanted);
  }
}

function session(direction: 0 | 1): FakeSession {
  const made = new FakeSession(direction, 6, 40000, 40000, 21);
  made.portFor = (port) => (port === 5000 ? 60001 : port);
  return made;
}

describe('commands of the client', () => {
  test.each([
    ['PORT 10,0,0,2,19,136\r\n', 'PORT 198,51,100,1,234,97\r\n', 5000],
    ['port 10,0,0,2,19,136\r\n', 'port 198,51,100,1,234,97\r\n', 5000],
    ['PORT  10,0,0,2,0,80 \n', 'PORT  198,51,100,1,0,80 \n', 80],
    ['EPRT |1|10.0.0.2|5000|\r\n', 'EPRT |1|198.51.100.1|60001|\r\n', 5000],
    ['eprt !1!10.0.0.2!5000!\r\n', 'eprt !1!198.51.100.1!60001!\r\n', 5000],
    [
      'TYPE I\r\nPORT 10,0,0,2,19,136\r\nRETR x\r\n',
      'TYPE I\r\nPORT 198,51,100,1,234,97\r\nRETR x\r\n',
      5000,
    ],
  ])('%j', (text, expected, port) => {
    const control = new Control();
    expect(control.read(FROM_CLIENT, text)).toBe(expected);
    expect(control.wanted).toEqual([
      { protocol: 6, address: parseAddress(CLIENT), port, from: 'peer', kind: 0, limit: 1, seconds: 300 },
    ]);
  });

  test.each([
    'PORT 10,0,0,3,19,136\r\n', // another's endpoint
    'PORT 10,0,0,2,0,0\r\n',
    'PORT 10,0,0,2,256,1\r\n',
    'PORT 10,0,0,2,19\r\n',
    'PORT 10,0,0,2,19,136,7\r\n',
    'PORT 10,0,0,2,19,136', // no whole line
    'XPORT 10,0,0,2,19,136\r\n',
    'STOR PORT 10,0,0,2,19,136\r\n',
    'EPRT |2|::1|5000|\r\n',
    'EPRT |1|10.0.0.3|5000|\r\n',
    'EPRT |1|10.0.0.2|65536|\r\n',
    'EPRT |1!10.0.0.2|5000|\r\n',
    'EPRT |1|999.0.0.2|5000|\r\n',
    '227 Entering Passive Mode (10,0,0,2,19,136)\r\n',
  ])('leaves %j alone', (text) => {
    const control = new Control();
    expect(control.read(FROM_CLIENT, text)).toBe(text);
    expect(control.wanted).toEqual([]);
  });
});

describe('answers of the server', () => {
  test.each([
    ['227 Entering Passive Mode (203,0,113,9,19,137).\r\n', 5001],
    ['227 =203,0,113,9,19,137\r\n', 5001],
    ['229 Entering Extended Passive Mode (|||5001|)\r\n', 5001],
  ])('%j', (text, port) => {
    const control = new Control();
    expect(control.read(FROM_SERVER, text)).toBe(text);
    expect(control.wanted).toMatchObject([{ address: parseAddress(SERVER), port }]);
  });

  test.each([
    '227 Entering Passive Mode (203,0,113,10,19,137).\r\n',
    '228 Entering Passive Mode (203,0,113,9,19,137).\r\n',
    '229 Entering Extended Passive Mode (|||0|)\r\n',
    'PORT 203,0,113,9,19,137\r\n',
  ])('leaves %j alone', (text) => {
    const control = new Control();
    expect(control.read(FROM_SERVER, text)).toBe(text);
    expect(control.wanted).toEqual([]);
  });

  test('of a server that is itself translated', () => {
    const text = '227 Entering Passive Mode (203,0,113,9,19,136).\r\n';
    const control = new Control();
    control.sessions[1].newSource = parseAddress('192.0.2.200')!;
    expect(control.read(FROM_SERVER, text)).toBe('227 Entering Passive Mode (192,0,2,200,234,97).\r\n');
    expect(control.read(FROM_SERVER, '229 Extended (|||5000|)\r\n')).toBe('229 Extended (|||60001|)\r\n');
  });
});

describe('where a line begins', () => {
  const LINE = 'PORT 10,0,0,2,19,136\r\n';
  const CHANGED = 'PORT 198,51,100,1,234,97\r\n';

  test('not in the middle of one, and again behind its end', () => {
    const control = new Control();
    expect(control.read(FROM_CLIENT, 'STOR a file ')).toBe('STOR a file ');
    expect(control.read(FROM_CLIENT, LINE)).toBe(LINE);
    expect(control.wanted).toEqual([]);
    expect(control.read(FROM_CLIENT, LINE)).toBe(CHANGED);
  });

  test('a segment that comes again is changed again, also when later ones have been seen', () => {
    const control = new Control();
    const [start] = control.next;
    expect(control.read(FROM_CLIENT, LINE)).toBe(CHANGED);
    expect(control.read(FROM_CLIENT, LINE, start)).toBe(CHANGED);
    expect(control.read(FROM_CLIENT, 'LIST\r\n', (start + LINE.length) | 0)).toBe('LIST\r\n');
    expect(control.read(FROM_CLIENT, LINE, start)).toBe(LINE);
  });

  test('two lines back it is forgotten; a segment out of order is not read', () => {
    const control = new Control();
    const [start] = control.next;
    expect(control.read(FROM_CLIENT, LINE, (start + 100) | 0)).toBe(LINE);
    expect(control.read(FROM_CLIENT, LINE, start)).toBe(CHANGED);
  });

  test('picked up in the middle, the first line is not trusted', () => {
    const memory = new Int32Array(MEMORY_WORDS);
    const read = (sequence: number) =>
      result(LINE, ftp({ text: LINE, sequence, syn: false }, session(0), memory, 0));
    expect(read(100)).toBe(LINE);
    expect(read(100 + LINE.length)).toBe(CHANGED);
  });
});

test('without a port the command is dropped', () => {
  const control = new Control();
  control.sessions[0].portFor = () => -1;
  expect(control.read(FROM_CLIENT, 'PORT 10,0,0,2,19,136\r\n')).toBeNull();
});
