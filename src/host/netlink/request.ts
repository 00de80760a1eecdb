/** One netlink question, one answer: on a socket of its own, since these are asked seldom. */
import { closeSync } from 'node:fs';
import { addon } from '../../link/addon.ts';
import { type Message, NLM_F_ACK, NLM_F_DUMP, readMessages } from './message.ts';

/** Netlink protocols (linux/netlink.h). */
export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NETLINK_NETFILTER = 12;

/** Flags of a request that lists a table. */
export const LIST = NLM_F_DUMP;
/** Flags of a request that changes something: the kernel confirms it or says why not. */
export const CHANGE = NLM_F_ACK;

/** Sends a request and returns the answers. Throws SystemError with the kernel's errno. */
export function ask(protocol: number, request: Uint8Array): Message[] {
  const fd = addon().netlinkOpen(protocol, []);
  try {
    return readMessages(addon().netlinkRequest(fd, request));
  } finally {
    closeSync(fd);
  }
}
