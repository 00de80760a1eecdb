/**
 * What is a violation and what by design. Pure.
 *
 * A transfer is right when it came to its end with the right bytes, without standing still for longer than the limit and what
 * disasters took. It may break by a disaster that lets it: of `new`, when it began while that lasted, of `tcp`, also when it had begun
 * before that was over. A query may go unanswered where nothing got through for as long as it waited. Wrong bytes are a violation always.
 */
import type { Disaster } from './disasters/disaster.ts';
import type { Done, Gap } from './done.ts';

/** A disaster that has happened. Times are ms of CLOCK_MONOTONIC. */
export interface Struck {
  name: string;
  mayBreak: Disaster['mayBreak'];
  begin: number;
  /** When it was undone, and packets flowed again. */
  end: number;
  /** The longest gap that a stream saw, ms, and how much of that may be the sender's own. */
  gap: number;
  late: number;
  detail: string;
  /** Why it did not go as it should; empty: it did. */
  failure: string;
}

/** What has become of the transfers. */
export interface Verdict {
  /** Those that ended as designed, or not as they should. */
  broken: Done[];
  transfers: number;
  queries: number;
  bytes: number;
  /** Ended as designed. */
  byDesign: number;
  longestStall: number;
  /** Each is a reason for exit code 1. */
  violations: string[];
}

/** What begins so shortly before a disaster is over is begun in it, ms: the host knows it a moment later. */
const AFTERMATH = 1500;

export function judge(done: readonly Done[], struck: readonly Struck[], stallLimit: number): Verdict {
  const verdict: Verdict = {
    broken: [],
    transfers: 0,
    queries: 0,
    bytes: 0,
    byDesign: 0,
    longestStall: 0,
    violations: [],
  };
  for (const one of done) {
    if (one.kind === 'query') verdict.queries++;
    else verdict.transfers++;
    if (one.error === '') verdict.bytes += one.bytes;
    verdict.longestStall = Math.max(verdict.longestStall, one.stall);
    const name = `${one.kind} ${one.id} (port ${one.port}, ${seconds(one.end - one.begin)})`;
    if (one.error !== '' || one.stall > stallLimit) verdict.broken.push(one);
    if (one.wrong) verdict.violations.push(`${name}: ${one.error}`);
    else if (one.error !== '') {
      if (struck.some((disaster) => mayBreak(disaster, one) || outlasted(disaster, one))) verdict.byDesign++;
      else verdict.violations.push(`${name}: ${one.error}${during(struck, one.end)}`);
    } else if (one.stall > stallLimit + outage(struck, one)) {
      if (struck.some((disaster) => disaster.mayBreak === 'tcp' && mayBreak(disaster, one)))
        verdict.byDesign++;
      else
        verdict.violations.push(
          `${name}: stood still for ${seconds(one.stall)}${during(struck, one.stallAt)}`,
        );
    }
  }
  for (const { name, failure } of struck) {
    if (failure !== '') verdict.violations.push(`${name}: ${failure}`);
  }
  return verdict;
}

function mayBreak(disaster: Struck, { begin, end }: Done): boolean {
  if (disaster.mayBreak === 'nothing' || end < disaster.begin || begin > disaster.end + AFTERMATH)
    return false;
  return disaster.mayBreak === 'tcp' || begin >= disaster.begin - AFTERMATH;
}

/** Whether a query waited for no longer than nothing got through: on a busy machine a restart takes its time. */
function outlasted({ begin, end, gap }: Struck, one: Done): boolean {
  return (
    one.kind === 'query' && one.end >= begin && one.begin <= end && gap + AFTERMATH >= one.end - one.begin
  );
}

/** How long disasters lasted that are in a transfer's longest stall, ms. */
function outage(struck: readonly Struck[], { stall, stallAt }: Done): number {
  return struck
    .filter(({ begin, end }) => begin < stallAt && end > stallAt - stall)
    .reduce((sum, { begin, end }) => sum + 2 * (end - begin), 0);
}

/** The disaster that was last, for the eye. */
function during(struck: readonly Struck[], at: number): string {
  const last = struck.findLast(({ begin }) => begin <= at);
  return last === undefined ? '' : `, ${seconds(at - last.begin)} after ${last.name} began`;
}

/** The gap that a stream saw of a disaster: the longest that touches it. */
export function gapOf(gaps: readonly Gap[], begin: number, end: number): { gap: number; late: number } {
  let longest = { gap: 0, late: 0 };
  for (const { from, to, late } of gaps) {
    if (to >= begin && from <= end && to - from > longest.gap) longest = { gap: to - from, late };
  }
  return longest;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
