/**
 * Ports that sockets of the host hold. natgate must neither hand them out nor take their packets: connections
 * that are older than the gateway, and services bound within its range.
 */
import { type HostSocket, readSockets, TCP, UDP } from './netlink/sock-diag.ts';

const TCP_CLOSE = 7;
const TCP_LISTEN = 10;

export interface HeldPorts {
  /** Ascending, each once. */
  tcp: number[];
  udp: number[];
}

/** Ports from `first` to `last` that any socket has as its local port, whatever its state and address. */
export function heldPorts(first: number, last: number): HeldPorts {
  return { tcp: portsWithin(readSockets(TCP), first, last), udp: portsWithin(readSockets(UDP), first, last) };
}

/** Those of them that wait for peers: listening TCP sockets and unconnected UDP sockets. */
export function servicePorts(first: number, last: number): HeldPorts {
  const listening = readSockets(TCP).filter((socket) => socket.state === TCP_LISTEN);
  const unconnected = readSockets(UDP).filter((socket) => socket.state === TCP_CLOSE);
  return { tcp: portsWithin(listening, first, last), udp: portsWithin(unconnected, first, last) };
}

function portsWithin(sockets: readonly HostSocket[], first: number, last: number): number[] {
  const ports = new Set(sockets.map((socket) => socket.port));
  return [...ports].filter((port) => port >= first && port <= last).sort((a, b) => a - b);
}
