/**
 * TCP as conntrack sees it: netfilter's states and transitions (net/netfilter/nf_conntrack_proto_tcp.c).
 *
 * A packet has one class, by priority RST, SYN(/ACK), FIN, ACK, none; the table gives the next state for each
 * direction, class and state. INVALID packets are not forwarded; IGNORE lets a packet through and changes
 * nothing.
 */
import { ACK, FIN, RST, SYN, URG } from '../wire/tcp.ts';

export const TCP_NONE = 0;
export const SYN_SENT = 1;
export const SYN_RECV = 2;
export const ESTABLISHED = 3;
export const FIN_WAIT = 4;
export const CLOSE_WAIT = 5;
export const LAST_ACK = 6;
export const TIME_WAIT = 7;
export const CLOSE = 8;
export const SYN_SENT2 = 9;
export const TCP_STATES = 10;

/** As `conntrack -L` prints them. */
export const tcpStateNames: readonly string[] = [
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

/** Outcomes of the table that are no states. */
export const INVALID = 10;
export const IGNORE = 11;

const TABLE = `
            NO SS SR ES FW CW LA TW CL S2
  o SYN     SS SS IG IG IG IG IG SS SS S2
  o SYNACK  IV IV SR IV IV IV IV IV IV SR
  o FIN     IV IV FW FW LA LA LA TW CL IV
  o ACK     ES IV ES ES CW CW TW TW CL IV
  o RST     IV CL CL CL CL CL CL CL CL CL
  o NONE    IV IV IV IV IV IV IV IV IV IV
  r SYN     IV S2 IV IV IV IV IV SS IV S2
  r SYNACK  IV SR IG IG IG IG IG IG IG SR
  r FIN     IV IV FW FW LA LA LA TW CL IV
  r ACK     IV IG SR ES CW CW TW TW CL IG
  r RST     IV CL CL CL CL CL CL CL CL CL
  r NONE    IV IV IV IV IV IV IV IV IV IV`;
const CODES = ['NO', 'SS', 'SR', 'ES', 'FW', 'CW', 'LA', 'TW', 'CL', 'S2', 'IV', 'IG'];

/** [(direction * 6 + class) * 10 + state] */
const transitions = Uint8Array.from(
  TABLE.trim()
    .split('\n')
    .slice(1)
    .flatMap((row) => row.trim().split(/\s+/).slice(2))
    .map((code) => CODES.indexOf(code)),
);

/** Classes of packets. */
export const CLASS_SYN = 0;
export const CLASS_SYNACK = 1;
export const CLASS_FIN = 2;
export const CLASS_ACK = 3;
export const CLASS_RST = 4;
export const CLASS_NONE = 5;
export const CLASS_ILLEGAL = 6;

/** Class of each value of the flags byte; PSH, ECE and CWR do not matter for legality. */
const classes = new Uint8Array(256);
for (let flags = 0; flags < 256; flags++) {
  const significant = flags & (FIN | SYN | RST | ACK | URG);
  const legal = [SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG];
  if (!legal.includes(significant)) classes[flags] = CLASS_ILLEGAL;
  else if ((flags & RST) !== 0) classes[flags] = CLASS_RST;
  else if ((flags & SYN) !== 0) classes[flags] = (flags & ACK) !== 0 ? CLASS_SYNACK : CLASS_SYN;
  else if ((flags & FIN) !== 0) classes[flags] = CLASS_FIN;
  else classes[flags] = (flags & ACK) !== 0 ? CLASS_ACK : CLASS_NONE;
}

/** The class of a packet with this flags byte. */
export function tcpClass(flags: number): number {
  return classes[flags]!;
}

/** The next state, INVALID or IGNORE, for a class other than CLASS_ILLEGAL. */
export function transition(direction: number, kind: number, state: number): number {
  return transitions[(direction * 6 + kind) * TCP_STATES + state]!;
}

/** The next state, INVALID or IGNORE. `flags` is the whole flags byte. */
export function nextTcpState(direction: number, flags: number, state: number): number {
  const kind = classes[flags]!;
  return kind === CLASS_ILLEGAL ? INVALID : transition(direction, kind, state);
}

/** Whether a packet with these flags may begin a flow that is seen from its middle (`nf_conntrack_tcp_loose`). */
export function isMidstream(flags: number): boolean {
  return (flags & (SYN | RST | FIN | ACK)) === ACK;
}
