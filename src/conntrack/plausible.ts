/**
 * What changes while a flow lives is written word by word and has no check word: a flow that is adopted is asked whether these words
 * can be. A state or timer that its protocol does not have is damage, and the flow is lost. What only steers how long it lives, or which
 * segments it takes, is mended: then the flow goes on, and none of its packets is translated otherwise.
 *
 *     H_LAST     in the future, or before the flow began: now
 *     ASSURED    without an answer: taken away
 *     TCP        numbers or flags that cannot be: the connection is picked up as one seen from its middle (tcp-window.ts)
 */
import { PROTO_GRE, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import {
  ASSURED,
  C_CREATED,
  COLD,
  type FlowTable,
  H_LAST,
  H_STATUS,
  HOT,
  SEEN_REPLY,
  STATE_MASK,
  STATE_SHIFT,
  TIMER_SHIFT,
  TRACK,
} from './flow-table.ts';
import { sctpStateNames } from './sctp-states.ts';
import { isPossible, pickUpBoth } from './tcp-restored.ts';
import { TCP_NONE, TCP_STATES } from './tcp-states.ts';
import { TIMER_UNREPLIED, UDP_DNS, UDP_SIGNALLING, UDP_STREAM } from './timeouts.ts';

/** Whether a flow's protocol has the state and the timer that `status` (H_STATUS) says. */
export function hasState(status: number): boolean {
  const protocol = status & 0xff;
  const state = (status & STATE_MASK) >>> STATE_SHIFT;
  const timer = (status >>> TIMER_SHIFT) & 7;
  if (protocol === PROTO_TCP) return state > TCP_NONE && state < TCP_STATES && timer <= TIMER_UNREPLIED;
  if (timer !== 0) return false;
  if (protocol === PROTO_UDP) return (state & ~UDP_SIGNALLING) <= UDP_DNS;
  if (protocol === PROTO_GRE) return state <= UDP_STREAM;
  return protocol === PROTO_SCTP ? state < sctpStateNames.length : state === 0;
}

/** Mends what can be mended of an adopted flow. Returns whether anything was. */
export function mend(table: FlowTable, flow: number, now: number): boolean {
  const { hot, cold, track } = table;
  const h = flow * HOT;
  const status = hot[h + H_STATUS]!;
  const last = hot[h + H_LAST]!;
  let mended = false;
  if (((now - last) | 0) < 0 || ((last - cold[flow * COLD + C_CREATED]!) | 0) < 0) {
    hot[h + H_LAST] = now;
    mended = true;
  }
  if ((status & (ASSURED | SEEN_REPLY)) === ASSURED) {
    hot[h + H_STATUS] = status & ~ASSURED;
    mended = true;
  }
  if ((status & 0xff) === PROTO_TCP && !isPossible(track, flow * TRACK)) {
    pickUpBoth(track, flow * TRACK);
    mended = true;
  }
  return mended;
}
