/** What the programs of a chaos run say of their traffic. */

/** A transfer or a query that is over. Times are ms of CLOCK_MONOTONIC. */
export interface Done {
  id: number;
  /** `quick` ones take seconds, `slow` ones a minute or more. */
  kind: 'quick down' | 'quick up' | 'slow down' | 'slow up' | 'query';
  /** Of the client, of a transfer that had one. */
  port: number;
  begin: number;
  end: number;
  bytes: number;
  /** Why it did not come to its end; empty: it did. */
  error: string;
  /** The bytes were others. */
  wrong: boolean;
  /** The longest time without progress, ms, and when it was over. */
  stall: number;
  stallAt: number;
}

/** A time without answers (bench/c/udp-gap.c). */
export interface Gap {
  from: number;
  to: number;
  /** How long the sender itself was not let run meanwhile, ms at most. */
  late: number;
}

/** What udp-gap has counted so far. */
export interface Pulse {
  at: number;
  last: number;
  sent: number;
  received: number;
  again: number;
}
