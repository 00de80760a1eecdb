/**
 * Follows the host: one rtnetlink socket joined to the groups of links, IPv4 addresses, IPv4 routes and neighbours, and
 * of traffic control (qdiscs, filters).
 *
 * Changes of links, addresses and routes come in swarms (one interface going down is dozens of messages), and what
 * they mean together is read anew from the tables; so they are only counted, and `onHostChange` is called once, at
 * most COALESCE_MS after the first of a swarm. Neighbours are told one by one and at once: a client is waiting.
 *
 * When the socket's buffer overflows (ENOBUFS) the kernel has dropped messages: then everything counts as changed,
 * and the neighbour table is read whole.
 */
import { closeSync } from 'node:fs';
import { isSystemError } from '../../core/errors.ts';
import { addon, type Watch } from '../../link/addon.ts';
import { readMessages } from './message.ts';
import { decodeNeighbour, FAILED, INCOMPLETE, type Neighbour, readNeighbours } from './neighbours.ts';
import { NETLINK_ROUTE } from './request.ts';

/** Multicast groups (RTNLGRP_*). */
const LINK_GROUP = 1;
const NEIGHBOUR_GROUP = 3;
const TRAFFIC_CONTROL_GROUP = 4;
const IPV4_ADDRESS_GROUP = 5;
const IPV4_ROUTE_GROUP = 7;
const IPV4_RULE_GROUP = 8;

const COALESCE_MS = 20;

export interface NeighbourEvent {
  /** Index of the interface. */
  interface: number;
  /** Wire order. */
  address: number;
  /** The kernel asked for it and had no answer. False again once it answers or the entry is gone. */
  failed: boolean;
}

export interface HostWatchCallbacks {
  /** Links, addresses, routes or rules have changed: read them. */
  onHostChange(): void;
  onNeighbour(event: NeighbourEvent): void;
  /** Qdiscs or filters have changed, also by who is called. As often as `onHostChange`. */
  onTrafficControl?(): void;
}

export class HostWatch {
  readonly #callbacks: HostWatchCallbacks;
  readonly #fd: number;
  readonly #watch: Watch;
  #timer: NodeJS.Timeout | undefined;
  #controlTimer: NodeJS.Timeout | undefined;

  /** Starts watching; keeps the event loop alive until `close`. */
  constructor(callbacks: HostWatchCallbacks) {
    this.#callbacks = callbacks;
    this.#fd = addon().netlinkOpen(NETLINK_ROUTE, [
      LINK_GROUP,
      NEIGHBOUR_GROUP,
      TRAFFIC_CONTROL_GROUP,
      IPV4_ADDRESS_GROUP,
      IPV4_ROUTE_GROUP,
      IPV4_RULE_GROUP,
    ]);
    this.#watch = addon().watchReadable(this.#fd, () => this.#receive());
  }

  close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#controlTimer);
    this.#watch.close();
    closeSync(this.#fd);
  }

  #receive(): void {
    try {
      for (;;) {
        const bytes = addon().netlinkReceive(this.#fd);
        if (bytes === null) return;
        for (const message of readMessages(bytes)) {
          const [neighbour] = decodeNeighbour(message);
          if (neighbour !== undefined) this.#tell(neighbour);
          else if (isTrafficControl(message.type)) this.#controlled();
          else if (!isNeighbourMessage(message.type)) this.#changed();
        }
      }
    } catch (error) {
      if (!isSystemError(error, 'ENOBUFS')) throw error;
      this.#changed();
      this.#controlled();
      for (const neighbour of readNeighbours()) this.#tell(neighbour);
    }
  }

  #changed(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#callbacks.onHostChange();
    }, COALESCE_MS);
  }

  #controlled(): void {
    this.#controlTimer ??= setTimeout(() => {
      this.#controlTimer = undefined;
      this.#callbacks.onTrafficControl?.();
    }, COALESCE_MS);
  }

  #tell(neighbour: Neighbour): void {
    const failed = !neighbour.deleted && (neighbour.state & FAILED) !== 0;
    const undecided = !neighbour.deleted && (neighbour.state & INCOMPLETE) !== 0;
    if (undecided) return;
    this.#callbacks.onNeighbour({ interface: neighbour.interface, address: neighbour.address, failed });
  }
}

/** RTM_NEWQDISC to RTM_GETTFILTER, and chains of filters (RTM_NEWCHAIN to RTM_GETCHAIN). */
function isTrafficControl(type: number): boolean {
  return (type >= 36 && type <= 46) || (type >= 100 && type <= 102);
}

/** RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH: those of IPv6 arrive as well. */
function isNeighbourMessage(type: number): boolean {
  return type >= 28 && type <= 30;
}
