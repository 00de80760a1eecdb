/** A trace of a running gateway: each packet that matches, explained, as it comes. */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { PRIVATE_SIDE, PUBLIC_SIDE } from '../../engine/tap-filter.ts';
import { type Explained, explain } from '../observe/explain.ts';
import type { Filter } from '../observe/filter.ts';
import { packetMatcher } from '../observe/filter-match.ts';
import { compileForEngine } from '../observe/filter-program.ts';
import { type TapGroup, TapGroups } from '../observe/tap-groups.ts';
import { subjectOf, type TapNames } from '../observe/tap-names.ts';
import { LOOK_MS } from './capture-stream.ts';
import type { Taps } from './taps.ts';

/** Enough of a packet for its headers and options, and what an ICMP error quotes. */
const SNAP = 256;

/** `missed`: packets and what left of them that could not be told since the last one. */
export type Traced =
  /** The engine writes: what matches from now on will come. */
  { kind: 'ready' } | { kind: 'packet'; packet: Explained } | { kind: 'missed'; records: number };

/** `signal` ends it. Throws as Taps.subscribe(). */
export async function* traceStream(
  filter: Filter,
  taps: Taps,
  names: () => TapNames,
  signal: AbortSignal,
): AsyncGenerator<Traced, void, void> {
  const { program, isExact } = compileForEngine(filter);
  const matches = isExact ? null : packetMatcher(filter);
  const subscription = await taps.subscribe({
    program,
    sides: PRIVATE_SIDE | PUBLIC_SIDE,
    dropped: false,
    snapLength: SNAP,
  });
  const groups = new TapGroups();
  try {
    yield { kind: 'ready' };
    while (!signal.aborted && !subscription.isClosed) {
      const { records, missed, more } = subscription.poll();
      const known = names();
      if (missed > 0) yield { kind: 'missed', records: missed };
      const whole: TapGroup[] = groups.take(records);
      if (!more) whole.push(...groups.end());
      for (const { came, left } of whole) {
        if (matches !== null && !matches(subjectOf(came, known))) continue;
        yield { kind: 'packet', packet: explain(came, left, known) };
      }
      // Others want to be served meanwhile.
      if (more) await setImmediate();
      else await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
    }
  } finally {
    subscription.close();
  }
}
