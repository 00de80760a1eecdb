/**
 * Who has most: the private hosts with most flows, and the destinations to which most external ports lead. For metrics, so it must not
 * cost what a scrape each second would: the flows are gone through piece by piece, in the background, at most every EVERY_MS, and only
 * because somebody asked; what is told is the result of the last pass. A million flows take about a second of the supervisor, in pieces of some milliseconds.
 *
 *     latest() ─▶ the last result ─┬─ fresh: nothing more
 *                                  └─ old: a pass begins, and its result is the next one's
 */
import { setImmediate } from 'node:timers/promises';
import { H_PORTS, H_STATUS, ORIGINAL_SIDE, TUPLE } from '../../conntrack/flow-table.ts';
import { formatAddress } from '../../wire/address.ts';
import { swap16 } from '../../wire/bytes.ts';
import { protocolName } from '../../wire/protocols.ts';
import type { RunRecord } from '../run-record.ts';
import { workerStatePath } from '../state-path.ts';
import { FlowReader } from './flow-reader.ts';

export interface Pressure {
  /** At most TOLD of each, the most first. */
  clients: { address: string; flows: number }[];
  destinations: { address: string; port: number; proto: string; flows: number }[];
  clientCount: number;
}

const TOLD = 10;
const EVERY_MS = 10_000;
const PIECE = 2048;

export class PressureReader {
  private readonly record: () => RunRecord;
  private readonly failed: (error: Error) => void;
  private last: Pressure | null = null;
  private lastMs = Number.NEGATIVE_INFINITY;
  private isBusy = false;

  /** `failed`: a pass could not be made. */
  constructor(record: () => RunRecord, failed: (error: Error) => void) {
    this.record = record;
    this.failed = failed;
  }

  /** Of some seconds ago; null before the first pass is done. */
  latest(): Pressure | null {
    if (!this.isBusy && performance.now() - this.lastMs >= EVERY_MS) {
      this.isBusy = true;
      this.pass()
        .then((pressure) => {
          this.last = pressure;
        }, this.failed)
        .finally(() => {
          this.isBusy = false;
          this.lastMs = performance.now();
        });
    }
    return this.last;
  }

  private async pass(): Promise<Pressure> {
    const { statePath, workers = 1 } = this.record();
    const clients = new Map<number, number>();
    const destinations = new Map<string, number>();
    let looked = 0;
    for (let worker = 0; worker < workers; worker++) {
      const reader = new FlowReader(workerStatePath(statePath, worker));
      try {
        for (const { hot } of reader.read()) {
          if (++looked % PIECE === 0) await setImmediate();
          const isInside = (hot[H_STATUS]! & ORIGINAL_SIDE) === 0;
          add(clients, isInside ? hot[0]! : hot[TUPLE]!);
          const protocol = hot[H_STATUS]! & 0xff;
          // Those that came from outside, and queries, take no port for a destination.
          if (isInside && protocol !== 1) add(destinations, `${protocol} ${hot[1]!} ${hot[H_PORTS]! >>> 16}`);
        }
      } finally {
        reader.close();
      }
    }
    return {
      clients: most(clients).map(([address, flows]) => ({ address: formatAddress(address), flows })),
      destinations: most(destinations).map(([key, flows]) => {
        const [protocol = 0, address = 0, port = 0] = key.split(' ').map(Number);
        const proto = protocolName(protocol) ?? `${protocol}`;
        return { address: formatAddress(address), port: swap16(port), proto, flows };
      }),
      clientCount: clients.size,
    };
  }
}

function add<K>(map: Map<K, number>, key: K): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

function most<K>(map: Map<K, number>): [K, number][] {
  return [...map].sort(([, a], [, b]) => b - a).slice(0, TOLD);
}
