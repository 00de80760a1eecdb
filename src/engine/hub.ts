/**
 * What the workers of one engine share: plain shared memory, made once per engine process and handed to each of them. It holds
 * nothing that a new engine could not make anew from the states.
 */
import { MAX_WORKERS } from '../nat/port-class.ts';
import { sharedHostsBytes } from '../nat/shared-hosts.ts';
import { sharedCountsBytes } from '../policy/firewall/shared-counts.ts';
import { ringBytes } from './ring.ts';
import { sharedKeysBytes } from './shared-keys.ts';

export interface HubMemory {
  workers: number;
  /** Of the keys' hash. */
  seed: readonly [number, number];
  keys: SharedArrayBuffer;
  hosts: SharedArrayBuffer;
  /** Live flows per group of a rule with a connection limit. */
  connections: SharedArrayBuffer;
  /** Uses of protocols without ports, 256 words. */
  protocols: SharedArrayBuffer;
  /** A ring for each (from, to), at from * workers + to. */
  rings: SharedArrayBuffer[];
  /** A word per worker: whether it waits, or is about to, and must be woken when something comes for it. */
  sleeping: SharedArrayBuffer;
}

/** A worker's part in it. */
export interface WorkerSeat {
  number: number;
  hub: HubMemory;
  /** Ends the wait of another worker. */
  wake(worker: number): void;
}

/** `flows`: capacity over all workers. */
export function makeHub(workers: number, flows: number, seed: readonly [number, number]): HubMemory {
  return {
    workers,
    seed,
    keys: new SharedArrayBuffer(sharedKeysBytes(flows)),
    hosts: new SharedArrayBuffer(sharedHostsBytes(workers)),
    connections: new SharedArrayBuffer(sharedCountsBytes(workers)),
    protocols: new SharedArrayBuffer(256 * 4),
    rings: Array.from({ length: workers * workers }, () => new SharedArrayBuffer(ringBytes(workers))),
    sleeping: new SharedArrayBuffer(MAX_WORKERS * 4),
  };
}
