/** What goes into a `Conntrack` and what comes out of it. */
import type { FlowInfo, FlowTuple } from './flow-info.ts';
import type { TcpOptions } from './tcp-tracker.ts';
import type { Timeouts } from './timeouts.ts';

/** How a `Conntrack` is made. */
export interface ConntrackOptions {
  /** Flows that fit, default 4096. Memory is taken at once: 164 to 180 bytes a flow. */
  capacity?: number;
  /** The present, in ms; any origin. */
  now: number;
  /** Seconds of silence, where they shall differ from netfilter's. */
  timeouts?: Partial<Timeouts>;
  /** How strict TCP is taken; liberal off and loose on, as netfilter, when absent. */
  tcp?: TcpOptions;
  /** Keys of the hash; random when absent. Nothing observable depends on them. */
  seed?: readonly [number, number];
}

/** How a `Conntrack` is made from a snapshot. */
export interface RestoreOptions extends ConntrackOptions {
  /**
   * Milliseconds since the snapshot was made. By default `now` less its time, which is right when both were told by one
   * clock (`Date.now()`, say). Flows whose time is up by now are left out.
   */
  elapsed?: number;
}

/** What a packet is to its flow, in netfilter's words. */
export type ConntrackState = 'NEW' | 'ESTABLISHED' | 'RELATED' | 'INVALID';

/** What `Conntrack.track` says about a packet. */
export interface Verdict {
  /** What the packet is. */
  state: ConntrackState;
  /** Why it is INVALID: a drop reason (`invalid_tcp`, `bad_udp`, `table_full`, ...); empty otherwise. */
  reason: string;
  /** 'original' or 'reply', as the packet travels in its flow (an error: against the packet it quotes); empty when INVALID. */
  direction: 'original' | 'reply' | '';
  /** The flow as it is after the packet; null when INVALID. */
  flow: FlowInfo | null;
}

/** A tuple to look a flow up by: addresses as text or as in `FlowTuple`; a missing port, id, type or code is 0. */
export type TupleLike = Pick<Partial<FlowTuple>, 'sport' | 'dport' | 'icmpType' | 'icmpCode'> & {
  /** Source address. */
  src: string | number;
  /** Destination address. */
  dst: string | number;
};

/** Chooses flows. */
export type FlowFilter = (flow: FlowInfo) => boolean;
