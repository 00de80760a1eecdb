/**
 * The external addresses, numbered. Number 0 is the public interface's own, and number 1 those of the private interfaces,
 * which give their ports out together (twice NAT names the one where a flow leaves); all are shared with the host, and may
 * change or be absent. The others are natgate's alone (pools, forwards with an address of their own). Mappings and rules name an
 * address by its number, so that a change of the shared one concerns no table. Former public addresses that the interface still has
 * are number 0 as well: flows that have one go on by it, ports are those of number 0, new flows get the present one.
 *
 * Each address has a port space for TCP, UDP and ICMP ids, made when it is first asked for (330 KiB each).
 */
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { PortSpace } from './port-space.ts';

/** Tables of ports. Protocols without ports have none. */
export const TCP = 0;
export const UDP = 1;
export const ICMP = 2;
export const OTHER = 3;

/** The public interface's own address. */
export const SHARED = 0;
/** The gateway's own addresses on the private side: sources of twice NAT. Nobody is reached behind them. */
export const LOCAL = 1;
/** numberOf(): no external address. */
export const NOT_EXTERNAL = -1;

/** Dedicated addresses give all but the ports nobody uses as a source (0). */
const FIRST_DEDICATED_PORT = 1;

export function portTableOf(protocol: number): number {
  return protocol === PROTO_TCP ? TCP : protocol === PROTO_UDP ? UDP : protocol === PROTO_ICMP ? ICMP : OTHER;
}

export class ExternalAddresses {
  private readonly addresses: number[];
  private locals: readonly number[];
  private readonly numbers = new Map<number, number>();
  /** Numbers of addresses that are no more: their ports and quarantines wait for them to come back. */
  private readonly retired = new Map<number, number>();
  private former: readonly number[] = [];
  private readonly spaces: (PortSpace | undefined)[] = [];
  private readonly first: number;
  private readonly last: number;
  private readonly mask: number;

  /** `shared`, `locals`: 0 for none yet. `first`, `last`: natgate's ports of these. `mask`: those that are given here. */
  constructor(shared: number, locals: readonly number[], first: number, last: number, mask = -1) {
    this.addresses = [shared, firstOf(locals)];
    this.locals = locals;
    this.first = first;
    this.last = last;
    this.mask = mask;
  }

  /** Numbers a dedicated address, or gives the number that it has. */
  add(address: number): number {
    const known = this.numbers.get(address);
    if (known !== undefined) return known;
    const earlier = this.retired.get(address);
    if (earlier !== undefined) {
      this.retired.delete(address);
      this.numbers.set(address, earlier);
      return earlier;
    }
    this.numbers.set(address, this.addresses.length);
    return this.addresses.push(address) - 1;
  }

  /** No dedicated addresses but these are external from now on. What was mapped there lives until its flows end. */
  retain(addresses: ReadonlySet<number>): void {
    for (const [address, number] of this.numbers) {
      if (addresses.has(address)) continue;
      this.numbers.delete(address);
      this.retired.set(address, number);
    }
  }

  /** 0 while the shared address is absent. */
  addressOf(number: number): number {
    return this.addresses[number]!;
  }

  /** The host has other addresses. */
  setHost(shared: number, locals: readonly number[]): void {
    this.addresses[SHARED] = shared;
    this.addresses[LOCAL] = firstOf(locals);
    this.locals = locals;
  }

  /** Whether it is one of the gateway's addresses on the private side. */
  isLocal(address: number): boolean {
    return address !== 0 && this.locals.includes(address);
  }

  /** Addresses that were SHARED's, and that the interface still has. */
  setFormer(addresses: readonly number[]): void {
    this.former = addresses;
  }

  /** The number of an external address, or NOT_EXTERNAL. */
  numberOf(address: number): number {
    if (address === this.addresses[SHARED]) return address === 0 ? NOT_EXTERNAL : SHARED;
    if (this.former.length > 0 && this.former.includes(address)) return SHARED;
    return this.numbers.size === 0 ? NOT_EXTERNAL : (this.numbers.get(address) ?? NOT_EXTERNAL);
  }

  /** `table`: TCP, UDP or ICMP. */
  space(number: number, table: number): PortSpace {
    const at = number * 3 + table;
    let space = this.spaces[at];
    if (space === undefined) {
      const isHosts = number === SHARED || number === LOCAL;
      if (table === ICMP) space = new PortSpace(0, 65535, this.mask);
      else if (isHosts) space = new PortSpace(this.first, this.last, this.mask);
      else space = new PortSpace(FIRST_DEDICATED_PORT, 65535, this.mask);
      this.spaces[at] = space;
    }
    return space;
  }

  /** Housekeeping of all spaces, once a batch: ports whose quarantine is over are free again, at most `budget` a space. */
  expire(now: number, budget: number): void {
    for (let at = 0; at < this.spaces.length; at++) this.spaces[at]?.expire(now, budget);
  }

  /** Mapped ports of one table, over all addresses. */
  inUse(table: number): number {
    let mapped = 0;
    for (let at = table; at < this.spaces.length; at += 3) mapped += this.spaces[at]?.inUse ?? 0;
    return mapped;
  }

  /** The spaces that have been made. */
  each(visit: (space: PortSpace, number: number, table: number) => void): void {
    for (let at = 0; at < this.spaces.length; at++) {
      const space = this.spaces[at];
      if (space !== undefined) visit(space, Math.floor(at / 3), at % 3);
    }
  }
}

function firstOf(addresses: readonly number[]): number {
  return addresses.find((address) => address !== 0) ?? 0;
}
