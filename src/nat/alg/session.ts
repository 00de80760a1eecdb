/**
 * What a helper (application-level gateway) is given and what it answers. A helper is a function of the bytes of one
 * payload: no I/O, no clock. It returns the edits to make; what the packet announces it tells to its session, which
 * finds external ports and keeps the expectations.
 *
 * Payloads are text of one character a byte (latin1), so that positions in it are positions in the packet. Addresses are
 * in wire order, ports and call ids in host order.
 */

/** Replaces [start, end) of the payload. Edits of one packet are in order and do not overlap. */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

export interface AlgPacket {
  text: string;
  /** TCP: number of the first payload byte, as sent. */
  sequence: number;
  /** TCP: a SYN; it carries no payload. */
  syn: boolean;
}

/** The packet's endpoints, as they are when it arrives and as they will be when it leaves. */
export interface AlgFlow {
  protocol: number;
  /** 0: from whom the flow began, 1: answers. */
  direction: 0 | 1;
  source: number;
  sourcePort: number;
  destination: number;
  destinationPort: number;
  newSource: number;
  newSourcePort: number;
  newDestination: number;
  newDestinationPort: number;
}

/** A connection or stream that the receiver of a packet is to begin, to an endpoint of the sender's. */
export interface Wanted {
  protocol: number;
  address: number;
  port: number;
  /** From the receiver's address only, or from anywhere. */
  from: 'peer' | 'anywhere';
  /** What is limited: `limit` of a kind for a flow; the oldest gives way. */
  kind: number;
  limit: number;
  /** Until it is given up. */
  seconds: number;
  /** It may be used more than once. */
  permanent?: boolean;
  /** It counts when refresh() has confirmed it. */
  inactive?: boolean;
  /** The new flow is read by the same helper. */
  helped?: boolean;
  /** The endpoint is the flow's own: it has its external port already. */
  own?: boolean;
}

export interface AlgSession extends AlgFlow {
  /** Announces one. Returns the port that the receiver must be told, or -1 when there is none. */
  expect(wanted: Wanted): number;
  /** Announces `wanted` and the port above it, as a pair of neighbours with the same parity. Returns the lower one, or -1. */
  expectPair(wanted: Wanted): number;
  /** External port of an endpoint of the sender's that was announced before, or -1. */
  portOf(protocol: number, address: number, port: number): number;
  /** Confirms what was announced for the receiver's `newDestination`:`port`, for so long. */
  refresh(protocol: number, externalPort: number, kind: number, seconds: number): void;
  /** Gives up what was announced of these kinds. */
  forget(kinds: readonly number[]): void;
  /** The flow is one that waits for requests: it may be silent for an hour. */
  keep(): void;
  /** PPTP: the id by which the receiver is to know the sender's call `id`; -1 when there is none. */
  callId(id: number): number;
  /** PPTP: both ids of a call are known: `own` and `told` of whom the flow began from, `peer` of the other. */
  call(own: number, told: number, peer: number): boolean;
  /** PPTP: that call is over. */
  hangUp(own: number, told: number, peer: number): void;
}

/**
 * `memory` from `at`: MEMORY_WORDS words that are the helper's own for this flow, zero at first. Returns the edits, or null
 * when the packet cannot be made right: it is dropped then, rather than sent with an address that means nothing outside.
 */
export type Alg = (
  packet: AlgPacket,
  session: AlgSession,
  memory: Int32Array,
  at: number,
) => readonly Edit[] | null;

export const MEMORY_WORDS = 8;

export const NO_EDITS: readonly Edit[] = [];

/** The payload after its edits. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = '';
  let done = 0;
  for (const { start, end, text: piece } of edits) {
    result += text.slice(done, start) + piece;
    done = end;
  }
  return result + text.slice(done);
}
