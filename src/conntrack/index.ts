/** `natgate/conntrack`: connection tracking for embedding in tests and tools. */
export { formatAddress, parseAddress } from '../wire/address.ts';
export { Conntrack, type ConntrackOptions, type ConntrackState, type Verdict } from './conntrack.ts';
export type { FlowInfo, FlowTuple } from './flow-info.ts';
export type { TcpOptions } from './tcp-tracker.ts';
export { defaultTimeouts, netfilterTimeouts, rfcTimeouts, type Timeouts } from './timeouts.ts';
