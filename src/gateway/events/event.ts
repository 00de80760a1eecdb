/**
 * Events as programs get them: plain objects, of which a line of JSON is made. docs/events.md shows one of each.
 *
 * `time` is when it happened, ISO 8601 with milliseconds, by the gateway's wall clock. Addresses are texts, ports and ids numbers.
 */
import type { EventClass } from './options.ts';

export interface TupleOfEvent {
  src: string;
  dst: string;
  /** Of ICMP queries the id. */
  sport: number;
  dport: number;
  icmpType?: number;
  icmpCode?: number;
}

export interface BothWays {
  original: number;
  reply: number;
}

interface FlowEvent {
  time: string;
  /** Names the flow: never used for another one. */
  id: string;
  protocol: string;
  /** Who began it: `out` a private host, `in` somebody outside, `inside` a private host, towards another. */
  direction: 'out' | 'in' | 'inside';
  /** The private host; that which began the flow, where both are. */
  host: string;
  /** Its name, where it has one. */
  client?: string;
  /** NAT rule. */
  rule: string;
  original: TupleOfEvent;
  reply: TupleOfEvent;
}

export interface FlowBegin extends FlowEvent {
  event: 'flow_begin';
}

/** The flow goes by another external address from now on. */
export interface FlowMoved extends FlowEvent {
  event: 'flow_moved';
}

export interface FlowEnd extends FlowEvent {
  event: 'flow_end';
  began: string;
  seconds: number;
  packets: BothWays;
  /** Of IPv4 packets. */
  bytes: BothWays;
  /** Of TCP and SCTP: the state it was in. */
  state?: string;
  /** end-reasons.ts */
  why: string;
}

interface MappingEvent {
  time: string;
  protocol: string;
  host: string;
  client?: string;
  /** Of the host; of ICMP the id. */
  port: number;
  external: string;
  externalPort: number;
  /** Only towards this one, where the mapping depends on it. */
  remote?: string;
  remotePort?: number;
  rule: string;
}

export interface MappingBegin extends MappingEvent {
  event: 'mapping_begin';
}

export interface MappingEnd extends MappingEvent {
  event: 'mapping_end';
  began: string;
  why: string;
}

interface BlockEvent {
  time: string;
  host: string;
  client?: string;
  external: string;
  first: number;
  last: number;
  rule: string;
}

export interface BlockBegin extends BlockEvent {
  event: 'block_begin';
}

export interface BlockEnd extends BlockEvent {
  event: 'block_end';
  began: string;
  why: string;
}

/** Something ran out: ports, external addresses, the flow table (`exhausted`); or a host has all that it may have (`quota`). */
export interface Refused {
  time: string;
  event: 'exhausted' | 'quota';
  /** Drop reason (docs/drop-reasons.md). */
  reason: string;
  /** Null: several, too many to tell of each. */
  host: string | null;
  client?: string;
  rule: string;
  /** Flows refused since the event before about the same. */
  count: number;
}

export interface AddressChanged {
  time: string;
  event: 'address';
  interface: string;
  /** Null: none. */
  before: string | null;
  after: string | null;
}

export interface Reloaded {
  time: string;
  event: 'reload';
  applied: boolean;
  /** What is different, or why nothing is. */
  text: string;
  ended: number;
  kept: number;
}

export interface EngineChanged {
  time: string;
  event: 'engine';
  /**
   * `started`: the gateway is up; `died`, `restarted`: the engine process; `forgotten`: its state was thrown away; `stopping`: the
   * gateway goes, `lingering`: and its flows stay for a while.
   */
  what: 'started' | 'died' | 'restarted' | 'forgotten' | 'stopping' | 'lingering';
  /** `started`: whether flows of an earlier run go on. Where it is false, whatever was open in a log has ended. */
  adopted?: boolean;
  text?: string;
}

/** Events are missing here: exactly so many. */
export interface Gap {
  time: string;
  event: 'gap';
  lost: number;
  /** Who did not keep up: the reader of a worker's ring, or this receiver. */
  where: 'ring' | 'receiver';
  /** Of the ring. */
  worker?: number;
}

export type RingEvent =
  | FlowBegin
  | FlowMoved
  | FlowEnd
  | MappingBegin
  | MappingEnd
  | BlockBegin
  | BlockEnd
  | Refused;
export type HostEvent = AddressChanged | Reloaded | EngineChanged;
export type GatewayEvent = RingEvent | HostEvent | Gap;

const CLASSES: Readonly<Record<Exclude<GatewayEvent['event'], 'gap'>, EventClass>> = {
  flow_begin: 'flow',
  flow_moved: 'flow',
  flow_end: 'flow',
  mapping_begin: 'mapping',
  mapping_end: 'mapping',
  block_begin: 'block',
  block_end: 'block',
  exhausted: 'exhausted',
  quota: 'quota',
  address: 'address',
  reload: 'reload',
  engine: 'engine',
};

/** Null: a gap, which all get. */
export function classOf({ event }: GatewayEvent): EventClass | null {
  return event === 'gap' ? null : CLASSES[event];
}
