/**
 * A flow as one line, in the manner of `conntrack -L`, so that eyes and scripts that know that one read this one:
 * protocol, its number, seconds left, state, the original tuple, the reply tuple, flags.
 */
import type { FlowInfo, FlowTuple } from '../conntrack/flow-info.ts';
import { formatAddress } from '../wire/address.ts';

/** TCP and UDP. */
const WITH_PORTS = new Set([6, 17]);

const NAMES: Record<number, string> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  47: 'gre',
  50: 'esp',
  132: 'sctp',
};

/** `tcp`, `udp`, `icmp` …; `unknown` for a protocol without a name here, as conntrack says. */
export function protocolName(protocol: number): string {
  return NAMES[protocol] ?? 'unknown';
}

export function flowLine(flow: FlowInfo): string {
  const words = [
    protocolName(flow.protocol).padEnd(8),
    String(flow.protocol),
    String(flow.timeoutSeconds),
    flow.state,
    tuple(flow.protocol, flow.original),
    `packets=${flow.originalPackets} bytes=${flow.originalBytes}`,
    flow.unreplied ? '[UNREPLIED]' : '',
    tuple(flow.protocol, flow.reply),
    `packets=${flow.replyPackets} bytes=${flow.replyBytes}`,
    flow.assured ? '[ASSURED]' : '',
    flow.related ? '[RELATED]' : '',
  ];
  return words.filter((word) => word !== '').join(' ');
}

function tuple(protocol: number, { src, dst, sport, dport, icmpType, icmpCode }: FlowTuple): string {
  const addresses = `src=${formatAddress(src)} dst=${formatAddress(dst)}`;
  if (icmpType !== undefined) return `${addresses} type=${icmpType} code=${icmpCode} id=${sport}`;
  return WITH_PORTS.has(protocol) ? `${addresses} sport=${sport} dport=${dport}` : addresses;
}
