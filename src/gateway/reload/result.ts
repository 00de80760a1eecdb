/**
 * What became of a reload: for the log, `natgate reload`, and programs. Who asked by SIGHUP finds it in the run directory:
 * `reload.json`, with the number that was in `reload.request` when the reload began.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NatgateError } from '../../core/errors.ts';
import type { EndCause } from '../../engine/flow-judge.ts';
import type { EndedFlows } from '../../engine/reconfigure.ts';
import { replaceFile } from '../../host/replace-file.ts';
import { type Difference, isNothing, type ListChange } from './difference.ts';
import { REQUEST, RESULT } from './files.ts';

/** How a running gateway took another configuration over. */
export interface Taken {
  /** Null: nothing has changed. */
  changes: Difference | null;
  /** Flows that ended, by cause, and how many go on. */
  ended: EndedFlows[];
  kept: number;
  /** The engine died meanwhile, and its next one has the new configuration: what ended is not known. */
  restarted: boolean;
  /** What of the host could not be taken back; it will be when the gateway stops. */
  leftovers: string[];
}

export interface ReloadResult extends Taken {
  /** ISO 8601. */
  time: string;
  /** False: nothing has changed, and `problems` say why. */
  applied: boolean;
  /** Each a line, as `natgate check` has them, or a message. */
  problems: string[];
  /** How to mend it; empty where `problems` say it. */
  remedy: string;
}

export function refused(error: unknown): ReloadResult {
  const message = error instanceof Error ? error.message : String(error);
  return {
    time: new Date().toISOString(),
    applied: false,
    problems: message.split('\n'),
    remedy: error instanceof NatgateError ? error.hint : '',
    changes: null,
    ended: [],
    kept: 0,
    restarted: false,
    leftovers: [],
  };
}

export function endedCount({ ended }: Pick<ReloadResult, 'ended'>): number {
  return ended.reduce((sum, { count }) => sum + count, 0);
}

/** How many flows each cause has. */
export function causeCounts(flows: readonly { cause: EndCause }[]): EndedFlows[] {
  const counts = new Map<string, EndedFlows>();
  for (const { cause } of flows) {
    const known = counts.get(causeText(cause));
    if (known === undefined) counts.set(causeText(cause), { ...cause, count: 1 });
    else known.count++;
  }
  return [...counts.values()];
}

/** `rule office`, `anti-spoofing`. */
export function causeText({ kind, name }: { kind: string; name: string }): string {
  return name === '' ? kind : `${kind} ${name}`;
}

/** One line. */
export function resultLine(result: ReloadResult): string {
  if (!result.applied) return `not reloaded, nothing has changed: ${result.problems.join('; ')}`;
  const ended = endedCount(result);
  const causes = result.ended.map((each) => `${each.count} by ${causeText(each)}`).join(', ');
  const flows = result.restarted
    ? 'the engine was started anew'
    : `flows ended: ${ended}${ended === 0 ? '' : ` (${causes})`}, kept: ${result.kept}`;
  const changes = result.changes === null ? [] : changeLines(result.changes);
  return `reloaded: ${[...changes, flows].join('; ')}`;
}

/** What is different, a line for each part of the file. */
export function changeLines(changes: Difference): string[] {
  if (isNothing(changes)) return ['nothing is different'];
  const { settings, restart, ...lists } = changes;
  const lines = Object.entries(lists as Record<string, ListChange>).flatMap(([what, change]) =>
    Object.entries(change as unknown as Record<string, string[]>)
      .filter(([, names]) => names.length > 0)
      .map(([how, names]) => `${what} ${how}: ${names.join(', ')}`),
  );
  if (settings.length > 0) lines.push(`other settings: ${settings.join(', ')}`);
  if (restart.length > 0) lines.push(`only by a restart: ${restart.join(', ')}`);
  return lines;
}

/** Says that somebody waits for the result that has this number. */
export function writeRequest(directory: string, request: string): void {
  writeFileSync(join(directory, REQUEST), request, { mode: 0o600 });
}

export function readRequest(directory: string): string {
  try {
    return readFileSync(join(directory, REQUEST), 'utf8');
  } catch {
    return '';
  }
}

export function writeResult(directory: string, request: string, result: ReloadResult): void {
  replaceFile(join(directory, RESULT), `${JSON.stringify({ request, result })}\n`, { mode: 0o600 });
}

/** The result of the reload that began with this request; null: not yet. */
export function readResult(directory: string, request: string): ReloadResult | null {
  try {
    const read = JSON.parse(readFileSync(join(directory, RESULT), 'utf8'));
    return read.request === request ? (read.result as ReloadResult) : null;
  } catch {
    return null;
  }
}
