/** Logarithmic scales. */

export interface Scale {
  at(value: number): number;
  /** Values that get a line and a label. */
  ticks: number[];
  low: number;
  high: number;
}

/** Over `values` (above zero), with a little room, from `from` to `to` in pixels. Ticks at 1, 2, 5 of each decade, or at decades. */
export function logScale(values: readonly number[], from: number, to: number): Scale {
  const usable = values.filter((value) => value > 0 && Number.isFinite(value));
  const least = Math.min(...usable, Number.POSITIVE_INFINITY);
  const most = Math.max(...usable, 0);
  const [low, high] = usable.length === 0 ? [0.5, 2] : [least / 1.25, most * 1.25];
  const all: number[] = [];
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade++) {
    for (const digit of [1, 2, 5]) all.push(Number(`${digit}e${decade}`));
  }
  const inside = all.filter((tick) => tick >= low && tick <= high);
  const decades = inside.filter((tick) => Number.isInteger(Math.log10(tick)));
  const span = Math.log(high / low);
  return {
    at: (value) => from + ((to - from) * Math.log(Math.min(high, Math.max(low, value)) / low)) / span,
    ticks: inside.length > 9 && decades.length > 2 ? decades : inside,
    low,
    high,
  };
}

/** A number for an axis: 0.01, 5, 2k, 1M. */
export function axisLabel(value: number): string {
  if (value >= 1e6) return `${value / 1e6}M`;
  if (value >= 1e3) return `${value / 1e3}k`;
  return String(value);
}
