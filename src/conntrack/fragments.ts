/**
 * What became of a datagram's first fragment, for the fragments that follow: they carry no ports (RFC 3022 4.3).
 *
 * A small set-associative table keyed by (source, destination, protocol, identification): 1024 sets of 4 entries
 * of 8 words. A new datagram takes an expired entry of its set, else the oldest. Entries name a flow by handle
 * and SEQUENCE, so one that outlived its flow is not mistaken for another.
 *
 * Limits: fragments are matched behind their first one only; 4096 datagrams in flight; 30 s each
 * (net.ipv4.ipfrag_time).
 */
import { hashTuple } from './tuple.ts';

/** find(): nothing is known of the datagram. */
export const UNKNOWN = -1;
/** remember(): the datagram is the host's own. */
export const FOR_HOST = -2;
/** remember(): its first fragment was dropped, so is the rest. */
export const DROPPED = -3;

const SETS = 1024;
const WAYS = 4;
const ENTRY = 8;
const E_SOURCE = 0;
const E_DESTINATION = 1;
const E_KEY = 2;
const E_VERDICT = 3;
const E_SEQUENCE = 4;
const E_EXPIRES = 5;
const E_USED = 6;
const LIFETIME_MS = 30_000;

export class Fragments {
  private readonly entries = new Int32Array(SETS * WAYS * ENTRY);
  private readonly key0: number;
  private readonly key1: number;

  constructor(seed: readonly [number, number]) {
    this.key0 = seed[0];
    this.key1 = seed[1];
  }

  /** `verdict`: a handle (with its flow's SEQUENCE), FOR_HOST or DROPPED. `id`: identification, any byte order. */
  remember(
    source: number,
    destination: number,
    protocol: number,
    id: number,
    verdict: number,
    sequence: number,
    now: number,
  ): void {
    const e = this.entries;
    const key = id | (protocol << 16);
    const first = this.set(source, destination, key);
    let take = first;
    let oldest = 0x7fffffff;
    for (let at = first; at < first + WAYS * ENTRY; at += ENTRY) {
      if (e[at + E_SOURCE] === source && e[at + E_DESTINATION] === destination && e[at + E_KEY] === key) {
        take = at;
        break;
      }
      const left = e[at + E_USED] === 0 ? -1 : Math.max((e[at + E_EXPIRES]! - now) | 0, 0);
      if (left < oldest) {
        oldest = left;
        take = at;
      }
    }
    e[take + E_SOURCE] = source;
    e[take + E_DESTINATION] = destination;
    e[take + E_KEY] = key;
    e[take + E_VERDICT] = verdict;
    e[take + E_SEQUENCE] = sequence;
    e[take + E_EXPIRES] = now + LIFETIME_MS;
    e[take + E_USED] = 1;
  }

  /** Position of the entry of a datagram, for verdict() and sequence(), or UNKNOWN. */
  find(source: number, destination: number, protocol: number, id: number, now: number): number {
    const e = this.entries;
    const key = id | (protocol << 16);
    const first = this.set(source, destination, key);
    for (let at = first; at < first + WAYS * ENTRY; at += ENTRY) {
      if (
        e[at + E_USED] !== 0 &&
        e[at + E_SOURCE] === source &&
        e[at + E_DESTINATION] === destination &&
        e[at + E_KEY] === key &&
        ((e[at + E_EXPIRES]! - now) | 0) > 0
      ) {
        return at;
      }
    }
    return UNKNOWN;
  }

  verdict(at: number): number {
    return this.entries[at + E_VERDICT]!;
  }

  sequence(at: number): number {
    return this.entries[at + E_SEQUENCE]!;
  }

  private set(source: number, destination: number, key: number): number {
    return (hashTuple(source, destination, key, 0, this.key0, this.key1) & (SETS - 1)) * WAYS * ENTRY;
  }
}
