/** What writes packets down for others: the log of those that are dropped, and the tap. Null where there is no memory for it. */
import type { TapPlace } from './config.ts';
import { DropLog } from './drop-log.ts';
import { Tap, type TapParts } from './tap.ts';
import type { TapFactsParts } from './tap-facts.ts';

export interface WritingDown {
  drops: DropLog | null;
  tap: Tap | null;
}

export function writingDown(
  place: TapPlace | undefined,
  parts: TapFactsParts & Omit<TapParts, 'clock'>,
  now: number,
): WritingDown {
  if (place === undefined) return { drops: null, tap: null };
  const { memory, clock } = place;
  const drops = new DropLog(memory, parts, clock, now);
  parts.fragments.drops = drops;
  return { drops, tap: new Tap(memory, parts, { ...parts, clock }) };
}
