/**
 * `natgate/conntrack`: connection tracking by itself, for tools and tests. Bytes in, verdict, flows and events out; the clock
 * is yours, and there is no I/O.
 *
 * @module conntrack
 */
export { NatgateError } from '../core/errors.ts';
export { formatAddress, parseAddress } from '../wire/address.ts';
export { Conntrack } from './conntrack.ts';
export type {
  ConntrackOptions,
  ConntrackState,
  FlowFilter,
  RestoreOptions,
  TupleLike,
  Verdict,
} from './conntrack-types.ts';
export type { FlowEvent, FlowEventType, FlowListener } from './flow-events.ts';
export type { FlowInfo, FlowTuple } from './flow-info.ts';
export { type FlowLineOptions, formatFlow, type LineFlow } from './flow-line.ts';
export type { TcpOptions } from './tcp-tracker.ts';
export { defaultTimeouts, netfilterTimeouts, rfcTimeouts, type Timeouts } from './timeouts.ts';
