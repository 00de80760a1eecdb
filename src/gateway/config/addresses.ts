/**
 * Lists of addresses, as the file has them: addresses, prefixes, ranges, and sets by their names. As ranges for the firewall,
 * as prefixes for NAT.
 */
import { nearestName } from '../../core/nearest.ts';
import type { Prefix } from '../../nat/config.ts';
import { aggregate } from '../../nat/dedicated.ts';
import type { AddressRange } from '../../policy/firewall-config.ts';
import { hostOrder, parseAddress } from '../../wire/address.ts';
import { type OptionText, prefix, quoted, splitOnce } from '../nat-syntax.ts';
import { elements } from './lists.ts';
import type { Path } from './problems.ts';
import type { Reader } from './reader.ts';

const EXAMPLE = '192.0.2.7, 198.51.100.0/24, 10.0.0.1-10.0.0.9 or "@SET"';

/** By name. Undefined: one that is wrong in itself, of which nothing more is said. */
export type Sets = ReadonlyMap<string, readonly AddressRange[] | undefined>;

export function compileSets(
  reader: Reader,
  sets: Readonly<Record<string, string | readonly string[]>>,
): Sets {
  const none: Sets = new Map();
  return new Map(
    Object.entries(sets).map(([name, value]) => {
      const path = ['sets', name];
      if (value.length === 0) {
        reader.warning(path, 'the set is empty: what names it matches nothing', 'list addresses in it');
      }
      return [name, addressRanges(reader, path, value, none)];
    }),
  );
}

/** Undefined when one of them is wrong. */
export function addressRanges(
  reader: Reader,
  path: Path,
  value: string | readonly string[],
  sets: Sets,
): readonly AddressRange[] | undefined {
  let isWrong = false;
  const ranges = elements<string>(path, value).flatMap((element) => {
    const found = reader.attempt(element.path, () => {
      const from = reader.text(element.path, String(path.at(-1)), element.value, EXAMPLE);
      return element.value.startsWith('@')
        ? setNamed(from, element.value.slice(1), sets)
        : [range(from, element.value)];
    });
    if (found === undefined) isWrong = true;
    return found ?? [];
  });
  return isWrong ? undefined : ranges;
}

/** The same as the fewest prefixes. */
export function addressPrefixes(
  reader: Reader,
  path: Path,
  value: string | readonly string[],
  sets: Sets,
): Prefix[] | undefined {
  const ranges = addressRanges(reader, path, value, sets);
  return ranges === undefined ? undefined : aggregate(ranges.flatMap(prefixesOf));
}

function setNamed(from: OptionText, name: string, sets: Sets): readonly AddressRange[] | undefined {
  if (sets.has(name)) return sets.get(name);
  const names = [...sets.keys()];
  const nearest = nearestName(name, names);
  throw from.refuse(
    sets.size === 0 ? `there is no set ${quoted(name)} to name here` : `there is no set ${quoted(name)}`,
    nearest === null
      ? 'name sets under `sets:`; a set lists addresses, not sets'
      : `did you mean "@${nearest}"?`,
  );
}

/** `ADDR`, `ADDR/LEN` or `ADDR-ADDR`. */
export function range(from: OptionText, text: string): AddressRange {
  const ends = splitOnce(text, '-');
  if (ends === null) {
    const { address, length } = prefix(from, text);
    const first = hostOrder(address) >>> 0;
    return { first, last: first + 2 ** (32 - length) - 1 };
  }
  const [first, last] = ends.map((word) => {
    const address = parseAddress(word);
    if (address === null) throw from.refuse(`${quoted(word)} is no IPv4 address`);
    return hostOrder(address) >>> 0;
  }) as [number, number];
  if (first > last) throw from.refuse(`the range ${text} ends before it begins`);
  return { first, last };
}

function prefixesOf({ first, last }: AddressRange): Prefix[] {
  const found: Prefix[] = [];
  for (let at = first; at <= last; ) {
    let length = 32;
    // As wide as `at` is aligned and the range goes on.
    while (length > 0 && at % 2 ** (33 - length) === 0 && at + 2 ** (33 - length) - 1 <= last) length--;
    found.push({ address: hostOrder(at), length });
    at += 2 ** (32 - length);
  }
  return found;
}
