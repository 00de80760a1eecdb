/**
 * Several workers: which one a port belongs to. Its number without the lowest bit, modulo the number of workers, so that
 *
 *     - internal and external port of a mapping are of one worker, and a port can be preserved and keeps its parity
 *     - an even port and the odd one above it are of one worker (RTP and RTCP)
 *     - a client whose ports are all of one parity spreads over all workers: Linux connects from even ones only, as long as there are some
 *
 * The number of workers is a power of two, 16 at most, so the classes repeat every 32 ports: a class is a mask of a word
 * of a port bitmap.
 */
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';

export const MAX_WORKERS = 16;

export interface PortClass {
  /** Workers: 1, 2, 4, 8 or 16. */
  workers: number;
  /** The worker whose ports are meant. */
  number: number;
}

export const ALL_PORTS: PortClass = { workers: 1, number: 0 };

/** The worker of a port or query id in host order. */
export function workerOfPort(port: number, workers: number): number {
  return (port >> 1) & (workers - 1);
}

/** The worker of a port or query id in wire order. */
export function workerOfWire(port: number, workers: number): number {
  // The low byte of the number is the second one on the wire.
  return (port >>> 9) & (workers - 1);
}

/**
 * The worker that a packet with this tuple is given to: by the source port where it comes from the private side, by the
 * destination port from the public one, by the id of an ICMP query. Protocols without ports are the first worker's. The steering
 * program says the same (host/steering/queue.ts).
 */
export function workerOfTuple(protocol: number, ports: number, isInside: boolean, workers: number): number {
  if (protocol === PROTO_TCP || protocol === PROTO_UDP || protocol === PROTO_SCTP) {
    return workerOfWire(isInside ? ports & 0xffff : ports >>> 16, workers);
  }
  return protocol === PROTO_ICMP ? workerOfWire(ports & 0xffff, workers) : 0;
}

/** Bits of the class in each word of 32 ports. */
export function classMask({ workers, number }: PortClass): number {
  let mask = 0;
  for (let port = 0; port < 32; port++) if (workerOfPort(port, workers) === number) mask |= 1 << port;
  return mask;
}
