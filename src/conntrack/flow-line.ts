/**
 * A flow as the line that `conntrack -L` prints (conntrack-tools 1.4.7, libnetfilter_conntrack's default format), so that
 * scripts that read that one read this one:
 *
 *     tcp      6 118 TIME_WAIT src=10.0.1.2 dst=10.0.2.2 sport=41234 dport=80 src=10.0.2.2 ... [ASSURED] mark=0 use=1
 */
import { formatAddress } from '../wire/address.ts';
import type { FlowInfo, FlowTuple } from './flow-info.ts';

/** Protocols that conntrack has a name for; all others are `unknown`. */
const NAMES: Record<number, string> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  47: 'gre',
  132: 'sctp',
  136: 'udplite',
};
const GRE = 47;
const WITH_PORTS = [6, 17, 33, 132, 136];

/** How `formatFlow` writes. */
export interface FlowLineOptions {
  /** With `packets=` and `bytes=` of both directions, as with `net.netfilter.nf_conntrack_acct=1`. Default false. */
  counters?: boolean;
  /** With the network protocol in front, as `-o extended`. Default false. */
  extended?: boolean;
  /** With `id=` of this value at the end, as `-o id`. */
  id?: string | number;
  /** With `mark=0 use=1`, which events do not have. Default true. */
  marks?: boolean;
}

/** A flow as it is listed, or as an event tells of it: without its timeout. */
export type LineFlow = Omit<FlowInfo, 'timeoutSeconds'> & {
  /** Seconds until it is forgotten; absent: nobody says. */
  timeoutSeconds?: number;
};

/**
 * The line of `conntrack -L` for a flow, without a newline. There are no marks here and nobody counts references: `mark=0
 * use=1` is what stands there for an ordinary flow.
 */
export function formatFlow(flow: LineFlow, options: FlowLineOptions = {}): string {
  const { protocol, original, reply } = flow;
  const counters = (packets: number, bytes: number) =>
    options.counters === true ? `packets=${packets} bytes=${bytes}` : '';
  return [
    options.extended === true ? 'ipv4     2' : '',
    `${(NAMES[protocol] ?? 'unknown').padEnd(8)} ${protocol}`,
    flow.timeoutSeconds === undefined ? '' : `${flow.timeoutSeconds}`,
    flow.state,
    tuple(protocol, original),
    counters(flow.originalPackets, flow.originalBytes),
    flow.unreplied ? '[UNREPLIED]' : '',
    tuple(protocol, reply),
    counters(flow.replyPackets, flow.replyBytes),
    flow.assured ? '[ASSURED]' : '',
    options.marks === false ? '' : 'mark=0 use=1',
    options.id === undefined ? '' : `id=${options.id}`,
  ]
    .filter((word) => word !== '')
    .join(' ');
}

function tuple(protocol: number, { src, dst, sport, dport, icmpType, icmpCode }: FlowTuple): string {
  const addresses = `src=${formatAddress(src)} dst=${formatAddress(dst)}`;
  if (icmpType !== undefined) return `${addresses} type=${icmpType} code=${icmpCode} id=${sport}`;
  if (protocol === GRE) return `${addresses} srckey=0x${sport.toString(16)} dstkey=0x${dport.toString(16)}`;
  return WITH_PORTS.includes(protocol) ? `${addresses} sport=${sport} dport=${dport}` : addresses;
}
