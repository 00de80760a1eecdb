/**
 * The dedicated external addresses on the public interface, so that the host answers ARP for them. Each is a /32 of
 * link scope: it brings no route, and neither the host nor masquerading ever takes it as a source by itself.
 *
 * What comes to them is steered to the engine before the host stack sees it. Prefixes wider than /24 are not added:
 * who has so many addresses has them routed to the gateway, and needs no ARP for them.
 */
import { isSystemError } from '../../core/errors.ts';
import type { NatConfig, Prefix } from '../../nat/config.ts';
import { addressesOf, dedicatedPrefixes } from '../../nat/dedicated.ts';
import { formatAddress } from '../../wire/address.ts';
import { addHostAddress, deleteHostAddress, RT_SCOPE_LINK, readAddresses } from '../netlink/addresses.ts';
import { linkAt } from '../netlink/links.ts';
import type { Step } from './step.ts';
import { describe, type InterfaceReference } from './undo-records.ts';

/** The longest list of addresses that one prefix is turned into: 256. */
const WIDEST_LENGTH = 24;

/** The addresses to have on the public interface. */
export function answeredAddresses(nat: NatConfig): number[] {
  return dedicatedPrefixes(nat).filter(isAnswered).flatMap(addressesOf);
}

/** Whether the host answers ARP for the addresses of this prefix; else they must be routed to it. */
export function isAnswered({ length }: Prefix): boolean {
  return length >= WIDEST_LENGTH;
}

export function addressStep({ name, index }: InterfaceReference, address: number): Step {
  const target = { name, index };
  const text = formatAddress(address);
  return {
    name: `address ${text} ${describe(target)}`,
    show: `ip address add ${text}/32 dev ${target.name} scope link`,
    prepare: () => (isThere(target.index, address) ? null : { kind: 'address', interface: target, address }),
    apply() {
      if (!isThere(target.index, address)) addHostAddress(target.index, address);
    },
    check: () => (isThere(target.index, address) ? null : `${text} is not on ${target.name}`),
  };
}

/** Those of the addresses that the interface has not: somebody has removed them (a DHCP client that flushes, say). */
export function missingAddresses(interfaceIndex: number, wanted: readonly number[]): number[] {
  if (wanted.length === 0) return [];
  const present = new Set(
    readAddresses()
      .filter((there) => there.interface === interfaceIndex)
      .map((there) => there.address),
  );
  return wanted.filter((address) => !present.has(address));
}

export function undoAddress({ index }: InterfaceReference, address: number): string | null {
  if (linkAt(index) === undefined) return null;
  const ours = readAddresses().find(
    (there) => there.interface === index && there.address === address && there.prefixLength === 32,
  );
  if (ours === undefined) return null;
  if (ours.scope !== RT_SCOPE_LINK) return `${formatAddress(address)} has another scope by now`;
  try {
    deleteHostAddress(index, address);
  } catch (error) {
    if (!isSystemError(error, 'EADDRNOTAVAIL') && !isSystemError(error, 'ENODEV')) throw error;
  }
  return null;
}

function isThere(interfaceIndex: number, address: number): boolean {
  return readAddresses().some((there) => there.interface === interfaceIndex && there.address === address);
}
