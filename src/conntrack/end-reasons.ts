/** Why a flow ended: the words of events. Small integers, so that the hot path can pass them on. */
const NAMES: string[] = [];
function reason(name: string): number {
  return NAMES.push(name) - 1;
}

/** It was silent for longer than its timeout. */
export const END_TIMEOUT = reason('timeout');
/** The protocol ended it: a RST as the first answer to a SYN, an SCTP ABORT. */
export const END_CLOSED = reason('closed');
/** A new connection took its tuple (a SYN in TIME_WAIT). */
export const END_REUSED = reason('reused');
/** The external address it was translated to is gone. */
export const END_ADDRESS = reason('address_gone');
/** The rule or forward that made it is gone. */
export const END_RULE = reason('rule_gone');
/** It made room for another flow. */
export const END_EVICTED = reason('evicted');
/** Somebody asked for it. */
export const END_DELETED = reason('deleted');

/** The DNS resolver that it goes to does not answer any more. */
export const END_RESOLVER = reason('resolver_down');

/** Those before are why the engine ends a flow; those after are of what it does not end itself. */
export const flowEndReasonNames: readonly string[] = [...NAMES];

/** A restarted engine could not take it over. */
export const END_LOST = reason('lost');
/** The state was thrown away, because the engine died of it. */
export const END_FORGOTTEN = reason('forgotten');
/** The gateway stopped. */
export const END_STOPPED = reason('gateway_stopped');
/** Of a mapping or a block of ports: its external address is another one now. */
export const END_MOVED = reason('moved');
/** Of a mapping or a block of ports: nobody uses it any more. */
export const END_UNUSED = reason('unused');

export const endReasonNames: readonly string[] = NAMES;
