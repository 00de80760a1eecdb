/**
 * How long a flow may be silent, in seconds, by protocol and state, and by what else the trackers know of it (timers).
 *
 * Two sets: netfilter's (net/netfilter/nf_conntrack_proto_*.c), and one that meets the RFCs where netfilter's do not. The
 * table holds milliseconds, indexed by what H_STATUS says of a flow: protocol, state, timer.
 */
import { NatgateError } from '../core/errors.ts';
import { PROTO_GRE, PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { STATE_SHIFT, TIMEOUT_MASK, TIMER_SHIFT } from './flow-table.ts';
import * as sctp from './sctp-states.ts';
import {
  CLOSE,
  CLOSE_WAIT,
  ESTABLISHED,
  FIN_WAIT,
  LAST_ACK,
  SYN_RECV,
  SYN_SENT,
  SYN_SENT2,
  TCP_STATES,
  TIME_WAIT,
} from './tcp-states.ts';

/** Seconds of silence after which a flow ends, by protocol and state. */
export interface Timeouts {
  /** A SYN was sent. */
  tcpSynSent: number;
  /** It was answered. */
  tcpSynRecv: number;
  /** The handshake is complete. */
  tcpEstablished: number;
  /** One side has sent a FIN. */
  tcpFinWait: number;
  /** The FIN was acknowledged. */
  tcpCloseWait: number;
  /** Both sides have sent a FIN. */
  tcpLastAck: number;
  /** The last FIN was acknowledged. */
  tcpTimeWait: number;
  /** A RST was sent. */
  tcpClose: number;
  /** At most this, when the same segment came again and again, or the window is shut. */
  tcpMaxRetrans: number;
  /** At most this, while data is not acknowledged. */
  tcpUnacknowledged: number;
  /** At most this, when picked up from its middle and not answered yet. */
  tcpUnreplied: number;
  /** Until a flow that is old enough has seen a reply. */
  udp: number;
  /** UDP that has been answered, and went on. */
  udpStream: number;
  /** A flow to port 53 that has been answered (RFC 4787 REQ-5a); 0: as any other. */
  udpDns: number;
  /** A UDP flow on which a helper waits for requests (SIP). */
  udpSignalling: number;
  /** ICMP queries. */
  icmp: number;
  /** GRE that has not been answered. */
  gre: number;
  /** GRE that has been answered. */
  greStream: number;
  /** SCTP, by netfilter’s states: CLOSED. */
  sctpClosed: number;
  /** INIT was sent. */
  sctpCookieWait: number;
  /** COOKIE ECHO was sent. */
  sctpCookieEchoed: number;
  /** The association is up. */
  sctpEstablished: number;
  /** SHUTDOWN was sent by the original side. */
  sctpShutdownSent: number;
  /** SHUTDOWN was sent by the reply side. */
  sctpShutdownRecd: number;
  /** SHUTDOWN was acknowledged. */
  sctpShutdownAckSent: number;
  /** A second path of an association, by HEARTBEAT. */
  sctpHeartbeatSent: number;
  /** Protocols without a timeout of their own. */
  generic: number;
}

/** As a kernel with netfilter has them. */
export const netfilterTimeouts: Readonly<Timeouts> = {
  tcpSynSent: 120,
  tcpSynRecv: 60,
  tcpEstablished: 432_000,
  tcpFinWait: 120,
  tcpCloseWait: 60,
  tcpLastAck: 30,
  tcpTimeWait: 120,
  tcpClose: 10,
  tcpMaxRetrans: 300,
  tcpUnacknowledged: 300,
  tcpUnreplied: 300,
  udp: 30,
  udpStream: 120,
  udpDns: 0,
  udpSignalling: 3600,
  icmp: 30,
  gre: 30,
  greStream: 180,
  sctpClosed: 10,
  sctpCookieWait: 3,
  sctpCookieEchoed: 3,
  sctpEstablished: 210,
  sctpShutdownSent: 3,
  sctpShutdownRecd: 3,
  sctpShutdownAckSent: 3,
  sctpHeartbeatSent: 30,
  generic: 600,
};

/** What trackers use unless told otherwise. */
export const defaultTimeouts = netfilterTimeouts;

/**
 * As the RFCs want them: TCP established at least 2 h 4 min whatever is outstanding, transitory 4 min (RFC 5382 REQ-5), also after a RST
 * (RFC 7857 2.2); UDP 5 min (RFC 4787 REQ-5), DNS 10 s after its answer (REQ-5a); ICMP 60 s (RFC 5508 REQ-2).
 */
export const rfcTimeouts: Readonly<Timeouts> = {
  ...netfilterTimeouts,
  tcpSynSent: 240,
  tcpSynRecv: 240,
  tcpFinWait: 240,
  tcpCloseWait: 240,
  tcpLastAck: 240,
  tcpTimeWait: 240,
  tcpClose: 240,
  tcpMaxRetrans: 7440,
  tcpUnacknowledged: 7440,
  tcpUnreplied: 240,
  udp: 300,
  udpStream: 300,
  udpDns: 10,
  icmp: 60,
  gre: 180,
};

/** A UDP flow counts as a stream when it still is in use this long after its first packet. */
export const UDP_STREAM_AGE_MS = 2000;

/** UDP and GRE flows have one of these states in H_STATUS; protocols without states have 0. */
export const UDP_SINGLE = 0;
export const UDP_STREAM = 1;
/** To port 53, and answered. */
export const UDP_DNS = 2;
/** A bit, so that it stays one when such a flow becomes a stream. */
export const UDP_SIGNALLING = 4;

/** Timers of TCP flows, by TIMER_SHIFT within H_STATUS: what bounds the timeout of the state. */
export const TIMER_STATE = 0;
export const TIMER_RETRANS = 1;
export const TIMER_UNACKNOWLEDGED = 2;
/** A RST that did not close: as in CLOSE. */
export const TIMER_RST = 3;
export const TIMER_UNREPLIED = 4;

/** The same ACK segment so often, and TIMER_RETRANS holds (`nf_conntrack_tcp_max_retrans`). */
export const MAX_RETRANS = 3;

/** First cell of each protocol: TCP has 16 states × 8 timers, others 16 states. */
const TCP_ROW = 0;
const UDP_ROW = 128;
const ICMP_ROW = 144;
const GRE_ROW = 160;
const SCTP_ROW = 176;
const GENERIC_ROW = 192;
/** Every protocol, state and timer has a cell, those that mean nothing too: a damaged state may hold them. */
const CELLS = GENERIC_ROW + 128;
const rows = new Uint8Array(256).fill(GENERIC_ROW);
rows[PROTO_TCP] = TCP_ROW;
rows[PROTO_UDP] = UDP_ROW;
rows[PROTO_ICMP] = ICMP_ROW;
rows[PROTO_GRE] = GRE_ROW;
rows[PROTO_SCTP] = SCTP_ROW;

/** Times are int32 milliseconds, so a difference of 24 days has no sign any more. */
const MAX_SECONDS = 2_000_000;

export class TimeoutTable {
  /** Whether answered flows to port 53 end early. */
  dns = false;
  /**
   * The nearest deadline, in ms, that a TCP flow may get at any packet: with the timers of data, which come and go with every packet.
   * A flow that is looked at this often needs no new place in the wheel for them (tracker.ts).
   */
  tcpLook = 0;
  /** Per TCP state, bit 1 << timer for each timer that is nearer than the state's own timeout. */
  readonly tcpNearer = new Uint8Array(16);
  private readonly ms = new Int32Array(CELLS);

  /** Throws NatgateError `bad_timeout`. */
  constructor(timeouts: Timeouts) {
    this.replace(timeouts);
  }

  /** Others hold from now on; whether they differ. Throws NatgateError `bad_timeout`, and nothing has changed. */
  replace(timeouts: Timeouts): boolean {
    for (const [name, seconds] of Object.entries(timeouts)) {
      if ((seconds > 0 && seconds <= MAX_SECONDS) || (name === 'udpDns' && seconds === 0)) continue;
      throw new NatgateError(
        'bad_timeout',
        `timeout ${name} is ${seconds} s`,
        `it must be above 0 and at most ${MAX_SECONDS} s`,
      );
    }
    const before = this.ms.slice();
    this.tcpNearer.fill(0);
    this.dns = timeouts.udpDns > 0;
    this.tcpLook = Math.min(timeouts.tcpMaxRetrans, timeouts.tcpUnacknowledged, timeouts.tcpUnreplied) * 1000;
    this.fillTcp(timeouts);
    this.fill(UDP_ROW, [
      [UDP_SINGLE, timeouts.udp],
      [UDP_STREAM, timeouts.udpStream],
      [UDP_DNS, timeouts.udpDns],
      ...[UDP_SINGLE, UDP_STREAM, UDP_DNS].map((state): [number, number] => [
        state | UDP_SIGNALLING,
        timeouts.udpSignalling,
      ]),
    ]);
    this.fill(ICMP_ROW, [[0, timeouts.icmp]]);
    this.fill(GRE_ROW, [
      [UDP_SINGLE, timeouts.gre],
      [UDP_STREAM, timeouts.greStream],
    ]);
    this.fill(SCTP_ROW, [
      [sctp.SCTP_NONE, timeouts.sctpClosed],
      [sctp.SCTP_CLOSED, timeouts.sctpClosed],
      [sctp.SCTP_COOKIE_WAIT, timeouts.sctpCookieWait],
      [sctp.SCTP_COOKIE_ECHOED, timeouts.sctpCookieEchoed],
      [sctp.SCTP_ESTABLISHED, timeouts.sctpEstablished],
      [sctp.SCTP_SHUTDOWN_SENT, timeouts.sctpShutdownSent],
      [sctp.SCTP_SHUTDOWN_RECD, timeouts.sctpShutdownRecd],
      [sctp.SCTP_SHUTDOWN_ACK_SENT, timeouts.sctpShutdownAckSent],
      [sctp.SCTP_HEARTBEAT_SENT, timeouts.sctpHeartbeatSent],
    ]);
    this.fill(GENERIC_ROW, [[0, timeouts.generic]]);
    return this.ms.some((ms, i) => ms !== before[i]);
  }

  /** Milliseconds of silence after which a flow of this protocol and state ends. `state`: with a timer, state | timer << 4. */
  of(protocol: number, state: number): number {
    return this.ms[rows[protocol]! + state]!;
  }

  /** The same for a flow whose word H_STATUS is `status`. */
  ofStatus(status: number): number {
    return this.ms[rows[status & 0xff]! + ((status & TIMEOUT_MASK) >>> STATE_SHIFT)]!;
  }

  private fillTcp(timeouts: Timeouts): void {
    this.fill(TCP_ROW, [
      [SYN_SENT, timeouts.tcpSynSent],
      [SYN_RECV, timeouts.tcpSynRecv],
      [ESTABLISHED, timeouts.tcpEstablished],
      [FIN_WAIT, timeouts.tcpFinWait],
      [CLOSE_WAIT, timeouts.tcpCloseWait],
      [LAST_ACK, timeouts.tcpLastAck],
      [TIME_WAIT, timeouts.tcpTimeWait],
      [CLOSE, timeouts.tcpClose],
      [SYN_SENT2, timeouts.tcpSynSent],
    ]);
    const bounds: [number, number][] = [
      [TIMER_RETRANS, timeouts.tcpMaxRetrans],
      [TIMER_UNACKNOWLEDGED, timeouts.tcpUnacknowledged],
      [TIMER_RST, timeouts.tcpClose],
      [TIMER_UNREPLIED, timeouts.tcpUnreplied],
    ];
    for (const [timer, seconds] of bounds) {
      for (let state = 0; state < TCP_STATES; state++) {
        const own = this.ms[TCP_ROW + state]!;
        // A RST sets the timer, whatever the state has; the others only shorten it.
        const ms = timer === TIMER_RST ? seconds * 1000 : Math.min(own, seconds * 1000);
        this.ms[TCP_ROW + state + (timer << (TIMER_SHIFT - STATE_SHIFT))] = ms;
        if (ms < own) this.tcpNearer[state]! |= 1 << timer;
      }
    }
  }

  private fill(row: number, states: [number, number][]): void {
    for (const [state, seconds] of states) this.ms[row + state] = seconds * 1000;
  }
}
