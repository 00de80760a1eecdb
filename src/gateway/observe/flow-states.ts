/** How many flows there are by protocol and state: one pass over the records, without making objects of them. */
import { ASSURED, H_STATUS, SEEN_REPLY, STATE_MASK, STATE_SHIFT } from '../../conntrack/flow-table.ts';
import { sctpStateNames } from '../../conntrack/sctp-states.ts';
import { tcpStateNames } from '../../conntrack/tcp-states.ts';
import { PROTO_SCTP, PROTO_TCP } from '../../wire/ipv4.ts';
import { protocolName } from '../../wire/protocols.ts';
import type { RunRecord } from '../run/run-record.ts';
import { workerStatePath } from '../run/state-path.ts';
import { FlowReader } from './flow-reader.ts';

/** By protocol, then by state (TCP, SCTP) or by `unreplied`, `replied`, `assured`. */
export type FlowStates = Record<string, Record<string, number>>;

export function countStates(record: RunRecord): FlowStates {
  const counts: FlowStates = {};
  for (let worker = 0; worker < (record.workers ?? 1); worker++) {
    const reader = new FlowReader(workerStatePath(record.statePath, worker));
    try {
      for (const { hot } of reader.read()) {
        const status = hot[H_STATUS]!;
        const protocol = protocolName(status & 0xff) ?? `${status & 0xff}`;
        const states = counts[protocol] ?? {};
        counts[protocol] = states;
        const state = stateOf(status);
        states[state] = (states[state] ?? 0) + 1;
      }
    } finally {
      reader.close();
    }
  }
  return counts;
}

function stateOf(status: number): string {
  const protocol = status & 0xff;
  const state = (status & STATE_MASK) >>> STATE_SHIFT;
  if (protocol === PROTO_TCP) return tcpStateNames[state] ?? 'NONE';
  if (protocol === PROTO_SCTP) return sctpStateNames[state] ?? 'NONE';
  if ((status & SEEN_REPLY) === 0) return 'unreplied';
  return (status & ASSURED) === 0 ? 'replied' : 'assured';
}
