/**
 * The dedicated external addresses: those that a configuration names, and that are natgate's alone. The shared address
 * of the public interface is none of them.
 */
import { hostOrder, prefixMask } from '../wire/address.ts';
import type { NatConfig, Prefix } from './config.ts';

/** As the fewest prefixes that cover them and nothing else: ascending, none within another. */
export function dedicatedPrefixes({ rules, forwards, prefixes }: NatConfig): Prefix[] {
  const single = (address: number): Prefix => ({ address, length: 32 });
  return aggregate([
    ...rules.flatMap((rule) => (rule.action === 'pool' ? rule.addresses.map(single) : [])),
    ...forwards.filter((forward) => forward.address !== 0).map((forward) => single(forward.address)),
    ...prefixes.map((pair) => pair.external),
  ]);
}

/** Fewest prefixes that cover the same addresses, ascending. */
export function aggregate(prefixes: readonly Prefix[]): Prefix[] {
  const ascending = [...prefixes].sort((a, b) => first(a) - first(b) || a.length - b.length);
  const result: Prefix[] = [];
  for (let prefix of ascending) {
    const last = result.at(-1);
    if (last !== undefined && contains(last, prefix)) continue;
    // Two halves are one whole, which may be half of another.
    while (result.length > 0 && isSecondHalf(result.at(-1)!, prefix)) {
      prefix = result.pop()!;
      prefix = { address: prefix.address, length: prefix.length - 1 };
    }
    result.push(prefix);
  }
  return result;
}

/** Whether all of `inner` lies within `outer`. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && ((outer.address ^ inner.address) & prefixMask(outer.length)) === 0;
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a);
}

/** Number of addresses. */
export function prefixSize({ length }: Prefix): number {
  return 2 ** (32 - length);
}

/** The addresses of a prefix, ascending. */
export function addressesOf(prefix: Prefix): number[] {
  return Array.from({ length: prefixSize(prefix) }, (_, i) => hostOrder(first(prefix) + i));
}

/** As a number that orders as addresses do. */
function first({ address }: Prefix): number {
  return hostOrder(address) >>> 0;
}

function isSecondHalf(a: Prefix, b: Prefix): boolean {
  if (a.length !== b.length || a.length === 0) return false;
  return first(b) === first(a) + prefixSize(a) && (a.address & prefixMask(a.length - 1)) === a.address;
}
