/**
 * A host of a virtual network: UDP sockets and TCP connections that talk in packets. It answers as hosts do: pings with
 * replies, datagrams to a closed port with port unreachable, segments of no connection with RST.
 *
 * Connections are found by (local port, remote endpoint), so that one local port may have any number of them, and a
 * listener besides: what SO_REUSEPORT is used for by those who punch holes with TCP.
 */
import { NatgateError } from '../core/errors.ts';
import { formatAddress } from '../wire/address.ts';
import { be16 } from '../wire/bytes.ts';
import { headerLength, IP_HEADER, IP_LENGTH, PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { endpoint, icmpError, icmpPacket, tcpPacket, udpPacket, verifyChecksums } from './packets.ts';
import { type PacketFields, readPacket } from './read-packet.ts';
import type { Attachment, Segment } from './segment.ts';
import { type UdpListener, UdpSocket } from './udp-socket.ts';
import type { VirtualClock } from './virtual-clock.ts';
import { TcpConnection, type TcpSegment } from './virtual-tcp.ts';

/** Is given connections that have come in, established or about to be. */
export type TcpListener = (connection: TcpConnection) => void;

/** RFC 6335 6. */
const FIRST_EPHEMERAL = 49152;

/** A host with UDP and TCP, made by `VirtualNetwork.host`. */
export class VirtualHost {
  /** Its own address; behind a NAT, a private one. */
  readonly address: string;
  /** ms that a packet takes on its link, each way. */
  readonly latency: number;
  /** @internal What its link does to packets. */
  faults?: NonNullable<Attachment['faults']>;
  /** Called with ICMP errors that arrive, as packets. */
  onIcmpError: ((packet: Uint8Array) => void) | null = null;
  private readonly clock: VirtualClock;
  private readonly segment: Segment;
  private readonly sockets = new Map<number, UdpSocket>();
  private readonly listeners = new Map<number, TcpListener>();
  private readonly connections = new Map<string, TcpConnection>();
  private nextPort = FIRST_EPHEMERAL;
  private nextIsn = 1000;
  private nextId = 1;

  /** @internal */
  constructor(clock: VirtualClock, segment: Segment, address: number, latency: number) {
    this.clock = clock;
    this.segment = segment;
    this.address = formatAddress(address);
    this.latency = latency;
    segment.attach(address, this);
  }

  /** Opens a UDP socket, on a free port if none is named. Throws NatgateError `port_in_use`. */
  udp(port = 0, onMessage: UdpListener | null = null): UdpSocket {
    const bound = port === 0 ? this.freePort((candidate) => this.sockets.has(candidate)) : port;
    if (this.sockets.has(bound)) throw inUse(`UDP port ${bound} of ${this.address}`);
    const socket = new UdpSocket(
      `${this.address}:${bound}`,
      (to, payload, ttl) => {
        this.send(udpPacket({ from: socket.endpoint, to, payload, ttl, id: this.nextId++ & 0xffff }));
      },
      () => this.sockets.delete(bound),
    );
    socket.onMessage = onMessage;
    this.sockets.set(bound, socket);
    return socket;
  }

  /** Accepts TCP connections on a port. Throws NatgateError `port_in_use`. Returns what ends that. */
  listen(port: number, onConnection: TcpListener): () => void {
    if (this.listeners.has(port)) throw inUse(`TCP port ${port} of ${this.address}`);
    this.listeners.set(port, onConnection);
    return () => {
      this.listeners.delete(port);
    };
  }

  /**
   * Begins a TCP connection, from a free port if none is named. When the other end does the same at the same time, they meet
   * in the middle. Throws NatgateError `port_in_use` when this very connection is open already.
   */
  connect(to: string, port = 0): TcpConnection {
    endpoint(to);
    const from = port === 0 ? this.freePort((candidate) => this.isOpen(candidate, to)) : port;
    if (this.isOpen(from, to)) throw inUse(`the connection from port ${from} of ${this.address} to ${to}`);
    return this.connection(from, to);
  }

  /** @internal A packet has arrived. */
  deliver(packet: Uint8Array): void {
    if (!isSound(packet)) return;
    const fields = readPacket(packet);
    if (fields.to.split(':')[0] !== this.address) return;
    if (fields.protocol === PROTO_UDP) this.deliverUdp(fields, packet);
    else if (fields.protocol === PROTO_TCP) this.deliverTcp(fields);
    else if (fields.protocol === PROTO_ICMP) this.deliverIcmp(fields, packet);
  }

  private deliverUdp({ from, to, payload }: PacketFields, packet: Uint8Array): void {
    const socket = this.sockets.get(endpoint(to).port);
    if (socket !== undefined) {
      const data = payload.slice();
      socket.deliver({ from, data, text: new TextDecoder().decode(data) });
    } else {
      const [address = ''] = from.split(':');
      this.send(icmpError({ from: this.address, to: address, type: 3, code: 3, packet }));
    }
  }

  private deliverTcp(fields: PacketFields): void {
    const { from, to, flags } = fields;
    const { port } = endpoint(to);
    const connection = this.connections.get(`${port} ${from}`);
    const listener = this.listeners.get(port);
    const isSyn = flags.includes('S') && !flags.includes('A') && !flags.includes('R');
    const isOver = connection?.state === 'CLOSED' || (connection?.state === 'TIME_WAIT' && isSyn);
    if (connection !== undefined && !isOver) connection.receive(fields);
    else if (listener !== undefined && isSyn) listener(this.connection(port, from, fields));
    else if (!flags.includes('R')) this.reset(fields);
  }

  private deliverIcmp({ type, from, payload }: PacketFields, packet: Uint8Array): void {
    if (type === 8) this.send(icmpPacket({ from: this.address, to: from, type: 0, code: 0, body: payload }));
    else if (type !== 0) this.onIcmpError?.(packet);
  }

  private connection(port: number, remote: string, syn?: PacketFields): TcpConnection {
    const local = `${this.address}:${port}`;
    this.nextIsn += 64_000;
    const transmit = ({ payload, ...segment }: TcpSegment) =>
      this.send(tcpPacket({ from: local, to: remote, ...segment, payload, id: this.nextId++ & 0xffff }));
    const connection = new TcpConnection(this.clock, local, remote, this.nextIsn, transmit, syn);
    this.connections.set(`${port} ${remote}`, connection);
    return connection;
  }

  /** The answer to a segment of no connection (RFC 9293 3.10.7.1). */
  private reset({ from, to, flags, seq, ack, payload }: PacketFields): void {
    const length = payload.length + (/[SF]/.test(flags) ? 1 : 0);
    const answer = flags.includes('A')
      ? { flags: 'R', seq: ack }
      : { flags: 'RA', seq: 0, ack: (seq + length) >>> 0 };
    this.send(tcpPacket({ from: to, to: from, ...answer }));
  }

  private send(packet: Uint8Array): void {
    this.segment.send(packet, this);
  }

  private isOpen(port: number, to: string): boolean {
    const connection = this.connections.get(`${port} ${to}`);
    return connection !== undefined && connection.end === '';
  }

  private freePort(isTaken: (port: number) => boolean): number {
    for (let tried = FIRST_EPHEMERAL; tried < 65536; tried++) {
      const port = this.nextPort;
      this.nextPort = port === 65535 ? FIRST_EPHEMERAL : port + 1;
      if (!isTaken(port)) return port;
    }
    throw inUse(`every ephemeral port of ${this.address}`);
  }
}

function inUse(what: string): NatgateError {
  return new NatgateError('port_in_use', `${what} is in use`, 'close what uses it, or take another port');
}

/** Whether a packet is whole and undamaged: what a host's IP, TCP and UDP ask before they look at it (RFC 1122 3.2.1.1, 3.2.1.2). */
function isSound(packet: Uint8Array): boolean {
  if (packet.length < IP_HEADER || packet[0]! >> 4 !== 4) return false;
  const header = headerLength(packet, 0);
  const length = be16(packet, IP_LENGTH);
  return header >= IP_HEADER && header <= length && length === packet.length && verifyChecksums(packet);
}
