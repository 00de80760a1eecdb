/**
 * TCP as far as tests of NAT traversal need it (RFC 9293): handshake, simultaneous open, data in order, retransmission,
 * close, reset. One RTO that doubles, go-back-N, no congestion control, no options; all deterministic.
 *
 * Segments that are sent and not acknowledged are in `flight`, oldest first; while there is one, a timer runs. What the user
 * has sent beyond the window waits in `waiting`. A peer that closes is answered by closing: there is no half-open state to
 * look after.
 */
import type { PacketFields } from './read-packet.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** States of a connection (RFC 9293 3.3.2). */
export type TcpState =
  | 'SYN_SENT'
  | 'SYN_RECEIVED'
  | 'ESTABLISHED'
  | 'FIN_WAIT_1'
  | 'FIN_WAIT_2'
  | 'CLOSING'
  | 'LAST_ACK'
  | 'TIME_WAIT'
  | 'CLOSED';

/** Why a connection is over: not yet; closed by both; RST on SYN; RST later; no answer to retransmissions. */
export type TcpEnd = '' | 'closed' | 'refused' | 'reset' | 'timed out';

/** What a connection sends. */
export interface TcpSegment {
  flags: string;
  seq: number;
  ack: number;
  payload: Uint8Array;
}

const RTO_MS = 1000;
const MAX_TRIES = 6;
const MAX_SEGMENT = 1400;
/** Never more in flight than the 65535 that packets say is the window. */
const WINDOW = 60_000;
const NOTHING = new Uint8Array(0);

/** Sequence numbers: a - b, signed. */
function distance(a: number, b: number): number {
  return (a - b) | 0;
}

/** One end of a TCP connection. */
export class TcpConnection {
  /** `address:port` here, as this host knows it. */
  readonly local: string;
  /** `address:port` of the other end, as it is seen from here. */
  readonly remote: string;
  /** State of the protocol. */
  state: TcpState;
  /** Why it is over; empty before. */
  end: TcpEnd = '';
  /** Called when it is established. */
  onConnect: ((connection: TcpConnection) => void) | null = null;
  /** Called with what arrives, in order. */
  onData: ((data: Uint8Array, connection: TcpConnection) => void) | null = null;
  /** Called when it is over. */
  onEnd: ((end: TcpEnd, connection: TcpConnection) => void) | null = null;
  private readonly chunks: Uint8Array[] = [];
  private readonly clock: VirtualClock;
  private readonly transmit: (segment: TcpSegment) => void;
  private readonly flight: TcpSegment[] = [];
  private readonly waiting: TcpSegment[] = [];
  private stopTimer: (() => void) | null = null;
  private tries = 0;
  /** close() was called. */
  private closing = false;
  private next: number;
  private expected = 0;

  /** @internal `syn`: the peer's first segment, of a connection that came in. */
  constructor(
    clock: VirtualClock,
    local: string,
    remote: string,
    isn: number,
    transmit: (segment: TcpSegment) => void,
    syn?: PacketFields,
  ) {
    this.clock = clock;
    this.local = local;
    this.remote = remote;
    this.next = isn;
    this.transmit = transmit;
    this.state = syn === undefined ? 'SYN_SENT' : 'SYN_RECEIVED';
    if (syn !== undefined) this.expected = (syn.seq + 1) >>> 0;
    this.queue(syn === undefined ? 'S' : 'SA', NOTHING);
  }

  /** All that has arrived, as text. */
  get text(): string {
    return this.chunks.map((chunk) => new TextDecoder().decode(chunk)).join('');
  }

  /** Whether data can be sent and received. */
  get established(): boolean {
    return this.state === 'ESTABLISHED';
  }

  /** Sends data, as soon as there is a connection. What is sent when it is over is lost. */
  send(data: Uint8Array | string): void {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    for (let at = 0; at < bytes.length; at += MAX_SEGMENT) {
      this.queue('PA', bytes.slice(at, at + MAX_SEGMENT));
    }
  }

  /** Ends it in good order, behind what was sent. */
  close(): void {
    this.closing = true;
    if (this.state === 'SYN_SENT') this.finish('closed');
    else if (this.state === 'ESTABLISHED') {
      this.state = 'FIN_WAIT_1';
      this.queue('FA', NOTHING);
    }
  }

  /** Ends it at once, with a RST. */
  abort(): void {
    if (this.end !== '') return;
    if (this.state !== 'SYN_SENT') {
      this.transmit({ flags: 'RA', seq: this.next, ack: this.expected, payload: NOTHING });
    }
    this.finish('reset');
  }

  /** @internal A segment has arrived. */
  receive(segment: PacketFields): void {
    const has = (flag: string) => segment.flags.includes(flag);
    const acceptable = has('A') && distance(segment.ack, this.next) === 0;
    if (has('R')) {
      if (this.state === 'SYN_SENT' ? acceptable : segment.seq === this.expected) {
        this.finish(this.state === 'SYN_SENT' || this.state === 'SYN_RECEIVED' ? 'refused' : 'reset');
      }
    } else if (this.state === 'SYN_SENT') {
      this.receiveFirst(segment, acceptable);
    } else if (has('S')) {
      // The other end of a simultaneous open, or one that has not heard our answer.
      if (this.state === 'SYN_RECEIVED' && !has('A')) this.retransmit();
      else {
        if (this.state === 'SYN_RECEIVED' && acceptable) this.acknowledge(segment.ack);
        this.sendAck();
      }
    } else if (has('A')) {
      this.acknowledge(segment.ack);
      this.accept(segment);
    }
  }

  private receiveFirst(segment: PacketFields, acceptable: boolean): void {
    const { flags, seq, ack } = segment;
    if (flags.includes('A') && !acceptable) {
      this.transmit({ flags: 'R', seq: ack, ack: 0, payload: NOTHING });
      return;
    }
    if (!flags.includes('S')) return;
    this.expected = (seq + 1) >>> 0;
    if (acceptable) {
      this.acknowledge(ack);
      this.sendAck();
      return;
    }
    this.state = 'SYN_RECEIVED';
    this.flight[0]!.flags = 'SA';
    this.retransmit();
  }

  /** Takes what is acknowledged out of flight. */
  private acknowledge(ack: number): void {
    if (distance(ack, this.next) > 0) return;
    let done = 0;
    while (done < this.flight.length && distance(endOf(this.flight[done]!), ack) <= 0) done++;
    if (done === 0) return;
    this.flight.splice(0, done);
    this.tries = 0;
    this.restartTimer();
    if (this.state === 'SYN_SENT' || this.state === 'SYN_RECEIVED') {
      this.state = 'ESTABLISHED';
      this.onConnect?.(this);
      if (this.closing) this.close();
    } else if (this.flight.length === 0 && this.waiting.length === 0) {
      if (this.state === 'FIN_WAIT_1') this.state = 'FIN_WAIT_2';
      else if (this.state === 'CLOSING') this.finish('closed', 'TIME_WAIT');
      else if (this.state === 'LAST_ACK') this.finish('closed');
    }
    this.pump();
  }

  /** Takes what is next in order; everything else is only acknowledged, so that it is sent again. */
  private accept({ seq, flags, payload }: PacketFields): void {
    const fin = flags.includes('F');
    if (payload.length === 0 && !fin) return;
    if (seq === this.expected && this.state !== 'TIME_WAIT' && this.state !== 'CLOSED') {
      this.expected = (seq + payload.length + (fin ? 1 : 0)) >>> 0;
      this.sendAck();
      if (payload.length > 0) {
        this.chunks.push(payload.slice());
        this.onData?.(payload.slice(), this);
      }
      if (fin) this.peerClosed();
    } else {
      this.sendAck();
    }
  }

  private peerClosed(): void {
    if (this.state === 'FIN_WAIT_2') this.finish('closed', 'TIME_WAIT');
    else if (this.state === 'FIN_WAIT_1') this.state = 'CLOSING';
    else if (this.state === 'ESTABLISHED') {
      this.state = 'LAST_ACK';
      this.queue('FA', NOTHING);
    }
  }

  private queue(flags: string, payload: Uint8Array): void {
    if (this.end !== '') return;
    this.waiting.push({ flags, seq: 0, ack: 0, payload });
    this.pump();
  }

  /** Sends what waits, as far as state and window allow. */
  private pump(): void {
    while (this.waiting.length > 0) {
      const segment = this.waiting[0]!;
      const opening = segment.flags.startsWith('S');
      if (!opening && (this.state === 'SYN_SENT' || this.state === 'SYN_RECEIVED')) return;
      const oldest = this.flight[0]?.seq ?? this.next;
      if (distance(this.next, oldest) + segment.payload.length > WINDOW) return;
      this.waiting.shift();
      segment.seq = this.next;
      this.next = endOf(segment);
      this.flight.push(segment);
      if (this.flight.length === 1) this.restartTimer();
      this.transmit({ ...segment, ack: this.ackOf(segment) });
    }
  }

  private sendAck(): void {
    this.transmit({ flags: 'A', seq: this.next, ack: this.expected, payload: NOTHING });
  }

  private ackOf(segment: TcpSegment): number {
    return segment.flags.includes('A') ? this.expected : 0;
  }

  private retransmit(): void {
    for (const segment of this.flight) this.transmit({ ...segment, ack: this.ackOf(segment) });
  }

  private restartTimer(): void {
    this.stopTimer?.();
    this.stopTimer = null;
    if (this.flight.length === 0) return;
    this.stopTimer = this.clock.after(RTO_MS << this.tries, () => {
      this.tries++;
      if (this.tries === MAX_TRIES) return this.finish('timed out');
      this.retransmit();
      this.restartTimer();
    });
  }

  private finish(end: TcpEnd, state: TcpState = 'CLOSED'): void {
    if (this.end !== '') return;
    this.stopTimer?.();
    this.flight.length = this.waiting.length = 0;
    this.state = state;
    this.end = end;
    this.onEnd?.(end, this);
  }
}

/** The sequence number behind a segment: SYN and FIN count one. */
function endOf({ seq, flags, payload }: TcpSegment): number {
  return (seq + payload.length + (/[SF]/.test(flags) ? 1 : 0)) >>> 0;
}
