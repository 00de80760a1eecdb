/** What the operator calls private hosts (`clients` of the file): the most specific prefix that an address is in has its name. */
import type { Prefix } from '../nat/config.ts';
import { prefixMask } from '../wire/address.ts';

export interface NamedClient {
  name: string;
  prefixes: readonly Prefix[];
}

export class ClientNames {
  /** By length, longest first: names by network (wire order). */
  readonly #lengths: { mask: number; names: Map<number, string> }[] = [];
  readonly #byName = new Map<string, readonly Prefix[]>();

  constructor(clients: readonly NamedClient[]) {
    const byLength = new Map<number, Map<number, string>>();
    for (const { name, prefixes } of clients) {
      this.#byName.set(name, prefixes);
      for (const { address, length } of prefixes) {
        const names = byLength.get(length) ?? new Map<number, string>();
        byLength.set(length, names.set(address & prefixMask(length), name));
      }
    }
    const lengths = [...byLength].sort(([a], [b]) => b - a);
    this.#lengths = lengths.map(([length, names]) => ({ mask: prefixMask(length), names }));
  }

  /** The name of an address (wire order), null where it has none. */
  nameOf(address: number): string | null {
    for (const { mask, names } of this.#lengths) {
      const name = names.get(address & mask);
      if (name !== undefined) return name;
    }
    return null;
  }

  /** The prefixes of a name; undefined where there is no such client. */
  prefixesOf(name: string): readonly Prefix[] | undefined {
    return this.#byName.get(name);
  }
}
