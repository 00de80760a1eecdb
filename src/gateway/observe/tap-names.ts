/** What the numbers in a tap's records are called at this gateway, and what a filter can ask of a record. */
import { ASSURED, EXPECTED, LIVE, SEEN_REPLY, STATE_MASK, STATE_SHIFT } from '../../conntrack/flow-table.ts';
import { sctpStateNames } from '../../conntrack/sctp-states.ts';
import { tcpStateNames } from '../../conntrack/tcp-states.ts';
import { reasonMeanings } from '../../core/reasons.ts';
import { KIND_OUT, TAP_PUBLIC, TAP_RELATED, type TapRecord, type TapTuple } from '../../engine/tap-record.ts';
import { formatAddress } from '../../wire/address.ts';
import { PROTO_SCTP, PROTO_TCP } from '../../wire/ipv4.ts';
import type { PacketSubject } from './filter-match.ts';
import { formatFlowId } from './flow-list.ts';

export interface TapNames {
  /** By device number. */
  devices: readonly { name: string; side: 'private' | 'public' }[];
  /** Of the NAT rules, by number. */
  rules: readonly string[];
  /** Of the rows of the firewall's counters. */
  firewallRules: readonly string[];
  clients: { nameOf(address: number): string };
}

export function interfaceName(names: TapNames, device: number): string {
  return names.devices[device]?.name ?? `device ${device}`;
}

export function ruleName(names: TapNames, rule: number): string {
  return rule < 0 ? '' : (names.rules[rule] ?? `${rule}`);
}

export function firewallRuleName(names: TapNames, row: number): string {
  return row < 0 ? '' : (names.firewallRules[row] ?? `${row}`);
}

/** Id of the flow, as `natgate flows` has it; null without one. */
export function flowIdOf({ worker, handle, life }: TapRecord): string | null {
  return handle < 0 ? null : formatFlowId({ worker, flow: handle >> 1, life });
}

export function sideOf(flags: number): 'private' | 'public' {
  return (flags & TAP_PUBLIC) !== 0 ? 'public' : 'private';
}

/** `10.0.0.2 (laptop)` */
export function clientText(names: TapNames, address: number): string {
  const name = names.clients.nameOf(address);
  return name === '' ? formatAddress(address) : `${formatAddress(address)} (${name})`;
}

export function meaningOf(record: TapRecord): string {
  return reasonMeanings[record.reason] ?? '';
}

/** `10.0.0.2:4000`, or the address alone where there are no ports. */
export function endText(address: number, port: number, protocol: number): string {
  const hasPort = [1, 6, 17, 33, 132, 136].includes(protocol) && port !== 0;
  return hasPort ? `${formatAddress(address)}:${port}` : formatAddress(address);
}

/** What a packet's ends become: `10.0.0.2:4000 -> 198.18.0.1:4000`, for each end that changes. */
export function translationText(from: TapTuple, to: TapTuple, protocol: number): string {
  const parts: string[] = [];
  const [source, newSource] = [
    endText(from.source, from.sourcePort, protocol),
    endText(to.source, to.sourcePort, protocol),
  ];
  const [destination, newDestination] = [
    endText(from.destination, from.destinationPort, protocol),
    endText(to.destination, to.destinationPort, protocol),
  ];
  // The id of a query is at both ends.
  if (source !== newSource && from.source !== to.source) parts.push(`${source} -> ${newSource}`);
  else if (source !== newSource && protocol !== 1) parts.push(`${source} -> ${newSource}`);
  if (destination !== newDestination && (from.destination !== to.destination || protocol !== 1)) {
    parts.push(`${destination} -> ${newDestination}`);
  }
  return parts.join(', ');
}

/** Name of the state in a flow's H_STATUS: `ESTABLISHED`; for protocols without states whether there was an answer. */
export function stateText(status: number): string {
  const protocol = status & 0xff;
  const state = (status & STATE_MASK) >>> STATE_SHIFT;
  if (protocol === PROTO_TCP) return tcpStateNames[state] ?? '';
  if (protocol === PROTO_SCTP) return sctpStateNames[state] ?? '';
  if ((status & ASSURED) !== 0) return 'ASSURED';
  return (status & SEEN_REPLY) !== 0 ? 'answered' : 'UNREPLIED';
}

/** A record as filters see it: of a packet that left, what came as well. */
export function subjectOf(record: TapRecord, names: TapNames): PacketSubject {
  const { from, to, protocol, after, client, flags, kind } = record;
  const status = (after & LIVE) !== 0 ? after : 0;
  const side = sideOf(flags);
  const isRelated = (flags & TAP_RELATED) !== 0;
  const flowProtocol = status & 0xff;
  return {
    protocol,
    came: end(from),
    left: to === null || isRelated ? null : end(to),
    // Of a packet that left the flags have the side where it went.
    side: kind === KIND_OUT ? undefined : side,
    to: kind === KIND_OUT ? side : undefined,
    ...(status === 0
      ? {}
      : {
          state: flowProtocol === PROTO_TCP || flowProtocol === PROTO_SCTP ? stateText(status) : '',
          assured: (status & ASSURED) !== 0,
          unreplied: (status & SEEN_REPLY) === 0,
          related: isRelated || (status & EXPECTED) !== 0,
        }),
    rule: ruleName(names, record.rule) || undefined,
    reason: record.reason === 0 ? undefined : record.reasonName,
    clientAddress: client === 0 ? undefined : client,
    client: client === 0 ? undefined : names.clients.nameOf(client) || undefined,
  };
}

function end({ source, destination, sourcePort, destinationPort }: TapTuple) {
  return { src: source, dst: destination, sport: sourcePort, dport: destinationPort };
}
