/** IPv4 routes and the rules that choose between their tables, over rtnetlink (linux/rtnetlink.h, fib_rules.h). */
import { Attributes, type Message, message } from './message.ts';
import { ask, LIST, NETLINK_ROUTE } from './request.ts';

const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTM_NEWRULE = 32;
const RTM_GETRULE = 34;
const AF_INET = 2;

/** struct rtmsg and struct fib_rule_hdr have the same shape. */
const RTMSG = 12;
const RTNEXTHOP = 8;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTAX_MTU = 2;

const RTNH_F_DEAD = 1;
/** A cached exception (path MTU, redirect), not a route of the table. */
const RTM_F_CLONED = 0x200;

/** Route types (RTN_*). */
export const UNICAST = 1;
export const LOCAL = 2;
export const BLACKHOLE = 6;
export const UNREACHABLE_TYPE = 7;
export const PROHIBIT = 8;
export const THROW = 9;

export const TABLE_DEFAULT = 253;
export const TABLE_MAIN = 254;
export const TABLE_LOCAL = 255;

export interface NextHop {
  /** Index of the interface; 0 when there is none (blackhole …). */
  interface: number;
  /** Wire order; 0: the destination is on the link. */
  gateway: number;
  /** Its interface is down: the kernel does not use it. */
  dead: boolean;
  /** The gateway is an IPv6 address (RTA_VIA), which `gateway` cannot say. */
  foreign: boolean;
}

export interface KernelRoute {
  /** Wire order. */
  prefix: number;
  length: number;
  table: number;
  /** RTN_*: UNICAST, LOCAL, … */
  type: number;
  /** Smaller is preferred. */
  metric: number;
  /** RTAX_MTU in bytes; 0: none. */
  mtu: number;
  /** In the kernel's order; one unless the route is a multipath one. */
  nextHops: NextHop[];
}

/** Every IPv4 route of every table, without cached ones and without those for a type of service. */
export function readRoutes(): KernelRoute[] {
  return ask(NETLINK_ROUTE, message(RTM_GETROUTE, LIST, inet())).flatMap(decodeRoute);
}

/** Returns an empty list for a message that is no such route. */
export function decodeRoute({ type, body }: Message): KernelRoute[] {
  if (type !== RTM_NEWROUTE || body.length < RTMSG || body[0] !== AF_INET) return [];
  const flags = body.readUInt32LE(8);
  if ((flags & RTM_F_CLONED) !== 0 || body[3] !== 0) return [];
  const attributes = new Attributes(body, RTMSG);
  const multipath = attributes.bytes(RTA_MULTIPATH);
  return [
    {
      prefix: attributes.address(RTA_DST) ?? 0,
      length: body.readUInt8(1),
      table: attributes.u32(RTA_TABLE) ?? body.readUInt8(4),
      type: body.readUInt8(7),
      metric: attributes.u32(RTA_PRIORITY) ?? 0,
      mtu: attributes.nest(RTA_METRICS).u32(RTAX_MTU) ?? 0,
      nextHops:
        multipath === undefined
          ? [nextHop(attributes.u32(RTA_OIF) ?? 0, flags, attributes)]
          : nextHops(multipath),
    },
  ];
}

/** struct rtnexthop (length, flags, hops, interface), each followed by attributes of its own. */
function nextHops(bytes: Buffer): NextHop[] {
  const found: NextHop[] = [];
  let at = 0;
  while (at + RTNEXTHOP <= bytes.length) {
    const length = bytes.readUInt16LE(at);
    if (length < RTNEXTHOP || at + length > bytes.length) break;
    const attributes = new Attributes(bytes.subarray(at + RTNEXTHOP, at + length));
    found.push(nextHop(bytes.readInt32LE(at + 4), bytes.readUInt8(at + 2), attributes));
    at += (length + 3) & ~3;
  }
  return found;
}

function nextHop(interfaceIndex: number, flags: number, attributes: Attributes): NextHop {
  const via = attributes.bytes(RTA_VIA);
  const viaIpv4 = via !== undefined && via.length === 6 && via.readUInt16LE(0) === AF_INET;
  return {
    interface: interfaceIndex,
    gateway: viaIpv4 ? via.readInt32LE(2) : (attributes.address(RTA_GATEWAY) ?? 0),
    dead: (flags & RTNH_F_DEAD) !== 0,
    foreign: via !== undefined && !viaIpv4,
  };
}

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TUN_ID = 12;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_L3MDEV = 19;
const FRA_UID_RANGE = 20;
const FRA_IP_PROTO = 22;
const FRA_SPORT_RANGE = 23;
const FRA_DPORT_RANGE = 24;

const FR_ACT_TO_TBL = 1;
const FIB_RULE_INVERT = 0x2;

/** Selectors that some packets meet and others do not. A mark is none of them: steered packets have mark 0. */
const SELECTORS = [
  FRA_DST,
  FRA_SRC,
  FRA_IIFNAME,
  FRA_TUN_ID,
  FRA_OIFNAME,
  FRA_L3MDEV,
  FRA_UID_RANGE,
  FRA_IP_PROTO,
  FRA_SPORT_RANGE,
  FRA_DPORT_RANGE,
];

export interface Rule {
  priority: number;
  table: number;
  /** Answers of this table with a prefix of at most this length are passed over; -1: none are. */
  suppressLength: number;
  /** Whether the rule holds for every unmarked packet, for none, or for some. */
  applies: 'always' | 'never' | 'sometimes';
}

/** The rules (`ip rule`), in the order in which the kernel asks them. */
export function readRules(): Rule[] {
  return ask(NETLINK_ROUTE, message(RTM_GETRULE, LIST, inet()))
    .flatMap(decodeRule)
    .sort((a, b) => a.priority - b.priority);
}

/** Returns an empty list for a message that is no IPv4 rule. */
export function decodeRule({ type, body }: Message): Rule[] {
  if (type !== RTM_NEWRULE || body.length < RTMSG || body[0] !== AF_INET) return [];
  const attributes = new Attributes(body, RTMSG);
  const suppress = attributes.u32(FRA_SUPPRESS_PREFIXLEN) ?? 0xffffffff;
  const inverted = (body.readUInt32LE(8) & FIB_RULE_INVERT) !== 0;
  const selects =
    body[3] !== 0 || body[7] !== FR_ACT_TO_TBL || SELECTORS.some((s) => attributes.bytes(s) !== undefined);
  const markIsZero = ((attributes.u32(FRA_FWMARK) ?? 0) & (attributes.u32(FRA_FWMASK) ?? 0xffffffff)) === 0;
  return [
    {
      priority: attributes.u32(FRA_PRIORITY) ?? 0,
      table: attributes.u32(FRA_TABLE) ?? body.readUInt8(4),
      suppressLength: suppress | 0,
      applies: selects ? 'sometimes' : markIsZero !== inverted ? 'always' : 'never',
    },
  ];
}

function inet(): Buffer {
  const fixed = Buffer.alloc(RTMSG);
  fixed[0] = AF_INET;
  return fixed;
}
