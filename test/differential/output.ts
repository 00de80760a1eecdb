/** What both gateways are asked for: packets that came out, and how a flow stands. */
import { formatAddress } from '../../src/wire/address.ts';
import type { Side } from './step.ts';

export interface Output {
  to: Side;
  packet: Uint8Array;
}

export interface FlowState {
  /** Name of the TCP state; empty for other protocols. */
  state: string;
  assured: boolean;
  unreplied: boolean;
}

/**
 * Flows by their names, and those by the client's address: each run of a sequence has clients of its own (plan.ts).
 * `port`: of ICMP the id, and `peer` type and code.
 */
export class FlowStates {
  private readonly byClient = new Map<number, Map<string, FlowState>>();

  add(
    protocol: number,
    client: number,
    port: number,
    server: number,
    peer: number | string,
    state: FlowState,
  ): void {
    const flows = this.byClient.get(client) ?? new Map<string, FlowState>();
    this.byClient.set(client, flows);
    flows.set(`${protocol} ${formatAddress(client)}:${port} > ${formatAddress(server)}:${peer}`, state);
  }

  of(client: number): ReadonlyMap<string, FlowState> {
    return this.byClient.get(client) ?? new Map();
  }
}

export function describeState(state: FlowState | undefined): string {
  if (state === undefined) return 'no flow';
  const words = [state.state, state.assured ? 'ASSURED' : '', state.unreplied ? 'UNREPLIED' : ''];
  return words.filter(Boolean).join(' ') || 'replied';
}
