/**
 * DNS by the gateway's own address: a query of a private host to port 53 of the gateway goes to the resolver in force, as if a
 * forward led there from inside, and the answer comes back from the gateway's address.
 *
 * Only the resolver changes while flows live. A flow goes on with the one it began with as long as that answers; of one that
 * does not, the flows end, so that the next packet of the same port begins a flow to the one in force.
 * Invariant: whether a flow is of this kind is said by isFlow() alone. Limit: one resolver is in force at a time.
 */
import {
  EXPECTED,
  type FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_STATUS,
  HOT,
  ORIGINAL_SIDE,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { swap16 } from '../wire/bytes.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import type { ExternalAddresses } from './external-addresses.ts';

/** As in a ports word. */
const PORT = swap16(53);

/** Who answers at the moment. */
export interface DnsState {
  /** Where queries go, wire order; 0: nobody is known, and the host answers for itself. */
  resolver: number;
  /** Resolvers with which flows may go on, the one in force among them. */
  usable: readonly number[];
}

export class Dns {
  private state: DnsState | null;
  private readonly externals: ExternalAddresses;

  /** `state` null: the gateway's address does not answer. */
  constructor(externals: ExternalAddresses, state: DnsState | null) {
    this.externals = externals;
    this.state = state;
  }

  get isOn(): boolean {
    return this.state !== null;
  }

  set(state: DnsState | null): void {
    this.state = state;
  }

  /** The resolver that a packet from inside is for (ports word of conntrack/tuple.ts), or 0. */
  resolverFor(protocol: number, destination: number, ports: number): number {
    if (this.state === null || ports >>> 16 !== PORT) return 0;
    if (protocol !== PROTO_UDP && protocol !== PROTO_TCP) return 0;
    return this.externals.isLocal(destination) ? this.state.resolver : 0;
  }

  /** Whether the flow is one from inside whose destination was replaced by a resolver. */
  isFlow({ hot }: FlowTable, flow: number): boolean {
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    const protocol = status & 0xff;
    if (protocol !== PROTO_UDP && protocol !== PROTO_TCP) return false;
    if ((status & (ORIGINAL_SIDE | EXPECTED)) !== 0 || hot[h + H_PORTS]! >>> 16 !== PORT) return false;
    if ((hot[h + TUPLE + H_PORTS]! & 0xffff) !== PORT) return false;
    const destination = hot[h + H_DESTINATION]!;
    return destination !== hot[h + TUPLE] && this.externals.isLocal(destination);
  }

  /** Whether a flow of which isFlow() is true may go on. */
  mayGoOn({ hot }: FlowTable, flow: number): boolean {
    return this.state?.usable.includes(hot[flow * HOT + TUPLE]!) === true;
  }
}
