/**
 * Which new flows may begin. Consulted once per flow, never per packet.
 *
 * The recipe's two FORWARD rules: from the private side everything, towards the public side and from one private
 * network to another; from the public side nothing that no flow expects.
 */
import { NO_FLOW, OK } from '../core/reasons.ts';

/** Sides of the gateway. */
export const PRIVATE = 0;
export const PUBLIC = 1;

/** OK, or why a new flow that comes in on `from` and leaves on `to` is refused. */
export function admit(from: number, to: number): number {
  return from === PRIVATE && (to === PUBLIC || to === PRIVATE) ? OK : NO_FLOW;
}
