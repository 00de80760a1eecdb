/** The few statistics of the report. All take a list with at least one number. */

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const below = sorted[Math.floor(position)]!;
  return below + (sorted[Math.ceil(position)]! - below) * (position % 1);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
