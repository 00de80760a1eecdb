/**
 * A piece of a virtual network: what is attached to it reaches each other by address. A LAN has an uplink, its NAT, which gets
 * what is for nobody on it; the internet has a router instead, which counts TTLs down and says so when there is no way.
 *
 * A packet takes the latency of its sender's link and of its receiver's.
 */
import type { Arrival, FaultLink } from '../link/fault-link.ts';
import { formatAddress } from '../wire/address.ts';
import { Bytes } from '../wire/bytes.ts';
import { checksum } from '../wire/checksum.ts';
import { headerLength, IP_CHECKSUM, IP_DESTINATION, IP_PROTOCOL, IP_SOURCE, IP_TTL } from '../wire/ipv4.ts';
import { describePacket, icmpError } from './packets.ts';
import { readPacket } from './read-packet.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** Something with an address on a segment. */
export interface Attachment {
  /** ms that a packet takes on its link, each way. */
  latency: number;
  /** What its link does to packets, each way, where it does something. */
  faults?: { sends?: FaultLink; receives?: FaultLink };
  deliver: (packet: Uint8Array) => void;
}

/** What a network does with every packet on every segment. */
export interface Wiretap {
  /** Told about it, as one line with the time. */
  trace?: (line: string) => void;
  /** Whether it is lost. */
  lose?: (packet: Uint8Array, now: number) => boolean;
  /** What all wires do to all packets. */
  faults?: FaultLink | null;
}

const ROUTER = '192.0.2.1';

export class Segment {
  /** Gets what is for nobody here; of the internet: nobody. */
  uplink: Attachment | null = null;
  private readonly attached = new Map<number, Attachment>();
  private readonly clock: VirtualClock;
  private readonly tap: Wiretap;
  /** The internet's router: counts TTLs down. */
  private readonly routes: boolean;

  constructor(clock: VirtualClock, tap: Wiretap, routes: boolean) {
    this.clock = clock;
    this.tap = tap;
    this.routes = routes;
  }

  attach(address: number, attachment: Attachment): void {
    this.attached.set(address, attachment);
  }

  isTaken(address: number): boolean {
    return this.attached.has(address);
  }

  /** Sends a packet of `from` on its way. */
  send(packet: Uint8Array, from: Attachment): void {
    const { clock, tap } = this;
    tap.trace?.(`${clock.now} ms ${describePacket(packet)}`);
    if (tap.lose?.(packet, clock.now)) return;
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    const to = this.attached.get(view.getInt32(IP_DESTINATION, true)) ?? this.uplink;
    if (to === null || (this.routes && packet[IP_TTL]! <= 1)) {
      if (to === null) this.refuse(packet, from, 3, 1);
      else this.refuse(packet, from, 11, 0);
      return;
    }
    // A LAN's NAT knows nobody else to ask.
    if (to === from && to === this.uplink) return;
    const sent = this.routes ? countDown(packet) : packet;
    for (const { packet: arriving, delay } of this.underWay(sent, from, to)) {
      clock.after(from.latency + to.latency + delay, () => to.deliver(arriving));
    }
  }

  /** What bad wires make of a packet, behind the router. */
  private underWay(packet: Uint8Array, from: Attachment, to: Attachment): Arrival[] {
    let arrivals: Arrival[] = [{ packet, delay: 0 }];
    for (const wire of [from.faults?.sends, this.tap.faults, to.faults?.receives]) {
      if (!wire) continue;
      arrivals = arrivals.flatMap((arrival) =>
        wire.pass(arrival.packet).map((next) => ({ packet: next.packet, delay: arrival.delay + next.delay })),
      );
    }
    return arrivals;
  }

  /** The router answers with an ICMP error; never to one (RFC 1122 3.2.2). */
  private refuse(packet: Uint8Array, from: Attachment, type: number, code: number): void {
    if (!this.routes || (packet[IP_PROTOCOL] === 1 && ![0, 8].includes(readPacket(packet).type))) return;
    const source = new DataView(packet.buffer, packet.byteOffset).getInt32(IP_SOURCE, true);
    const error = icmpError({ from: ROUTER, to: formatAddress(source), type, code, packet });
    this.clock.after(2 * from.latency, () => from.deliver(error));
  }
}

/** A copy with one less to live. */
function countDown(packet: Uint8Array): Uint8Array {
  const memory = new Bytes(new ArrayBuffer((packet.length + 3) & ~3));
  memory.u8.set(packet);
  memory.u8[IP_TTL]!--;
  memory.u16[IP_CHECKSUM >> 1] = 0;
  memory.u16[IP_CHECKSUM >> 1] = checksum(memory.u8, memory.u16, 0, headerLength(memory.u8, 0));
  return memory.u8.subarray(0, packet.length);
}
