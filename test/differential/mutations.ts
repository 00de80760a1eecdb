/** Bugs to plant: a text of the source that occurs once, what to put in its place, and what that breaks. */
export interface Mutation {
  file: string;
  find: string;
  replace: string;
  breaks: string;
}

const STATES = 'src/conntrack/tcp-states.ts';
const WINDOW = 'src/conntrack/tcp-window.ts';
const TCP = 'src/conntrack/tcp-tracker.ts';
const OPTIONS = 'src/wire/tcp-options.ts';
const TRANSLATE = 'src/nat/translate.ts';
const ERRORS = 'src/nat/translate-error.ts';

export const mutations: readonly Mutation[] = [
  {
    file: STATES,
    find: 'o SYN     SS SS IG IG IG IG IG SS SS S2',
    replace: 'o SYN     SS SS IG IG IG IG IG SS IV S2',
    breaks: 'a SYN cannot take the ports of a closed connection',
  },
  {
    file: STATES,
    find: 'r SYN     IV S2 IV',
    replace: 'r SYN     IV IV IV',
    breaks: 'no simultaneous open',
  },
  {
    file: STATES,
    find: 'r ACK     IV IG SR ES CW CW TW TW CL IG',
    replace: 'r ACK     IV IG SR ES CW CW LA TW CL IG',
    breaks: 'the last ACK from outside does not lead to TIME_WAIT',
  },
  {
    file: STATES,
    find: 'SYN | URG, SYN | ACK',
    replace: 'SYN | URG, SYN | FIN, SYN | ACK',
    breaks: 'SYN with FIN is legal',
  },
  {
    file: WINDOW,
    find: 'if (overshoot >= 0 && overshoot <= receiverWindow)',
    replace: 'if (overshoot >= 0)',
    breaks: 'rule I: any overshoot passes',
  },
  {
    file: WINDOW,
    find: 'if (after(sack, receiverEnd)) return isLiberal',
    replace: 'if (after(sack, (receiverEnd + 1000) | 0)) return isLiberal',
    breaks: 'rule III: what was never sent may be acknowledged',
  },
  {
    file: WINDOW,
    find: 'const MAX_ACK_WINDOW = 66_000;',
    replace: 'const MAX_ACK_WINDOW = 600;',
    breaks: 'rule IV: late acknowledgements are stale too soon',
  },
  {
    file: WINDOW,
    find: '!after(end, (senderEnd - receiverWindow - 1) | 0)',
    replace: '!after(end, (senderEnd - 1) | 0)',
    breaks: 'rule II: retransmissions have no effect',
  },
  {
    file: WINDOW,
    find: 'if ((original & reply & F_SCALE_OFFERED) !== 0) return;',
    replace: 'if (((original | reply) & F_SCALE_OFFERED) !== 0) return;',
    breaks: 'windows are scaled though only one side offered it',
  },
  {
    file: OPTIONS,
    find: 'if (((right - highest) | 0) > 0) highest = right;',
    replace: 'if (((right - highest) | 0) < 0) highest = right;',
    breaks: 'selective acknowledgements do not count',
  },
  {
    file: TCP,
    find: 'if (after(maxAck, seq)) return INVALID_RST;',
    replace: '',
    breaks: 'a RST behind the highest ACK closes',
  },
  {
    file: TCP,
    find: 'if (assured && seq !== maxAck && !train) next = state;',
    replace: '',
    breaks: 'a RST that is not exact closes an established connection',
  },
  {
    file: TCP,
    find: 'if (kind === CLASS_RST) {\n        hot[h + H_STATUS] = changed;\n        return FINAL;\n      }',
    replace: '',
    breaks: 'a connection refused at once stays in the table',
  },
  {
    file: 'src/conntrack/tcp-passed.ts',
    find: 'last === (WAS_SYN | other)',
    replace: 'last === (WAS_SYN | (other ^ 8))',
    breaks: 'a RST answers a SYN of its own sender',
  },
  {
    file: TRANSLATE,
    find: 'bytes.u8[offset + IP_TTL] = bytes.u8[offset + IP_TTL]! - 1;',
    replace: 'bytes.u8[offset + IP_TTL] = bytes.u8[offset + IP_TTL]! - 2;',
    breaks: 'the TTL goes down by two',
  },
  {
    file: TRANSLATE,
    find: '} else if (before !== 0) {',
    replace: '} else {',
    breaks: 'a UDP datagram without a checksum gets a wrong one',
  },
  {
    file: ERRORS,
    find: 'isInside && isTranslated ? router : sender;',
    replace: 'sender;',
    breaks: 'errors of private routers leave with their private address',
  },
  {
    file: ERRORS,
    find: 'change = fold(change + delta16(old, u16[field >> 1]!));',
    replace: '',
    breaks: 'the ICMP checksum forgets that the quoted checksum changed',
  },
  {
    file: ERRORS,
    find: 'field + 2 <= quotedEnd',
    replace: 'field + 2 <= quotedEnd + 10',
    breaks: 'a checksum behind the end of the quote is adjusted',
  },
  {
    file: 'src/wire/icmp.ts',
    find: 'for (const error of [3, 4, 11, 12])',
    replace: 'for (const error of [3, 11, 12])',
    breaks: 'source quench is not translated',
  },
  {
    file: 'src/engine/error-path.ts',
    find: 'side !== table.sideOf(handle) || meta[m + M_DESTINATION] !== table.hot[tuple + H_DESTINATION]',
    replace: 'side !== table.sideOf(handle)',
    breaks: 'an ICMP error may go to another host than the sender of what it quotes',
  },
  {
    file: 'src/conntrack/fragment-coverage.ts',
    find: 'isSet(begun, base, first) ? DUPLICATE : OVERLAP',
    replace: 'isSet(begun, base, first) ? DUPLICATE : DUPLICATE',
    breaks: 'overlapping fragments are taken for repetitions',
  },
  {
    file: 'src/engine/fragment-path.ts',
    find: 'if (verdict === UNKNOWN) return this.hold(datagram, slot, m);',
    replace: 'if (verdict === UNKNOWN) return FRAGMENT_FIRST_MISSING;',
    breaks: 'fragments that come before their first one are dropped',
  },
];
