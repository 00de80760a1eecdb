/**
 * What supervisor, engine process and data-plane workers say to each other: plain objects with a `type`, over the
 * IPC channel of `spawn` (structured clones: numbers may be infinite) and on to the worker by MessagePort.
 *
 *     supervisor ── start ──────────────────────▶ engine process ── workerData ──▶ worker
 *     supervisor ◀─ standby ───────────────────── engine process ◀─ loaded ────────── worker
 *     supervisor ── go ─────────────────────────▶ engine process ── as it is ───────▶ worker
 *     supervisor ◀─ ready | failed ────────────── engine process ◀─ ready | failed ── worker
 *     supervisor ── device | routes | heldPorts | neighbour | reconfigure | dns | deleteFlows | taps | stop ─▶ engine ─ as they are ─▶ worker
 *     supervisor ◀─ log | reconfigured | deletedFlows | tapped | quarantine ─ engine process ◀─ as they are ── worker
 *
 * Both ends are of one version and one machine, but the engine handles what strangers send: what it says is checked field by field
 * (message-checks.ts), what the supervisor says by its `type` only.
 */

import type { Offender } from '../../engine/offence.ts';
import type { Reconfiguration, Reconfigured } from '../../engine/reconfigure.ts';
import type { Route } from '../../engine/routes.ts';
import type { Signature } from '../../engine/signature.ts';
import type { TapFilter } from '../../engine/tap-filter.ts';
import type { HeldPorts } from '../../host/sockets.ts';
import type { DnsState } from '../../nat/dns.ts';
import type { Prefix } from '../../wire/address.ts';
import type { PortRange } from '../options.ts';
import type { Credentials } from '../user.ts';
import { isSound } from './message-checks.ts';

export { DELETED_AT_ONCE } from './message-checks.ts';

export interface DeviceSetting {
  /** Wire order (wire/address.ts); 0 while the interface has none. */
  address: number;
  /** Bytes. */
  mtu: number;
  /** Public: addresses that were its own before, and that the interface still has. */
  former?: readonly number[];
}

export interface ServedDevice extends DeviceSetting {
  side: 'private' | 'public';
  /** Of the interface. */
  name?: string;
  /** Configured: sources that may come from there. */
  networks?: readonly Prefix[];
}

/** The engine process gets these descriptors, in this order, after stdin, stdout, stderr and the IPC channel. */
export const FIRST_INHERITED_FD = 4;

/**
 * First message of the supervisor: what an engine must know to load. By the time it is told to go, much of it may be old. Descriptors: of each device a TUN queue per worker, then a state file per worker, a tap file
 * per worker, an event ring per worker, then the owned map.
 */
export interface StartMessage extends Reconfiguration {
  type: 'start';
  /** In the order of the device index: private interfaces first, the public one last. */
  devices: ServedDevice[];
  routes: Route[];
  ports: PortRange;
  held: HeldPorts;
  dns: DnsState | null;
  workers: number;
  /** That fit at each worker. */
  flows: number;
  /** Of each worker's state. */
  stateBytes: number;
  /** Key of the hashes in a new state, the same for all workers. */
  stateSeed: readonly [number, number];
  /** boot.ts */
  boot: number;
  /** Of each worker's tap file. */
  tapBytes: number;
  /** Who captures or traces. */
  taps: readonly TapFilter[];
  /** Packets that an engine has stumbled over; at most MOST_SIGNATURES. */
  quarantined: readonly Signature[];
  /** Of each worker's event ring. */
  eventBytes: number;
  ownedBytes: number;
  credentials: Credentials;
}

/** Adopt the state and forward, by these newest facts; sizes and descriptors are those of `start`. */
export interface GoMessage {
  type: 'go';
  settings: StartMessage;
}

export interface DeviceMessage {
  type: 'device';
  index: number;
  device: DeviceSetting;
}

export interface RoutesMessage {
  type: 'routes';
  routes: Route[];
}

/** Ports within the pool's range that sockets of the host hold: the whole list, each time. */
export interface HeldPortsMessage {
  type: 'heldPorts';
  protocol: 6 | 17;
  ports: number[];
}

export interface NeighbourMessage {
  type: 'neighbour';
  device: number;
  address: number;
  failed: boolean;
}

/** Another configuration; flows that it would not have end. Every worker answers. */
export interface ReconfigureMessage {
  type: 'reconfigure';
  id: number;
  to: Reconfiguration;
}

/** Other resolvers answer what private hosts ask the gateway; null: none. */
export interface DnsMessage {
  type: 'dns';
  dns: DnsState | null;
}

/** End these flows; for one worker, which answers. `flows`: pairs of a number and its H_SEQUENCE, at most DELETED_AT_ONCE. */
export interface DeleteFlowsMessage {
  type: 'deleteFlows';
  id: number;
  worker: number;
  flows: Int32Array;
}

/** Others capture or trace, or nobody. Every worker answers. */
export interface TapsMessage {
  type: 'taps';
  id: number;
  filters: readonly TapFilter[];
}

/** Finish the batch and exit with 0. */
export interface StopMessage {
  type: 'stop';
}

/** What may change while the engine runs. */
export type ControlMessage =
  | DeviceMessage
  | RoutesMessage
  | HeldPortsMessage
  | NeighbourMessage
  | ReconfigureMessage
  | DnsMessage
  | DeleteFlowsMessage
  | TapsMessage
  | StopMessage;
export type ToEngine = StartMessage | GoMessage | ControlMessage;

/** Of a worker: everything is loaded and mapped; it waits for `go`. */
export interface LoadedMessage {
  type: 'loaded';
}

/** All workers are loaded, privileges are dropped; the engine waits for `go`. */
export interface StandbyMessage {
  type: 'standby';
}

/** Of a worker: it has its flows. Of the engine: it forwards. */
export interface ReadyMessage {
  type: 'ready';
}

/** Last word of an engine that cannot go on. `errno` is set when a TUN queue broke. */
export interface FailedMessage {
  type: 'failed';
  message: string;
  errno?: number;
}

/** A line that a firewall rule has written. */
export interface LogMessage {
  type: 'log';
  line: string;
}

/** A worker has the configuration, and has ended the flows that this one would not have. */
export interface ReconfiguredMessage {
  type: 'reconfigured';
  id: number;
  result: Reconfigured;
}

/** Of those that were to end, so many were still there. */
export interface DeletedFlowsMessage {
  type: 'deletedFlows';
  id: number;
  count: number;
}

/** A worker writes down what these want. */
export interface TappedMessage {
  type: 'tapped';
  id: number;
}

/**
 * What a worker was at when it threw or got stuck; `failed` follows. One of the packets it is: the only one, or it is not known which. Of an
 * engine, so it is checked (quarantine.ts).
 */
export interface QuarantineMessage {
  type: 'quarantine';
  worker: number;
  reason: string;
  packets: Offender[];
}

export type FromEngine =
  | LoadedMessage
  | StandbyMessage
  | ReadyMessage
  | FailedMessage
  | LogMessage
  | ReconfiguredMessage
  | DeletedFlowsMessage
  | TappedMessage
  | QuarantineMessage;

const TO_ENGINE = new Set<string>([
  'start',
  'go',
  'device',
  'routes',
  'heldPorts',
  'neighbour',
  'reconfigure',
  'dns',
  'deleteFlows',
  'taps',
  'stop',
]);
const FROM_ENGINE = new Set<string>([
  'loaded',
  'standby',
  'ready',
  'failed',
  'log',
  'reconfigured',
  'deletedFlows',
  'tapped',
  'quarantine',
]);

export function isToEngine(message: unknown): message is ToEngine {
  return TO_ENGINE.has(typeOf(message));
}

export function isFromEngine(message: unknown): message is FromEngine {
  const type = typeOf(message);
  return FROM_ENGINE.has(type) && isSound(type, message);
}

function typeOf(message: unknown): string {
  if (typeof message !== 'object' || message === null || !('type' in message)) return '';
  return typeof message.type === 'string' ? message.type : '';
}
