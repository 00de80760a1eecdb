/** Sets of whole numbers (addresses in host order, ports) as sorted ranges, both ends included. */

export interface Range {
  first: number;
  last: number;
}

export type Ranges = readonly Range[];

export const ALL_ADDRESSES: Ranges = [{ first: 0, last: 0xffff_ffff }];
export const ALL_PORTS: Ranges = [{ first: 0, last: 65_535 }];

/** Sorted, without overlaps. */
export function normal(ranges: Ranges): Range[] {
  const result: Range[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = result.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else result.push({ first, last });
  }
  return result;
}

export function intersection(a: Ranges, b: Ranges): Range[] {
  return normal(
    a.flatMap((left) =>
      b.flatMap((right) => {
        const first = Math.max(left.first, right.first);
        const last = Math.min(left.last, right.last);
        return first <= last ? [{ first, last }] : [];
      }),
    ),
  );
}

export function without(a: Ranges, b: Ranges): Range[] {
  let rest = normal(a);
  for (const { first, last } of b) {
    rest = rest.flatMap((range) => {
      if (range.last < first || range.first > last) return [range];
      return [
        ...(range.first < first ? [{ first: range.first, last: first - 1 }] : []),
        ...(range.last > last ? [{ first: last + 1, last: range.last }] : []),
      ];
    });
  }
  return rest;
}

export function complement(ranges: Ranges, of: Ranges): Range[] {
  return without(of, ranges);
}

export function isWithin(inner: Ranges, outer: Ranges): boolean {
  return without(inner, outer).length === 0;
}

export function overlap(a: Ranges, b: Ranges): boolean {
  return intersection(a, b).length > 0;
}

function dotted(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** As the file writes it: an address, a prefix where it is one, else a range. */
export function addressText({ first, last }: Range): string {
  const size = last - first + 1;
  const length = 32 - Math.log2(size);
  if (length === 32) return dotted(first);
  if (Number.isInteger(length) && first % size === 0) return `${dotted(first)}/${length}`;
  return `${dotted(first)}-${dotted(last)}`;
}

export function portText({ first, last }: Range): string | number {
  return first === last ? first : `${first}-${last}`;
}

/** One value alone, several as a list. */
export function oneOrList<T>(values: readonly T[]): T | T[] {
  return values.length === 1 ? values[0]! : [...values];
}

/** `A.B.C.D`, or null. */
export function parseDotted(text: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  const bytes = match.slice(1).map(Number);
  return bytes.some((byte) => byte > 255) ? null : bytes.reduce((value, byte) => value * 256 + byte, 0);
}

/** `ADDR`, `ADDR/LEN`, `ADDR/MASK`; host bits are cleared, as iptables does. Null for a name, or a mask with holes. */
export function parseNetwork(text: string): Range | null {
  const [base = '', suffix] = text.split('/');
  const address = parseDotted(base);
  if (address === null) return null;
  const mask = suffix === undefined ? null : parseDotted(suffix);
  const length = suffix === undefined ? 32 : mask === null ? Number(suffix) : 32 - Math.log2(2 ** 32 - mask);
  if (
    !Number.isInteger(length) ||
    length < 0 ||
    length > 32 ||
    (mask === null && suffix !== undefined && !/^\d+$/.test(suffix))
  ) {
    return null;
  }
  const size = 2 ** (32 - length);
  const first = Math.floor(address / size) * size;
  return { first, last: first + size - 1 };
}

/** `ADDR-ADDR`. */
export function parseSpan(text: string): Range | null {
  const [low = '', high = low] = text.split('-');
  const first = parseDotted(low);
  const last = parseDotted(high);
  return first === null || last === null || first > last ? null : { first, last };
}
