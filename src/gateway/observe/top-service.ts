/**
 * Who moves how much, for any number of readers: one pass over the flows serves all that ask within a second, and none is made while
 * nobody asks. Rates are between two passes, so the first answer has none. A pass lets the event loop turn, and takes at most a tenth
 * of the time: with many flows passes are rarer.
 *
 * Invariant: state files are open from the first question until IDLE_MS after the last.
 */
import { setImmediate } from 'node:timers/promises';
import { ClientNames } from '../../host/client-names.ts';
import { formatAddress } from '../../wire/address.ts';
import type { RunRecord } from '../run/run-record.ts';
import { contextOf } from './flow-list.ts';
import { ordered, type TopSample, TopSampler, type Usage } from './top.ts';

/** Between two passes, at least. */
const PASS_MS = 1000;
const IDLE_MS = 15_000;
/** Of each list. */
const ENTRIES = 20;

export interface TopEntry extends Usage {
  address: string;
}

export interface Top {
  /** Flows that live. */
  flows: number;
  /** Between this pass and the one before, ms; 0: there was none, and rates are 0. */
  elapsed: number;
  clients: (TopEntry & { name: string })[];
  destinations: TopEntry[];
  ports: (TopEntry & { protocol: number; port: number })[];
}

export class TopService {
  readonly #record: () => RunRecord;
  readonly #names = new ClientNames();
  #sampler: TopSampler | null = null;
  #sampled: RunRecord | null = null;
  #passed = Number.NEGATIVE_INFINITY;
  #next = Number.NEGATIVE_INFINITY;
  #answer: Promise<Top> | null = null;
  #idle: NodeJS.Timeout | null = null;

  /** `record`: of the gateway at the moment; may throw NatgateError `not_ready`. */
  constructor(record: () => RunRecord) {
    this.#record = record;
  }

  /** Rejects with the system's error when a state file is not there. */
  read(): Promise<Top> {
    if (this.#answer === null || performance.now() >= this.#next) {
      this.#next = Number.POSITIVE_INFINITY;
      if (this.#idle !== null) clearTimeout(this.#idle);
      this.#answer = this.#pass().finally(() => {
        this.#idle = setTimeout(() => this.close(), IDLE_MS).unref();
      });
    }
    return this.#answer;
  }

  close(): void {
    this.#sampler?.close();
    this.#sampler = null;
    this.#answer = null;
    this.#passed = Number.NEGATIVE_INFINITY;
  }

  async #pass(): Promise<Top> {
    const start = performance.now();
    try {
      const record = this.#record();
      if (record !== this.#sampled) this.close();
      this.#sampled = record;
      this.#sampler ??= new TopSampler(record, contextOf(record, this.#names));
      const steps = this.#sampler.steps(start, 'rate', null);
      let step = steps.next();
      while (!step.done) {
        await setImmediate();
        step = steps.next();
      }
      const elapsed = Number.isFinite(this.#passed) ? start - this.#passed : 0;
      this.#passed = start;
      return this.#topOf(step.value, elapsed);
    } finally {
      const end = performance.now();
      this.#next = Math.max(start + PASS_MS, end + 9 * (end - start));
    }
  }

  #topOf({ flows, clients, destinations, endpoints }: TopSample, elapsed: number): Top {
    const entries = (map: Map<number, Usage>) =>
      ordered(
        [...map].map(([address, usage]) => ({ at: address, ...usage })),
        'rate',
      )
        .slice(0, ENTRIES)
        .map(({ at, ...usage }) => ({ ...usage, at, address: formatAddress(at) }));
    return {
      flows,
      elapsed,
      clients: entries(clients).map(({ at, ...entry }) => ({ ...entry, name: this.#names.nameOf(at) })),
      destinations: entries(destinations).map(({ at: _, ...entry }) => entry),
      ports: ordered(endpoints.values(), 'rate')
        .slice(0, ENTRIES)
        .map((endpoint) => ({ ...endpoint, address: formatAddress(endpoint.address) })),
    };
  }
}
