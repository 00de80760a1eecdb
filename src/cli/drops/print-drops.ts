/**
 * `natgate drops`: root reads the rings of the workers, so that a gateway which does not answer can be looked at, too; whoever may only use
 * the control socket asks there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { type Drop, type DropBatch, DropReader } from '../../gateway/observe/drops.ts';
import { type Filter, formatFilter } from '../../gateway/observe/filter.ts';
import { tapNamesOf } from '../../gateway/observe/names-of-record.ts';
import { workerTapPath } from '../../gateway/run/tap-files.ts';
import { recordOf } from '../../gateway/status.ts';
import { ask, type Which } from '../client.ts';
import { untilInterrupted } from '../output.ts';
import { readEvents } from '../server-events.ts';

const LOOK_MS = 200;
/** As many as the socket gives at a time. */
const ALL = 10_000;

export interface DropsOptions {
  count: number;
  follow: boolean;
  json: boolean;
}

interface Source {
  first(count: number): Promise<DropBatch>;
  /** Those that come, and how many were only counted. */
  further(signal: AbortSignal): AsyncGenerator<{ drops: Drop[]; lost: number }, void, void>;
  close(): void;
}

/** Throws NatgateError `usage`, `not_running`, and those of client.ts. */
export async function printDrops(
  which: Which,
  filter: Filter,
  { count, follow, json }: DropsOptions,
): Promise<void> {
  if (!Number.isInteger(count) || count < 0 || count > ALL) {
    throw new NatgateError(
      'usage',
      '--count: not a number of packets',
      `give a whole number to ${ALL}, 0 for all`,
    );
  }
  const source = process.geteuid?.() === 0 ? ringsOf(which, filter) : socketSource(which, filter);
  const { write, signal, end } = untilInterrupted();
  const print = (drops: readonly Drop[]) =>
    write(drops.map((drop) => (json ? `${JSON.stringify(drop)}\n` : dropText(drop))).join(''));
  try {
    const { drops, leftOut } = await source.first(count === 0 ? ALL : count);
    await print(drops);
    if (leftOut > 0 && !json) {
      process.stderr.write(
        `natgate: in floods ${leftOut} more were dropped since the gateway began, and only counted\n`,
      );
    }
    if (!follow) return;
    for await (const { drops: next, lost } of source.further(signal)) {
      await print(next);
      if (lost > 0) process.stderr.write(`natgate: ${lost} more were dropped and only counted\n`);
    }
  } finally {
    source.close();
    end();
  }
}

function ringsOf(which: Which, filter: Filter): Source {
  const record = recordOf(which);
  const names = tapNamesOf(record);
  const paths = Array.from({ length: record.workers ?? 1 }, (_, worker) =>
    workerTapPath(record.statePath, worker),
  );
  let reader: DropReader;
  try {
    reader = new DropReader(paths, filter);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    throw new NatgateError(
      'gateway_old',
      `the gateway ${record.name} is of version ${record.natgate}, which does not remember dropped packets`,
      'start it anew with this version',
    );
  }
  let leftOut = 0;
  return {
    async first(count) {
      const batch = reader.read(names);
      leftOut = batch.leftOut;
      return { ...batch, drops: batch.drops.slice(-count) };
    },
    async *further(signal) {
      while (!signal.aborted) {
        await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
        const batch = reader.read(names);
        const lost = batch.missed + batch.leftOut - leftOut;
        leftOut = batch.leftOut;
        yield { drops: batch.drops, lost };
      }
    },
    close: () => reader.close(),
  };
}

function socketSource(which: Which, filter: Filter): Source {
  const query = `filter=${encodeURIComponent(formatFilter(filter))}`;
  return {
    first: (count) => ask<DropBatch>(which, 'GET', `/v1/drops?${query}&count=${count}`),
    async *further(signal) {
      for await (const { kind, data } of readEvents(which, `/v1/drops?${query}&follow=true`, signal)) {
        if (kind === 'drop') yield { drops: [(data as { drop: Drop }).drop], lost: 0 };
        if (kind === 'missed') yield { drops: [], lost: (data as { packets: number }).packets };
      }
    },
    close: () => {},
  };
}

export function dropText(drop: Drop): string {
  const { time, reason, meaning, packet, client, rule, resource, flow } = drop;
  const about = [
    `${drop.interface} (${drop.side})`,
    ...(client === null ? [] : [`client ${client}`]),
    ...(rule === null ? [] : [`rule ${rule}`]),
    ...(flow === null ? [] : [`flow ${flow}`]),
  ];
  const lines = [`${time.slice(0, 10)} ${time.slice(11, 23)} ${reason}: ${packet}`, `    ${meaning}`];
  if (resource !== null) lines.push(`    ${resource}`);
  lines.push(`    ${about.join(', ')}`);
  return `${lines.join('\n')}\n`;
}
