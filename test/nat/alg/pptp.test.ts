import { expect, test } from 'vitest';
import { pptp } from '../../../src/nat/alg/pptp.ts';
import { MEMORY_WORDS } from '../../../src/nat/alg/session.ts';
import { FakeSession, result } from './session.ts';

const CLIENT_SAYS = 0;
const SERVER_SAYS = 1;

/** A control message (RFC 2637 2): type, then 16-bit words from byte 12. */
function control(type: number, ...words: number[]): string {
  const message = Buffer.alloc(12 + words.length * 2);
  message.writeUInt16BE(message.length, 0);
  message.writeUInt16BE(1, 2);
  message.writeUInt32BE(0x1a2b3c4d, 4);
  message.writeUInt16BE(type, 8);
  for (const [i, word] of words.entries()) message.writeUInt16BE(word, 12 + i * 2);
  return message.toString('latin1');
}

class Control {
  readonly memory = new Int32Array(MEMORY_WORDS);
  readonly calls: string[] = [];

  /** The server is told 0x8877 instead of 0x1234. */
  say(direction: 0 | 1, text: string): string | null {
    const session = new FakeSession(direction, 6, 40000, 40000, 1723);
    session.callIdFor = (id) => (id === 0x1234 ? 0x8877 : id === 0xdead ? -1 : id);
    const said = result(text, pptp({ text, sequence: 0, syn: false }, session, this.memory, 0));
    this.calls.push(...session.calls);
    return said;
  }
}

test('an outgoing call, its end, and the next one', () => {
  const c = new Control();
  expect(c.say(CLIENT_SAYS, control(7, 0x1234, 1))).toBe(control(7, 0x8877, 1));
  // Sent again before the answer: the same.
  expect(c.say(CLIENT_SAYS, control(7, 0x1234, 1))).toBe(control(7, 0x8877, 1));
  expect(c.say(SERVER_SAYS, control(8, 0x55, 0x8877, 0x0100))).toBe(control(8, 0x55, 0x1234, 0x0100));
  expect(c.say(SERVER_SAYS, control(8, 0x55, 0x8877, 0x0100))).toBe(control(8, 0x55, 0x1234, 0x0100));
  expect(c.calls).toEqual([`call ${0x1234} ${0x8877} ${0x55}`]);
  expect(c.say(SERVER_SAYS, control(15, 0x8877, 0))).toBe(control(15, 0x1234, 0));
  expect(c.say(CLIENT_SAYS, control(15, 0x55, 0))).toBe(control(15, 0x55, 0));
  expect(c.say(SERVER_SAYS, control(14, 0x8877))).toBe(control(14, 0x1234));
  expect(c.say(CLIENT_SAYS, control(12, 0x1234, 0))).toBe(control(12, 0x8877, 0));
  expect(c.say(SERVER_SAYS, control(13, 0x55, 0))).toBe(control(13, 0x55, 0));
  expect(c.calls.splice(0)).toEqual([
    `call ${0x1234} ${0x8877} ${0x55}`,
    `hang up ${0x1234} ${0x8877} ${0x55}`,
  ]);
  expect(c.say(CLIENT_SAYS, control(7, 0x99, 2))).toBe(control(7, 0x99, 2));
  expect(c.say(SERVER_SAYS, control(8, 0x56, 0x99, 0x0100))).toBe(control(8, 0x56, 0x99, 0x0100));
  expect(c.calls).toEqual([`call ${0x99} ${0x99} ${0x56}`]);
});

test('an incoming call', () => {
  const c = new Control();
  expect(c.say(SERVER_SAYS, control(9, 0x55, 1))).toBe(control(9, 0x55, 1));
  expect(c.say(CLIENT_SAYS, control(10, 0x1234, 0x55, 0x0100))).toBe(control(10, 0x8877, 0x55, 0x0100));
  expect(c.say(SERVER_SAYS, control(11, 0x8877, 0))).toBe(control(11, 0x1234, 0));
  expect(c.calls).toEqual([`call ${0x1234} ${0x8877} ${0x55}`]);
});

test('several messages in one segment; a cut one and what is no control message are left alone', () => {
  const c = new Control();
  const echo = control(5, 1, 2);
  const call = control(7, 0x1234, 1);
  expect(c.say(CLIENT_SAYS, echo + call + call.slice(0, 14))).toBe(
    echo + control(7, 0x8877, 1) + call.slice(0, 14),
  );
  const other = `${call.slice(0, 4)}\x1a\x2b\x3c\x4e${call.slice(8)}`;
  expect(c.say(CLIENT_SAYS, other)).toBe(other);
  expect(c.say(CLIENT_SAYS, '\0\x00')).toBe('\0\x00');
});

test('a refused call makes none; answers to somebody else’s id are not touched', () => {
  const c = new Control();
  c.say(CLIENT_SAYS, control(7, 0x1234, 1));
  expect(c.say(SERVER_SAYS, control(8, 0, 0x8877, 0x0400))).toBe(control(8, 0, 0x1234, 0x0400));
  expect(c.say(SERVER_SAYS, control(8, 0x55, 0x8878, 0x0100))).toBe(control(8, 0x55, 0x8878, 0x0100));
  expect(c.calls).toEqual([]);
});

test('without an id the request is dropped', () => {
  expect(new Control().say(CLIENT_SAYS, control(7, 0xdead, 1))).toBeNull();
});
