/** Network interfaces over rtnetlink (RTM_*LINK, linux/if_link.h). */
import { Attributes, type Message, message, nest, u8, u32 } from './message.ts';
import { ask, CHANGE, LIST, NETLINK_ROUTE } from './request.ts';

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

/** struct ifinfomsg: family, type, index, flags, change mask. */
const IFINFOMSG = 16;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_QDISC = 6;
const IFLA_MASTER = 10;
const IFLA_TXQLEN = 13;
const IFLA_LINKINFO = 18;
const IFLA_AF_SPEC = 26;
const IFLA_CARRIER = 33;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_TUN_NUM_QUEUES = 8;
const IFLA_INET6_ADDR_GEN_MODE = 8;

const AF_INET6 = 10;
const IN6_ADDR_GEN_MODE_NONE = 1;

/** net_device flags (linux/if.h). */
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;

/** Hardware type of an Ethernet-like interface (linux/if_arp.h). */
export const ARPHRD_ETHER = 1;
export const ARPHRD_PPP = 512;
/**
 * Interfaces whose packets begin with the IP header, and to which the kernel redirects them as they are
 * (dev_is_mac_header_xmit, linux/if_arp.h): ipip, raw IP, sit, gre, and those without a type (tun, WireGuard).
 */
const WITHOUT_HEADER: readonly number[] = [768, 519, 776, 778, 0xfffe];

/** Whether a packet needs no header of the link layer on this interface. */
export function isBare({ type }: Pick<Link, 'type'>): boolean {
  return WITHOUT_HEADER.includes(type);
}

export interface Link {
  index: number;
  name: string;
  /** Hardware type, ARPHRD_*. */
  type: number;
  mtu: number;
  /** Packets its transmit queue holds. */
  txQueueLength: number;
  /** Kind of its root qdisc: `noqueue`, `fq_codel`, `mq`, … */
  qdisc: string;
  /** Administratively up. */
  up: boolean;
  loopback: boolean;
  carrier: boolean;
  /** `aa:bb:cc:dd:ee:ff`; empty for an interface without one. */
  mac: string;
  /** `tun`, `veth`, `vlan`, …; empty for a physical interface. */
  kind: string;
  /** Index of the bridge, bond, VRF … it is a port of; 0: of none. */
  master: number;
  /** What it is to its master: `bridge`, `bond`, …; empty without one. */
  slaveKind: string;
  /** Index of the interface it stands on (VLAN, macvlan) or of its veth peer; 0: none. */
  link: number;
  /** Queues of a TUN device that processes have open; 0 for other kinds. */
  tunQueues: number;
}

export function readLinks(): Link[] {
  return ask(NETLINK_ROUTE, message(RTM_GETLINK, LIST, ifinfo(0, 0, 0))).flatMap(decodeLink);
}

export function linkNamed(name: string): Link | undefined {
  return readLinks().find((link) => link.name === name);
}

export function linkAt(index: number): Link | undefined {
  return readLinks().find((link) => link.index === index);
}

/** Returns an empty list for a message that is no link. */
export function decodeLink({ type, body }: Message): Link[] {
  if (type !== RTM_NEWLINK || body.length < IFINFOMSG) return [];
  const attributes = new Attributes(body, IFINFOMSG);
  const info = attributes.nest(IFLA_LINKINFO);
  const flags = body.readUInt32LE(8);
  const kind = info.text(IFLA_INFO_KIND) ?? '';
  return [
    {
      index: body.readInt32LE(4),
      name: attributes.text(IFLA_IFNAME) ?? '',
      type: body.readUInt16LE(2),
      mtu: attributes.u32(IFLA_MTU) ?? 0,
      txQueueLength: attributes.u32(IFLA_TXQLEN) ?? 0,
      qdisc: attributes.text(IFLA_QDISC) ?? '',
      up: (flags & IFF_UP) !== 0,
      loopback: (flags & IFF_LOOPBACK) !== 0,
      carrier: attributes.u8(IFLA_CARRIER) === 1,
      mac: formatMac(attributes.bytes(IFLA_ADDRESS)),
      kind,
      master: attributes.u32(IFLA_MASTER) ?? 0,
      slaveKind: info.text(IFLA_INFO_SLAVE_KIND) ?? '',
      link: attributes.u32(IFLA_LINK) ?? 0,
      tunQueues: kind === 'tun' ? (info.nest(IFLA_INFO_DATA).u32(IFLA_TUN_NUM_QUEUES) ?? 0) : 0,
    },
  ];
}

export interface LinkChange {
  up?: boolean;
  mtu?: number;
  txQueueLength?: number;
  /** No IPv6 link-local address is made when the interface comes up. */
  noIpv6Address?: boolean;
}

/** Throws SystemError, e.g. EINVAL for an MTU the device does not take. */
export function changeLink(index: number, change: LinkChange): void {
  ask(NETLINK_ROUTE, encodeLinkChange(index, change));
}

export function encodeLinkChange(index: number, change: LinkChange): Buffer {
  const attributes: Buffer[] = [];
  if (change.mtu !== undefined) attributes.push(u32(IFLA_MTU, change.mtu));
  if (change.txQueueLength !== undefined) attributes.push(u32(IFLA_TXQLEN, change.txQueueLength));
  if (change.noIpv6Address === true) {
    const mode = u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    attributes.push(nest(IFLA_AF_SPEC, [nest(AF_INET6, [mode])]));
  }
  const fixed = change.up === undefined ? ifinfo(index, 0, 0) : ifinfo(index, change.up ? IFF_UP : 0, IFF_UP);
  return message(RTM_NEWLINK, CHANGE, fixed, attributes);
}

/** Throws SystemError ENODEV when it has gone. */
export function deleteLink(index: number): void {
  ask(NETLINK_ROUTE, message(RTM_DELLINK, CHANGE, ifinfo(index, 0, 0)));
}

function ifinfo(index: number, flags: number, changed: number): Buffer {
  const bytes = Buffer.alloc(IFINFOMSG);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt32LE(flags, 8);
  bytes.writeUInt32LE(changed, 12);
  return bytes;
}

function formatMac(bytes: Buffer | undefined): string {
  return bytes === undefined ? '' : Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
