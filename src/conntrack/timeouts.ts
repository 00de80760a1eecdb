/**
 * How long a flow may be silent, in seconds, by protocol and state. Defaults are netfilter's
 * (net/netfilter/nf_conntrack_proto_*.c).
 */
import { NatgateError } from '../core/errors.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import {
  CLOSE,
  CLOSE_WAIT,
  ESTABLISHED,
  FIN_WAIT,
  LAST_ACK,
  SYN_RECV,
  SYN_SENT,
  SYN_SENT2,
  TIME_WAIT,
} from './tcp-states.ts';

export interface Timeouts {
  tcpSynSent: number;
  tcpSynRecv: number;
  tcpEstablished: number;
  tcpFinWait: number;
  tcpCloseWait: number;
  tcpLastAck: number;
  tcpTimeWait: number;
  tcpClose: number;
  /** Until a flow that is old enough has seen a reply. */
  udp: number;
  udpStream: number;
  /** A UDP flow on which a helper waits for requests (SIP). */
  udpSignalling: number;
  icmp: number;
  generic: number;
}

export const defaultTimeouts: Readonly<Timeouts> = {
  tcpSynSent: 120,
  tcpSynRecv: 60,
  tcpEstablished: 432_000,
  tcpFinWait: 120,
  tcpCloseWait: 60,
  tcpLastAck: 30,
  tcpTimeWait: 120,
  tcpClose: 10,
  udp: 30,
  udpStream: 120,
  udpSignalling: 3600,
  icmp: 30,
  generic: 600,
};

/** A UDP flow counts as a stream when it still is in use this long after its first packet. */
export const UDP_STREAM_AGE_MS = 2000;

/** UDP flows have one of these states in H_STATUS; other protocols than TCP have 0. */
export const UDP_SINGLE = 0;
export const UDP_STREAM = 1;
/** A bit, so that it stays one when such a flow becomes a stream. */
export const UDP_SIGNALLING = 2;

/** Rows of the timeout table: TCP states, UDP states, ICMP, generic. 16 states each. */
function row(protocol: number): number {
  return protocol === PROTO_TCP ? 0 : protocol === PROTO_UDP ? 16 : protocol === PROTO_ICMP ? 32 : 48;
}

/** Times are int32 milliseconds, so a difference of 24 days has no sign any more. */
const MAX_SECONDS = 2_000_000;

export class TimeoutTable {
  private readonly ms = new Int32Array(64);

  /** Throws NatgateError `bad_timeout`. */
  constructor(timeouts: Timeouts) {
    for (const [name, seconds] of Object.entries(timeouts)) {
      if (seconds > 0 && seconds <= MAX_SECONDS) continue;
      throw new NatgateError(
        'bad_timeout',
        `timeout ${name} is ${seconds} s`,
        `it must be above 0 and at most ${MAX_SECONDS} s`,
      );
    }
    const tcp: [number, number][] = [
      [SYN_SENT, timeouts.tcpSynSent],
      [SYN_RECV, timeouts.tcpSynRecv],
      [ESTABLISHED, timeouts.tcpEstablished],
      [FIN_WAIT, timeouts.tcpFinWait],
      [CLOSE_WAIT, timeouts.tcpCloseWait],
      [LAST_ACK, timeouts.tcpLastAck],
      [TIME_WAIT, timeouts.tcpTimeWait],
      [CLOSE, timeouts.tcpClose],
      [SYN_SENT2, timeouts.tcpSynSent],
    ];
    for (const [state, seconds] of tcp) this.ms[state] = seconds * 1000;
    this.ms[row(PROTO_UDP) + UDP_SINGLE] = timeouts.udp * 1000;
    this.ms[row(PROTO_UDP) + UDP_STREAM] = timeouts.udpStream * 1000;
    this.ms[row(PROTO_UDP) + UDP_SIGNALLING] = timeouts.udpSignalling * 1000;
    this.ms[row(PROTO_UDP) + (UDP_SIGNALLING | UDP_STREAM)] = timeouts.udpSignalling * 1000;
    this.ms[row(PROTO_ICMP)] = timeouts.icmp * 1000;
    this.ms[row(255)] = timeouts.generic * 1000;
  }

  /** Milliseconds of silence after which a flow of this protocol and state ends. */
  of(protocol: number, state: number): number {
    return this.ms[row(protocol) + state]!;
  }
}
