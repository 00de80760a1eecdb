/**
 * Netfilter's TCP table, written down once more in another shape: by class of packet, direction and state, as
 * enum tcp_conntrack of the kernel lists them.
 */
import { expect, test } from 'vitest';
import {
  IGNORE,
  INVALID,
  isMidstream,
  nextTcpState,
  TCP_STATES,
  tcpStateNames,
} from '../../src/conntrack/tcp-states.ts';

const ORDER = [
  'NONE',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'SYN_SENT2',
];
const short: Record<string, string> = {
  SS: 'SYN_SENT',
  SR: 'SYN_RECV',
  ES: 'ESTABLISHED',
  FW: 'FIN_WAIT',
  CW: 'CLOSE_WAIT',
  LA: 'LAST_ACK',
  TW: 'TIME_WAIT',
  CL: 'CLOSE',
  S2: 'SYN_SENT2',
  IV: 'invalid',
  IG: 'ignore',
};
const rows: Record<string, string> = {
  'original syn': 'SS SS IG IG IG IG IG SS SS S2',
  'original synack': 'IV IV SR IV IV IV IV IV IV SR',
  'original fin': 'IV IV FW FW LA LA LA TW CL IV',
  'original ack': 'ES IV ES ES CW CW TW TW CL IV',
  'original rst': 'IV CL CL CL CL CL CL CL CL CL',
  'reply syn': 'IV S2 IV IV IV IV IV SS IV S2',
  'reply synack': 'IV SR IG IG IG IG IG IG IG SR',
  'reply fin': 'IV IV FW FW LA LA LA TW CL IV',
  'reply ack': 'IV IG SR ES CW CW TW TW CL IG',
  'reply rst': 'IV CL CL CL CL CL CL CL CL CL',
};

const bits = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32, E: 64, C: 128 };

/** Class of a flags byte, or null when the combination is illegal; by letters rather than by bits. */
function classOf(flags: number): string | null {
  const letters = Object.entries(bits)
    .filter(([letter, bit]) => (flags & bit) !== 0 && !'PEC'.includes(letter))
    .map(([letter]) => letter)
    .sort()
    .join('');
  switch (letters) {
    case 'S':
    case 'SU':
      return 'syn';
    case 'AS':
      return 'synack';
    case 'R':
    case 'AR':
      return 'rst';
    case 'AF':
    case 'AFU':
      return 'fin';
    case 'A':
    case 'AU':
      return 'ack';
    default:
      return null;
  }
}

function nameOf(state: number): string {
  return state === INVALID ? 'invalid' : state === IGNORE ? 'ignore' : tcpStateNames[state]!;
}

test('states have netfilter’s names and order', () => {
  expect(tcpStateNames).toEqual(ORDER);
  expect(TCP_STATES).toBe(10);
});

test('all 256 flag bytes in all states, both directions', () => {
  const wrong: string[] = [];
  for (let flags = 0; flags < 256; flags++) {
    for (const [direction, way] of ['original', 'reply'].entries()) {
      for (let state = 0; state < 10; state++) {
        const kind = classOf(flags);
        const expected = kind === null ? 'invalid' : short[rows[`${way} ${kind}`]!.split(' ')[state]!];
        const found = nameOf(nextTcpState(direction, flags, state));
        if (found !== expected) {
          wrong.push(`${way} flags ${flags.toString(16)} in ${ORDER[state]}: ${found}, not ${expected}`);
        }
      }
    }
  }
  expect(wrong).toEqual([]);
});

test('of all flag bytes 72 are legal: nine combinations, with any of PSH, ECE, CWR', () => {
  const legal = [...Array(256).keys()].filter(
    (flags) => nextTcpState(0, flags, 3) !== INVALID || classOf(flags) !== null,
  );
  expect(legal).toHaveLength(9 * 8);
});

test('a lone ACK may be picked up from the middle; nothing that opens or closes may', () => {
  for (let flags = 0; flags < 256; flags++) {
    const has = (letter: keyof typeof bits) => (flags & bits[letter]) !== 0;
    expect(isMidstream(flags)).toBe(has('A') && !has('S') && !has('R') && !has('F'));
  }
});
