/**
 * Sets of numbers as intervals, both ends included, sorted, apart from each other: what lists of addresses, ports and ICMP
 * types become. All the criteria of a field are one such set, so that a packet is asked once, whatever was written.
 */
export interface Interval {
  first: number;
  last: number;
}

export type IntervalSet = readonly Interval[];

export const ADDRESSES = 0xffffffff;
export const PORTS = 0xffff;

/** The set of what lies in any of the ranges. */
export function union(ranges: readonly Interval[]): IntervalSet {
  const merged: Interval[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else if (first <= last) merged.push({ first, last });
  }
  return merged;
}

/** What of 0 to `most` is not in the set. */
export function complement(set: IntervalSet, most: number): IntervalSet {
  const gaps: Interval[] = [];
  let next = 0;
  for (const { first, last } of set) {
    if (first > next) gaps.push({ first: next, last: first - 1 });
    next = last + 1;
  }
  if (next <= most) gaps.push({ first: next, last: most });
  return gaps;
}

/** What is in both. */
export function intersection(a: IntervalSet, b: IntervalSet): IntervalSet {
  const both: Interval[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const first = Math.max(a[i]!.first, b[j]!.first);
    const last = Math.min(a[i]!.last, b[j]!.last);
    if (first <= last) both.push({ first, last });
    if (a[i]!.last < b[j]!.last) i++;
    else j++;
  }
  return both;
}

/** All that satisfy every criterion, of 0 to `most`. */
export function allOf(
  criteria: readonly { values: readonly Interval[]; not: boolean }[],
  most: number,
): IntervalSet {
  let set: IntervalSet = [{ first: 0, last: most }];
  for (const { values, not } of criteria) {
    const listed = union(values);
    set = intersection(set, not ? complement(listed, most) : listed);
  }
  return set;
}

/** Order of addresses as signed numbers. */
export const SIGN = -0x80000000;

/** A set as words: how many, then first and last of each. `bias`: 0, or SIGN for addresses. */
export function words(set: IntervalSet, bias: number): number[] {
  return [set.length, ...set.flatMap(({ first, last }) => [(first ^ bias) | 0, (last ^ bias) | 0])];
}

/** Whether `value`, biased as the set was, is in the set whose words begin at `at`. */
export function contains(data: Int32Array, at: number, value: number): boolean {
  let low = 0;
  let high = data[at]! - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const pair = at + 1 + middle * 2;
    if (value < data[pair]!) high = middle - 1;
    else if (value > data[pair + 1]!) low = middle + 1;
    else return true;
  }
  return false;
}
