/**
 * Events as programs get them: plain objects, of which a line of JSON is made. docs/events.md shows one of each.
 *
 * `time` is when it happened, ISO 8601 with milliseconds, by the gateway's wall clock. Addresses are texts, ports and ids numbers.
 */
import type { FlowJson } from '../observe/flow-json.ts';
import type { EventClass } from './options.ts';

/**
 * A flow as `GET /v1/flows` gives it, at the time of the event. Its id is that of its beginning: `worker.number.life`, the same in all
 * events of a flow, also after it has moved.
 */
interface FlowEvent extends Omit<FlowJson, 'timeoutSeconds' | 'idleSeconds'> {
  time: string;
}

export interface FlowBegin extends FlowEvent {
  event: 'begin';
}

/** The flow goes by another external address from now on. */
export interface FlowMoved extends FlowEvent {
  event: 'moved';
}

export interface FlowEnd extends FlowEvent {
  event: 'end';
  began: string;
  /** end-reasons.ts */
  why: string;
}

interface MappingEvent {
  time: string;
  protocol: number;
  /** The private host, and its name; empty: it has none. */
  host: string;
  client: string;
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
  client: string;
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
  client: string;
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
   * `started`: the gateway is up; `died`, `restarted`: the engine process; `quarantined`: it stumbled over a packet, whose like is dropped;
   * `paused`, `continued`: somebody has stopped it, and let it go on; `forgotten`: its state was thrown away; `stopping`: the gateway
   * goes, `lingering`: and its flows stay for a while; `waiting`, `back`: a served interface; `repaired`: what somebody else had undone on
   * the host.
   */
  what:
    | 'started'
    | 'died'
    | 'restarted'
    | 'quarantined'
    | 'paused'
    | 'continued'
    | 'forgotten'
    | 'stopping'
    | 'lingering'
    | 'waiting'
    | 'back'
    | 'repaired';
  /** `started`: whether flows of an earlier run go on. Where it is false, whatever was open in a log has ended. */
  adopted?: boolean;
  text?: string;
}

/** Events are missing here: exactly so many. */
export interface Gap {
  time: string;
  event: 'gap';
  missed: number;
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
  begin: 'flow',
  moved: 'flow',
  end: 'flow',
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
