/**
 * Follows the host while a gateway runs: the served interfaces, their addresses and MTUs, the routing table, failed
 * neighbours, and the ports that host sockets hold.
 *
 * Links, addresses, routes and neighbours come as events (HostWatch). The kernel tells nobody when a socket is
 * opened, so held ports are asked for on a slow timer; a connection of the host's own never depends on it, because
 * its ports are outside natgate's range while natgate runs.
 * An interface that is deleted, or gets another name, is *gone*: it is in the view as it was last seen, down and with an index that nothing
 * has, until one of its name is there again.
 * Every callback is called only when something is different from what was told before.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Route } from '../../engine/routes.ts';
import {
  conflictingNetwork,
  findInterfaces,
  type InterfaceFacts,
  readInterfaces,
} from '../../host/interfaces.ts';
import { readLinks } from '../../host/netlink/links.ts';
import { TCP, UDP } from '../../host/netlink/sock-diag.ts';
import { HostWatch } from '../../host/netlink/watch.ts';
import { readServedRoutes, withDedicated } from '../../host/routes.ts';
import { type HeldPorts, heldPorts } from '../../host/sockets.ts';
import type { Prefix } from '../../nat/config.ts';
import type { ServedDevice } from '../engines/messages.ts';
import type { PortRange } from '../options.ts';

const HELD_PORTS_EVERY_MS = 3000;
/** Former addresses of the public interface that are followed; each is a comparison in the steering programs. */
const MAX_FORMER = 8;

/** Indexes of interfaces that are gone are from here down: no interface has them, and they are none of the devices of engine/routes.ts. */
const GONE = -1000;

/** One moment of the host, as far as it concerns the gateway. */
export interface HostView {
  /**
   * By device index: private interfaces first, the public one last. An address of that which is on a private network, too,
   * counts as none; so does any while the interface is down, as with MASQUERADE (masq_device_event, nf_nat_masquerade.c).
   */
  interfaces: InterfaceFacts[];
  /** Names of those that are gone. */
  gone: readonly string[];
  /** That private network. */
  conflict: Prefix | null;
  /**
   * Addresses of the public interface that natgate shares with the host, the present one first. While there is none, as when the interface is
   * down, those of before: they may be back at any moment, and the host's stack must not answer for natgate's ports until that is known.
   */
  shared: readonly number[];
  devices: ServedDevice[];
  routes: Route[];
}

export interface Followed {
  /** The served interfaces by device index. */
  names: readonly string[];
  /** By device index: what the operator says is behind them (InterfaceFacts). */
  networks: readonly (readonly Prefix[])[];
  ports: PortRange;
  /** External addresses that are natgate's alone. */
  dedicated: readonly Prefix[];
}

export interface FollowerCallbacks {
  onHostChange(view: HostView, before: HostView): void;
  onHeldPorts(protocol: 6 | 17, ports: number[]): void;
  onNeighbour(device: number, address: number, failed: boolean): void;
  /** Something of the host is different, whether or not it is followed. */
  onAnyChange(): void;
  onError(error: unknown): void;
}

export class HostFollower {
  readonly #names: readonly string[];
  readonly #networks: readonly (readonly Prefix[])[];
  readonly #ports: PortRange;
  #dedicated: readonly Prefix[];
  readonly #callbacks: FollowerCallbacks;
  readonly #watch: HostWatch;
  readonly #timer: NodeJS.Timeout;
  #view: HostView;
  #held: HeldPorts;

  /** Throws NatgateError when an interface is not there. */
  constructor({ names, networks, ports, dedicated }: Followed, callbacks: FollowerCallbacks) {
    this.#names = names;
    this.#networks = networks;
    this.#ports = ports;
    this.#dedicated = dedicated;
    this.#callbacks = callbacks;
    // Watched before it is read: what changes in between is told, and read once more.
    this.#watch = new HostWatch({
      onHostChange: () => {
        this.look();
        callbacks.onAnyChange();
      },
      onTrafficControl: () => callbacks.onAnyChange(),
      onNeighbour: ({ interface: index, address, failed }) => {
        this.#view.interfaces.forEach((facts, device) => {
          if (facts.index === index) callbacks.onNeighbour(device, address, failed);
        });
      },
    });
    try {
      this.#view = readView(names, networks, dedicated);
      this.#held = heldPorts(ports.first, ports.last);
    } catch (error) {
      this.#watch.close();
      throw error;
    }
    this.#timer = setInterval(() => this.#guard(() => this.#readSockets()), HELD_PORTS_EVERY_MS);
  }

  get view(): HostView {
    return this.#view;
  }

  get held(): HeldPorts {
    return this.#held;
  }

  /** Other addresses are natgate's alone: told as a change of the routes. */
  setDedicated(dedicated: readonly Prefix[]): void {
    this.#dedicated = dedicated;
    this.#readHost();
  }

  /** Reads the host, as after an event. */
  look(): void {
    this.#guard(() => this.#readHost());
  }

  /** As `look`, where a served interface has gone or come: its filters are told of before it is. */
  lookAtInterfaces(): void {
    this.#guard(() => {
      const links = new Map(readLinks().map(({ name, index }) => [name, index]));
      const isOther = (facts: InterfaceFacts) =>
        isThere(facts) ? links.get(facts.name) !== facts.index : links.has(facts.name);
      if (this.#view.interfaces.some(isOther)) this.#readHost();
    });
  }

  close(): void {
    this.#watch.close();
    clearInterval(this.#timer);
  }

  #readHost(): void {
    const before = this.#view;
    const view = readView(this.#names, this.#networks, this.#dedicated, before);
    if (isDeepStrictEqual(view, before)) return;
    this.#view = view;
    this.#callbacks.onHostChange(view, before);
  }

  #readSockets(): void {
    const before = this.#held;
    this.#held = heldPorts(this.#ports.first, this.#ports.last);
    if (!isDeepStrictEqual(this.#held.tcp, before.tcp)) this.#callbacks.onHeldPorts(TCP, this.#held.tcp);
    if (!isDeepStrictEqual(this.#held.udp, before.udp)) this.#callbacks.onHeldPorts(UDP, this.#held.udp);
  }

  #guard(read: () => void): void {
    try {
      read();
    } catch (error) {
      this.#callbacks.onError(error);
    }
  }
}

/** Whether an interface of the view is there. */
export function isThere({ index }: Pick<InterfaceFacts, 'index'>): boolean {
  return index > 0;
}

function readView(
  names: readonly string[],
  networks: readonly (readonly Prefix[])[],
  dedicated: readonly Prefix[],
  before?: HostView,
): HostView {
  const found =
    before === undefined
      ? readInterfaces(names, networks)
      : findInterfaces(names, networks).map((facts, i) => facts ?? gone(before.interfaces[i]!, names));
  const conflict = conflictingNetwork(found);
  const outside = found.at(-1)!;
  const hasNone = conflict !== null || !outside.up;
  const interfaces = hasNone ? found.with(-1, { ...outside, address: 0, prefixLength: 0 }) : found;
  const { address: external } = interfaces.at(-1)!;
  const former = formerAddresses(interfaces.at(-1)!, before?.shared ?? []);
  const devices = interfaces.map(
    ({ address, mtu }, i): ServedDevice => ({
      side: i === names.length - 1 ? 'public' : 'private',
      address,
      mtu,
      ...(i === names.length - 1 && former.length > 0 && { former }),
    }),
  );
  const indexes = interfaces.map(({ index }) => index);
  const routes = readServedRoutes(indexes, networks);
  const missing = interfaces.filter((facts) => !isThere(facts)).map(({ name }) => name);
  return {
    interfaces,
    gone: [...new Set(missing)],
    conflict,
    shared: external === 0 ? (before?.shared ?? []) : [external, ...former],
    devices,
    routes: withDedicated(routes, dedicated),
  };
}

/** One that is not there any more. Both sides of a one-armed gateway have one index, as before; a private one keeps its network. */
function gone(last: InterfaceFacts, names: readonly string[]): InterfaceFacts {
  return { ...last, index: GONE - names.indexOf(last.name), up: false, carrier: false };
}

/** What masquerade took before, newest first, as far as the public interface still has it: old flows go on by it. */
function formerAddresses(outside: InterfaceFacts, before: readonly number[]): number[] {
  if (!outside.up) return [];
  const isStill = (address: number) =>
    address !== outside.address && outside.addresses.some((has) => has.address === address);
  return before.filter(isStill).slice(0, MAX_FORMER);
}
