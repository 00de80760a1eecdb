/** IPv4 neighbours (the ARP table) over rtnetlink (RTM_*NEIGH, linux/neighbour.h). */
import { Attributes, type Message, message } from './message.ts';
import { ask, LIST, NETLINK_ROUTE } from './request.ts';

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const AF_INET = 2;

/** struct ndmsg: family, index, state, flags, type. */
const NDMSG = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;

/** Neighbour states (NUD_*). */
export const INCOMPLETE = 0x01;
export const REACHABLE = 0x02;
export const FAILED = 0x20;
export const PERMANENT = 0x80;

export interface Neighbour {
  /** Index of the interface. */
  interface: number;
  /** Wire order. */
  address: number;
  /** NUD_* bits. */
  state: number;
  /** Link-layer address; empty while it is not known. */
  mac: string;
  /** The entry was removed. */
  deleted: boolean;
}

/** All IPv4 neighbours but those of devices that need no ARP. */
export function readNeighbours(): Neighbour[] {
  const fixed = Buffer.alloc(NDMSG);
  fixed[0] = AF_INET;
  return ask(NETLINK_ROUTE, message(RTM_GETNEIGH, LIST, fixed)).flatMap(decodeNeighbour);
}

/** Returns an empty list for a message that is no IPv4 neighbour. */
export function decodeNeighbour({ type, body }: Message): Neighbour[] {
  if ((type !== RTM_NEWNEIGH && type !== RTM_DELNEIGH) || body.length < NDMSG || body[0] !== AF_INET) {
    return [];
  }
  const attributes = new Attributes(body, NDMSG);
  const address = attributes.address(NDA_DST);
  if (address === undefined) return [];
  return [
    {
      interface: body.readInt32LE(4),
      address,
      state: body.readUInt16LE(8),
      mac:
        attributes
          .bytes(NDA_LLADDR)
          ?.toString('hex')
          .replace(/..(?=.)/g, '$&:') ?? '',
      deleted: type === RTM_DELNEIGH,
    },
  ];
}
