/**
 * SCTP as conntrack sees it: netfilter's states and transitions (net/netfilter/nf_conntrack_proto_sctp.c). They are states
 * of the association between the two, not of an endpoint.
 *
 * Each chunk of a packet steps the machine by itself. Chunks that are not in the table (DATA, SACK, ...) leave the state.
 */
import {
  ABORT,
  COOKIE_ACK,
  COOKIE_ECHO,
  ERROR,
  HEARTBEAT,
  HEARTBEAT_ACK,
  INIT,
  INIT_ACK,
  SHUTDOWN,
  SHUTDOWN_ACK,
  SHUTDOWN_COMPLETE,
} from '../wire/sctp.ts';

export const SCTP_NONE = 0;
export const SCTP_CLOSED = 1;
export const SCTP_COOKIE_WAIT = 2;
export const SCTP_COOKIE_ECHOED = 3;
export const SCTP_ESTABLISHED = 4;
export const SCTP_SHUTDOWN_SENT = 5;
export const SCTP_SHUTDOWN_RECD = 6;
export const SCTP_SHUTDOWN_ACK_SENT = 7;
export const SCTP_HEARTBEAT_SENT = 8;
export const SCTP_STATES = 9;

/** As `conntrack -L` prints them. */
export const sctpStateNames: readonly string[] = [
  'NONE',
  'CLOSED',
  'COOKIE_WAIT',
  'COOKIE_ECHOED',
  'ESTABLISHED',
  'SHUTDOWN_SENT',
  'SHUTDOWN_RECD',
  'SHUTDOWN_ACK_SENT',
  'HEARTBEAT_SENT',
];

/** Outcome of the table that is no state: the chunk cannot be. */
export const SCTP_INVALID = 15;

/** Rows of a direction, in this order. */
const CHUNKS = [
  INIT,
  INIT_ACK,
  ABORT,
  SHUTDOWN,
  SHUTDOWN_ACK,
  ERROR,
  COOKIE_ECHO,
  COOKIE_ACK,
  SHUTDOWN_COMPLETE,
  HEARTBEAT,
  HEARTBEAT_ACK,
];
const TABLE = `
                       NO CL CW CE ES SS SR SA HS
  o INIT               CL CL CW CE ES CL CL SA CW
  o INIT_ACK           CL CL CW CE ES SS SR SA CL
  o ABORT              CL CL CL CL CL CL CL CL CL
  o SHUTDOWN           CL CL CW CE SS SS SR SA CL
  o SHUTDOWN_ACK       SA CL CW CE ES SA SA SA SA
  o ERROR              CL CL CW CE ES SS SR SA CL
  o COOKIE_ECHO        CL CL CE CE ES SS SR SA CL
  o COOKIE_ACK         CL CL CW CE ES SS SR SA CL
  o SHUTDOWN_COMPLETE  CL CL CW CE ES SS SR CL CL
  o HEARTBEAT          HS CL CW CE ES SS SR SA HS
  o HEARTBEAT_ACK      CL CL CW CE ES SS SR SA HS
  r INIT               IV CL CW CE ES SS SR SA IV
  r INIT_ACK           IV CW CW CE ES SS SR SA IV
  r ABORT              IV CL CL CL CL CL CL CL IV
  r SHUTDOWN           IV CL CW CE SR SS SR SA IV
  r SHUTDOWN_ACK       IV CL CW CE ES SA SA SA IV
  r ERROR              IV CL CW CL ES SS SR SA IV
  r COOKIE_ECHO        IV CL CW CE ES SS SR SA IV
  r COOKIE_ACK         IV CL CW ES ES SS SR SA IV
  r SHUTDOWN_COMPLETE  IV CL CW CE ES SS SR CL IV
  r HEARTBEAT          IV CL CW CE ES SS SR SA HS
  r HEARTBEAT_ACK      IV CL CW CE ES SS SR SA ES`;
const CODES = ['NO', 'CL', 'CW', 'CE', 'ES', 'SS', 'SR', 'SA', 'HS'];

/** [(direction * 11 + row) * 9 + state] */
const transitions = Uint8Array.from(
  TABLE.trim()
    .split('\n')
    .slice(1)
    .flatMap((row) => row.trim().split(/\s+/).slice(2))
    .map((code) => (code === 'IV' ? SCTP_INVALID : CODES.indexOf(code))),
);

/** Row of each chunk type; NO_ROW for types that change no state. */
const NO_ROW = 255;
const rows = new Uint8Array(256).fill(NO_ROW);
CHUNKS.forEach((type, row) => {
  rows[type] = row;
});

/** The state after a chunk of this type, or SCTP_INVALID. */
export function nextSctpState(direction: number, chunk: number, state: number): number {
  const row = rows[chunk]!;
  return row === NO_ROW ? state : transitions[(direction * CHUNKS.length + row) * SCTP_STATES + state]!;
}
