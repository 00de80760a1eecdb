/** IPv4 addresses of the host's interfaces over rtnetlink (RTM_GETADDR, linux/if_addr.h). */
import { prefixMask } from '../../wire/address.ts';
import { Attributes, attribute, type Message, message, NLM_F_CREATE, NLM_F_EXCL } from './message.ts';
import { ask, CHANGE, LIST, NETLINK_ROUTE } from './request.ts';

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const AF_INET = 2;

/** struct ifaddrmsg: family, prefix length, flags, scope, index. */
const IFADDRMSG = 8;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;

const IFA_F_SECONDARY = 0x01;
/** Scope of an address that is valid everywhere (linux/rtnetlink.h). */
const RT_SCOPE_UNIVERSE = 0;
/** Of one that is valid on the link only: the host answers ARP for it, and never sends from it by itself. */
export const RT_SCOPE_LINK = 253;

export interface InterfaceAddress {
  /** Index of the interface. */
  interface: number;
  /** Wire order. */
  address: number;
  prefixLength: number;
  /** The other end of a point-to-point address, else the address itself. Wire order. */
  peer: number;
  /** Wire order; 0: none. */
  broadcast: number;
  /** 0 global, 253 link, 254 host. */
  scope: number;
  label: string;
  /** Another address of the same subnet came first. */
  secondary: boolean;
}

/** All IPv4 addresses of the host, per interface in the kernel's own order. */
export function readAddresses(): InterfaceAddress[] {
  const fixed = Buffer.alloc(IFADDRMSG);
  fixed[0] = AF_INET;
  return ask(NETLINK_ROUTE, message(RTM_GETADDR, LIST, fixed)).flatMap(decodeAddress);
}

/** Returns an empty list for a message that is no IPv4 address. */
export function decodeAddress({ type, body }: Message): InterfaceAddress[] {
  if (type !== RTM_NEWADDR || body.length < IFADDRMSG || body[0] !== AF_INET) return [];
  const attributes = new Attributes(body, IFADDRMSG);
  const peer = attributes.address(IFA_ADDRESS);
  const address = attributes.address(IFA_LOCAL) ?? peer;
  if (address === undefined) return [];
  return [
    {
      interface: body.readInt32LE(4),
      address,
      prefixLength: body.readUInt8(1),
      peer: peer ?? address,
      broadcast: attributes.address(IFA_BROADCAST) ?? 0,
      scope: body.readUInt8(3),
      label: attributes.text(IFA_LABEL) ?? '',
      secondary: ((attributes.u32(IFA_FLAGS) ?? body.readUInt8(2)) & IFA_F_SECONDARY) !== 0,
    },
  ];
}

/** Adds an address with a prefix length of 32 and link scope. Throws SystemError, EEXIST when it is there. */
export function addHostAddress(interfaceIndex: number, address: number): void {
  ask(
    NETLINK_ROUTE,
    encodeHostAddress(RTM_NEWADDR, CHANGE | NLM_F_CREATE | NLM_F_EXCL, interfaceIndex, address),
  );
}

/** Throws SystemError, EADDRNOTAVAIL when it is not there. */
export function deleteHostAddress(interfaceIndex: number, address: number): void {
  ask(NETLINK_ROUTE, encodeHostAddress(RTM_DELADDR, CHANGE, interfaceIndex, address));
}

function encodeHostAddress(type: number, flags: number, interfaceIndex: number, address: number): Buffer {
  const fixed = Buffer.alloc(IFADDRMSG);
  fixed[0] = AF_INET;
  fixed[1] = 32;
  fixed[3] = RT_SCOPE_LINK;
  fixed.writeInt32LE(interfaceIndex, 4);
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(address);
  return message(type, flags, fixed, [attribute(IFA_LOCAL, bytes), attribute(IFA_ADDRESS, bytes)]);
}

/**
 * The address that masquerade takes on an interface, as the kernel chooses it (inet_select_addr,
 * net/ipv4/devinet.c): the first primary global address in the subnet of `nextHop` (wire order, 0: no matter),
 * else the first primary global one. Returns null when there is none.
 */
export function primaryAddress(
  addresses: readonly InterfaceAddress[],
  interfaceIndex: number,
  nextHop = 0,
): InterfaceAddress | null {
  const candidates = addresses.filter(
    (a) => a.interface === interfaceIndex && !a.secondary && a.scope === RT_SCOPE_UNIVERSE,
  );
  const near = (a: InterfaceAddress) => ((a.peer ^ nextHop) & prefixMask(a.prefixLength)) === 0;
  return (nextHop === 0 ? undefined : candidates.find(near)) ?? candidates[0] ?? null;
}
