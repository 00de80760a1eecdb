/**
 * Whether a TCP segment that an ICMP error quotes can be under way just now (RFC 5927 4.1): between the oldest byte that its receiver
 * has not acknowledged and the newest that its sender has sent. Who forges an error about a connection that he cannot see has to guess
 * the number, as for a segment itself. A host checks the same, but not every host, and not with what its peer's gateway knows.
 *
 * Where the gateway does not know the numbers (a connection picked up from its middle, one that may go by with one direction
 * only), every quote may be.
 */
import { TRACK } from './flow-table.ts';
import { after, F_LIBERAL, F_MAXACK, F_ONE_WAY, SIDE, W_END, W_FLAGS, W_MAXACK } from './tcp-window.ts';

/** Before anything is acknowledged a sender has sent a SYN, with a segment of data at most (RFC 7413). */
const FIRST_FLIGHT = 2048;

/**
 * `direction`: in which the quoted segment went; `sequence`: its number, as its sender counts. The end of the last segment counts as
 * under way too: a segment without data begins there.
 */
export function isInFlight(track: Int32Array, flow: number, direction: number, sequence: number): boolean {
  const t = flow * TRACK;
  const s = t + direction * SIDE;
  const r = t + SIDE - direction * SIDE;
  if (((track[t + W_FLAGS]! | track[t + SIDE + W_FLAGS]!) & (F_LIBERAL | F_ONE_WAY)) !== 0) return true;
  const end = track[s + W_END]!;
  if (after(sequence, end)) return false;
  const isAnswered = (track[r + W_FLAGS]! & F_MAXACK) !== 0;
  return !after(isAnswered ? track[r + W_MAXACK]! : (end - FIRST_FLIGHT) | 0, sequence);
}
