/**
 * `natgate flows save`: the flows of a gateway that runs or lingers into a file. They are read as `natgate flows` reads them
 * (observe/flow-reader.ts), so nothing stops for it; of one that lingers nothing moves any more, and the file is exact.
 */
import { closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { H_LAST, H_PACKETS, H_STATUS } from '../../conntrack/flow-table.ts';
import { PROTO_SCTP, PROTO_TCP } from '../../wire/ipv4.ts';
import { FlowReader, type RawFlow } from '../observe/flow-reader.ts';
import type { RunRecord } from '../run/run-record.ts';
import { workerStatePath } from '../run/state-path.ts';
import { packageVersion } from '../version.ts';
import {
  COUNTER_WORDS,
  R_AGE,
  R_COUNTERS,
  R_IDLE,
  R_STATUS,
  R_TRACK,
  R_TUPLES,
  SavedFlowsWriter,
} from './format.ts';

const TUPLE_WORDS = 6;

/** To a file that appears whole or not at all, for root only; null: to stdout. Returns how many. Throws the system's error. */
export function saveFlows(record: RunRecord, path: string | null): number {
  if (path === null) return writeFlows(record, 1);
  const unready = `${path}.new`;
  const fd = openSync(unready, 'w', 0o600);
  try {
    const count = writeFlows(record, fd);
    renameSync(unready, path);
    return count;
  } catch (error) {
    rmSync(unready, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function writeFlows(record: RunRecord, fd: number): number {
  const { name: gateway, rules } = record;
  const writer = new SavedFlowsWriter(fd, { natgate: packageVersion(), gateway, saved: Date.now(), rules });
  for (let worker = 0; worker < (record.workers ?? 1); worker++) {
    const reader = new FlowReader(workerStatePath(record.statePath, worker));
    try {
      const now = reader.now();
      for (const raw of reader.read()) {
        const protocol = raw.hot[H_STATUS]! & 0xff;
        const track = protocol === PROTO_TCP || protocol === PROTO_SCTP ? reader.track(raw) : null;
        writer.write((words, at) => fill(words, at, raw, track, now));
      }
    } finally {
      reader.close();
    }
  }
  return writer.end();
}

function fill(words: Int32Array, at: number, raw: RawFlow, track: Int32Array | null, now: number): void {
  const { hot, created } = raw;
  for (let i = 0; i < TUPLE_WORDS; i++) words[at + R_TUPLES + i] = hot[i]!;
  words[at + R_STATUS] = hot[H_STATUS]!;
  words[at + R_IDLE] = Math.max((now - hot[H_LAST]!) | 0, 0);
  words[at + R_AGE] = Math.max((now - created) | 0, 0);
  for (let i = 0; i < COUNTER_WORDS; i++) words[at + R_COUNTERS + i] = hot[H_PACKETS + i]!;
  if (track !== null) words.set(track, at + R_TRACK);
}
