/** `natgate drops`: reads the rings of the workers itself; the gateway is not asked. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { type Drop, DropReader } from '../../gateway/observe/drops.ts';
import type { Filter } from '../../gateway/observe/filter.ts';
import { tapNamesOf } from '../../gateway/observe/names-of-record.ts';
import type { RunRecord } from '../../gateway/run-record.ts';
import { recordOf } from '../../gateway/status.ts';
import { workerTapPath } from '../../gateway/tap-files.ts';
import { untilInterrupted } from '../output.ts';

const LOOK_MS = 200;

export interface DropsOptions {
  count: number;
  follow: boolean;
  json: boolean;
}

/** Throws NatgateError `usage`, `not_running`. */
export async function printDrops(
  which: { name: string; stateRoot: string },
  filter: Filter,
  { count, follow, json }: DropsOptions,
): Promise<void> {
  if (!Number.isInteger(count) || count < 0) {
    throw new NatgateError('usage', '--count: not a number of packets', 'give a whole number, 0 for all');
  }
  const record = recordOf(which);
  const names = tapNamesOf(record);
  const reader = open(record, filter);
  const { write, signal, end } = untilInterrupted();
  try {
    const first = reader.read(names);
    const shown = count === 0 ? first.drops : first.drops.slice(-count);
    await write(shown.map((drop) => line(drop, json)).join(''));
    let { leftOut } = first;
    if (leftOut > 0 && !json) process.stderr.write(leftOutText(leftOut));
    while (follow && !signal.aborted) {
      await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
      const next = reader.read(names);
      await write(next.drops.map((drop) => line(drop, json)).join(''));
      const lost = next.missed + next.leftOut - leftOut;
      if (lost > 0) process.stderr.write(`natgate: ${lost} more were dropped and only counted\n`);
      leftOut = next.leftOut;
    }
  } finally {
    reader.close();
    end();
  }
}

function open(record: RunRecord, filter: Filter): DropReader {
  const paths = Array.from({ length: record.workers ?? 1 }, (_, worker) =>
    workerTapPath(record.statePath, worker),
  );
  try {
    return new DropReader(paths, filter);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    throw new NatgateError(
      'gateway_old',
      `the gateway ${record.name} is of version ${record.natgate}, which does not remember dropped packets`,
      'start it anew with this version',
    );
  }
}

function line(drop: Drop, json: boolean): string {
  return json ? `${JSON.stringify(drop)}\n` : dropText(drop);
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

function leftOutText(count: number): string {
  return `natgate: in floods ${count} more were dropped since the gateway began, and only counted (\`natgate status\`)\n`;
}
