/** What a running gateway tells of its packets: captures, traces, the last drops. For the routes of the control socket. */
import { setTimeout as sleep } from 'node:timers/promises';
import { NatgateError } from '../../core/errors.ts';
import { ClientNames } from '../../host/client-names.ts';
import { type Drop, type DropBatch, DropReader } from '../observe/drops.ts';
import type { Filter } from '../observe/filter.ts';
import { tapNamesOf } from '../observe/names-of-record.ts';
import type { TapNames } from '../observe/tap-names.ts';
import type { RunRecord } from '../run/run-record.ts';
import { workerTapPath } from '../run/tap-files.ts';
import { type CaptureRequest, captureStream } from './capture-stream.ts';
import type { Taps } from './taps.ts';
import { type Traced, traceStream } from './trace-stream.ts';

/** How often the rings of drops are looked at for those who follow them. */
const LOOK_MS = 200;

export type Followed = { kind: 'ready' } | { kind: 'drop'; drop: Drop } | { kind: 'missed'; packets: number };

export interface Live {
  capture(request: CaptureRequest, signal: AbortSignal): AsyncGenerator<Buffer, void, void>;
  trace(filter: Filter, signal: AbortSignal): AsyncGenerator<Traced, void, void>;
  /** At most `count` of the last ones, oldest first. */
  drops(filter: Filter, count: number): DropBatch;
  /** Those that come from now on. */
  followDrops(filter: Filter, signal: AbortSignal): AsyncGenerator<Followed, void, void>;
}

/** `taps`, `record`: of the gateway; undefined before it is up. */
export function liveOf(taps: () => Taps | undefined, record: () => RunRecord | undefined): Live {
  const clients = new ClientNames();
  const present = (): RunRecord => record() ?? notReady();
  // The names change with a reload only.
  let named: { of: RunRecord; names: TapNames } | null = null;
  const names = (): TapNames => {
    const of = present();
    if (named?.of !== of) named = { of, names: tapNamesOf(of, clients) };
    return named.names;
  };
  const reader = (filter: Filter) => {
    const { statePath, workers = 1 } = present();
    return new DropReader(
      Array.from({ length: workers }, (_, worker) => workerTapPath(statePath, worker)),
      filter,
    );
  };
  return {
    capture: (request, signal) => captureStream(request, taps() ?? notReady(), names, signal),
    trace: (filter, signal) => traceStream(filter, taps() ?? notReady(), names, signal),
    drops(filter, count) {
      const drops = reader(filter);
      try {
        const batch = drops.read(names());
        return { ...batch, drops: batch.drops.slice(-count) };
      } finally {
        drops.close();
      }
    },
    async *followDrops(filter, signal) {
      const drops = reader(filter);
      try {
        let { leftOut } = drops.read(names());
        yield { kind: 'ready' };
        while (!signal.aborted) {
          await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
          const batch = drops.read(names());
          const lost = batch.missed + batch.leftOut - leftOut;
          leftOut = batch.leftOut;
          for (const drop of batch.drops) yield { kind: 'drop', drop };
          if (lost > 0) yield { kind: 'missed', packets: lost };
        }
      } finally {
        drops.close();
      }
    },
  };
}

function notReady(): never {
  throw new NatgateError('not_ready', 'the gateway is not up', 'try again when it is');
}
