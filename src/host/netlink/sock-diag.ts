/**
 * The host's TCP and UDP sockets over NETLINK_SOCK_DIAG (linux/inet_diag.h): all states, IPv4, and IPv6 sockets that
 * take IPv4 traffic as well.
 *
 * A TCP socket that is bound but neither listens nor connects is listed by kernel 6.8 and later only.
 */
import { Attributes, type Message, message } from './message.ts';
import { ask, LIST, NETLINK_SOCK_DIAG } from './request.ts';

const SOCK_DIAG_BY_FAMILY = 20;
const AF_INET = 2;
const AF_INET6 = 10;
const INET_DIAG_SKV6ONLY = 11;

/** struct inet_diag_req_v2 and struct inet_diag_msg. */
const REQUEST = 56;
const ANSWER = 72;
const ALL_STATES = 0xffffffff;

export const TCP = 6;
export const UDP = 17;

export interface HostSocket {
  /** Local address in wire order; 0: any. */
  address: number;
  /** Local port in host order. */
  port: number;
  /** TCP_* of the kernel's tcp_states.h: 1 established, 7 closed (an unconnected UDP socket), 10 listening, … */
  state: number;
  /** Index of the interface it is bound to; 0: none. */
  interface: number;
}

/** Throws SystemError ENOENT when the kernel has no tcp_diag or udp_diag. */
export function readSockets(protocol: typeof TCP | typeof UDP): HostSocket[] {
  return [AF_INET, AF_INET6].flatMap((family) =>
    ask(NETLINK_SOCK_DIAG, encodeSocketRequest(family, protocol)).flatMap(decodeSocket),
  );
}

export function encodeSocketRequest(family: number, protocol: number): Buffer {
  const fixed = Buffer.alloc(REQUEST);
  fixed[0] = family;
  fixed[1] = protocol;
  fixed.writeUInt32LE(ALL_STATES, 4);
  return message(SOCK_DIAG_BY_FAMILY, LIST, fixed);
}

/** Returns an empty list for a socket that no IPv4 packet can reach. */
export function decodeSocket({ type, body }: Message): HostSocket[] {
  if (type !== SOCK_DIAG_BY_FAMILY || body.length < ANSWER) return [];
  const address = body[0] === AF_INET ? body.readInt32LE(8) : ipv4Of(body);
  if (address === null) return [];
  return [
    {
      address,
      port: body.readUInt16BE(4),
      state: body.readUInt8(1),
      interface: body.readInt32LE(40),
    },
  ];
}

/** The IPv4 address of an IPv6 socket: any (unless it is for IPv6 only) or a mapped one, ::ffff:a.b.c.d. */
function ipv4Of(body: Buffer): number | null {
  const [first, second, third, last] = [8, 12, 16, 20].map((at) => body.readInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ];
  if (first !== 0 || second !== 0) return null;
  if (third === 0xffff0000 >> 0) return last;
  const ipv6Only = new Attributes(body, ANSWER).u8(INET_DIAG_SKV6ONLY) === 1;
  return third === 0 && last === 0 && !ipv6Only ? 0 : null;
}
