/** What the journal remembers about a step: enough for another process to take it back after a crash. */

/** An interface; by its index, so that a renamed one is found and a new one of the same name is not mistaken. */
export interface InterfaceReference {
  name: string;
  index: number;
}

/** Part of a step's name: the same name with another index is another interface. */
export function describe({ name, index }: InterfaceReference): string {
  return `${name} #${index}`;
}

export type UndoRecord =
  /** Delete the TUN device of that name. */
  | { kind: 'tun'; name: string }
  /** Write `before` if the value still is `ours`. */
  | { kind: 'sysctl'; path: string; before: string; ours: string }
  /** Leave the local port range to the gateways that remain; the last one restores it. */
  | { kind: 'local-ports'; name: string; netns: number }
  /** Switch LRO on again. */
  | { kind: 'lro'; interface: InterfaceReference }
  /** Remove the clsact qdisc unless somebody else's filters are on it. */
  | { kind: 'clsact'; interface: InterfaceReference }
  /** Remove a /32 of link scope; `address` is in wire order. */
  | { kind: 'address'; interface: InterfaceReference; address: number }
  /** Take these ports (`8080,9000-9010`) off the list of those that the kernel gives to no connection. */
  | { kind: 'reserved-ports'; ports: string }
  /** Remove natgate's filter. */
  | { kind: 'filter'; interface: InterfaceReference };
