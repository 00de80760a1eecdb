/**
 * When the hash key changes: after an entry of the flow table's index, or of that of the mappings, has landed so far from its home that
 * somebody must have made it (FAR, conntrack/tag-index.ts). Lookups are as short as ever afterwards.
 *
 * The packet path only notes it. Housekeeping looks at the note, and does all in one pass, while packets wait in their queues. It does
 * so once in INTERVAL_MS at most: the pass takes a fraction of a second for a million flows, so that whoever could bring it about
 * at will has no lever with it. Until then lookups are long, and forwarding is slow, but right. Where the next key does not help, since
 * the tuples collide with it as well, the one after it comes twice as late, up to LONGEST_MS.
 *
 * Killed at any moment, it leaves a state whose flows live on (hash-keys.ts). What is keyed with the state's seed stays so.
 */
import type { FlowTable } from '../conntrack/flow-table.ts';
import { rekeyTable } from '../conntrack/rekey.ts';
import { FAR } from '../conntrack/tag-index.ts';
import type { HashKey } from '../conntrack/tuple.ts';
import { randomSeed } from '../core/random.ts';
import type { MappingTable } from '../nat/mapping-table.ts';
import { HASH_REKEYS } from './counters.ts';
import { beginChange, endChange } from './hash-keys.ts';
import { S_HEARTBEAT, type State } from './state.ts';

const INTERVAL_MS = 60_000;
const LONGEST_MS = 3_600_000;

/** Who is there while a change takes. */
export interface RekeyWatch {
  /** Called every few ms: the thread is not stuck. */
  alive(): void;
  /** ms, to tell how long it took. */
  clock(): number;
}

export class Rekeyer {
  watch: RekeyWatch = { alive: () => {}, clock: () => 0 };
  /** Where keys come from; tests have their own. */
  newKey: () => HashKey = randomSeed;
  private readonly header: Int32Array;
  private readonly counters: Float64Array;
  private readonly table: FlowTable;
  private readonly mappings: MappingTable;
  private readonly log: (line: string) => void;
  /** Since a change; for how long, and until when, ms. */
  private isResting = false;
  private interval = INTERVAL_MS;
  private restsUntil = 0;

  /** The flows of an earlier engine have been adopted: all are sealed with the current key. */
  constructor(
    { header, counters }: State,
    table: FlowTable,
    mappings: MappingTable,
    log: (line: string) => void = () => {},
  ) {
    this.header = header;
    this.counters = counters;
    this.table = table;
    this.mappings = mappings;
    this.log = log;
    endChange(header);
  }

  /** Between batches. */
  tick(now: number): void {
    if (this.isResting && ((now - this.restsUntil) | 0) >= 0) this.isResting = false;
    if (this.isResting || this.distance <= FAR) return;
    this.change();
    this.interval = this.distance <= FAR ? INTERVAL_MS : Math.min(this.interval * 2, LONGEST_MS);
    this.isResting = true;
    this.restsUntil = (now + this.interval) | 0;
  }

  /** The farthest from its home that an entry has landed since the last change, where it is over FAR. */
  private get distance(): number {
    return Math.max(this.table.index.farthest, this.mappings.farthest);
  }

  private change(): void {
    const { header, table, watch, distance } = this;
    const began = watch.clock();
    const key = this.newKey();
    beginChange(header, key);
    const alive = () => {
      header[S_HEARTBEAT]!++;
      watch.alive();
    };
    rekeyTable(table, key, alive);
    endChange(header);
    this.mappings.rekey(key, alive);
    this.counters[HASH_REKEYS]!++;
    const took = Math.round(watch.clock() - began);
    const left = this.distance <= FAR ? '' : `, one is ${this.distance} with the new key`;
    const pass = `${table.count} flows, ${took} ms`;
    this.log(`hash key changed: ${pass}, an entry was ${distance} places from home${left}`);
  }
}
