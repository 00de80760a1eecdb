/**
 * Whether something grows: a straight line through its readings after the warm-up, by least squares. It grows when the line rises by more, from
 * end to end, than twice what the readings scatter around it, and by more than a floor below which memory is V8's business.
 */

/** The first share of the readings that do not count: tables fill, code is compiled, heaps find their size. */
export const WARM_UP = 0.2;
const SCATTER = 2;
/** Fewer say nothing. */
export const FEWEST = 8;

export interface Growth {
  /** What the line rises by over the readings that count; in their unit. */
  rise: number;
  /** Standard deviation around it. */
  scatter: number;
  grows: boolean;
}

export function growthOf(readings: readonly number[], floor: number): Growth {
  const counted = readings.slice(Math.ceil(readings.length * WARM_UP));
  const n = counted.length;
  if (n < FEWEST) return { rise: 0, scatter: 0, grows: false };
  const middle = (n - 1) / 2;
  const mean = counted.reduce((sum, value) => sum + value, 0) / n;
  let [above, below] = [0, 0];
  for (const [i, value] of counted.entries()) {
    above += (i - middle) * (value - mean);
    below += (i - middle) ** 2;
  }
  const slope = above / below;
  const squares = counted.reduce((sum, value, i) => sum + (value - mean - slope * (i - middle)) ** 2, 0);
  const scatter = Math.sqrt(squares / n);
  const rise = slope * (n - 1);
  return { rise, scatter, grows: rise > Math.max(floor, SCATTER * scatter) };
}
