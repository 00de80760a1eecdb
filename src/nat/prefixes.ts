/**
 * 1:1 NAT: pairs of prefixes of one length; the host part of an address stays (netfilter's NETMAP). Ports and ids stay
 * too, and both sides may begin flows.
 */
import { hostOrder, prefixMask } from '../wire/address.ts';
import type { Prefix, PrefixPair } from './config.ts';

/** toInternal(), toExternal(): no pair has the address. 255.255.255.255 is nobody's. */
export const NO_ADDRESS = -1;

export class PrefixPairs {
  private pairs: readonly PrefixPair[];

  constructor(pairs: readonly PrefixPair[]) {
    this.pairs = pairs;
  }

  /** Other pairs hold from now on. */
  replace(pairs: readonly PrefixPair[]): void {
    this.pairs = pairs;
  }

  /** The internal address behind an external one, or NO_ADDRESS. */
  toInternal(address: number): number {
    for (let i = 0; i < this.pairs.length; i++) {
      const { internal, external } = this.pairs[i]!;
      const mask = prefixMask(external.length);
      if (((address ^ external.address) & mask) === 0) return internal.address | (address & ~mask);
    }
    return NO_ADDRESS;
  }

  /** The external address of an internal one, or NO_ADDRESS. */
  toExternal(address: number): number {
    for (let i = 0; i < this.pairs.length; i++) {
      const { internal, external } = this.pairs[i]!;
      const mask = prefixMask(internal.length);
      if (((address ^ internal.address) & mask) === 0) return external.address | (address & ~mask);
    }
    return NO_ADDRESS;
  }
}

/** Addresses in a prefix. */
export function hostsOf(prefix: Prefix): number {
  return 2 ** (32 - prefix.length);
}

/** The place of an address in a prefix, from 0; -1 when it is not in it. */
export function placeIn(prefix: Prefix, address: number): number {
  const mask = prefixMask(prefix.length);
  return ((address ^ prefix.address) & mask) === 0 ? hostOrder(address & ~mask) >>> 0 : -1;
}
