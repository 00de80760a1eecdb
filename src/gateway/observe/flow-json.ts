/** A flow for programs: as an object of JSON, and as a line of CSV. */
import type { FlowTuple } from '../../conntrack/flow-info.ts';
import { formatAddress } from '../../wire/address.ts';
import { protocolName } from '../../wire/protocols.ts';
import type { ListedFlow } from './flow-list.ts';

/** Addresses as text; all else as in ListedFlow. */
export type FlowJson = Omit<ListedFlow, 'original' | 'reply'> & {
  original: TupleJson;
  reply: TupleJson;
};
type TupleJson = Omit<FlowTuple, 'src' | 'dst'> & { src: string; dst: string };

export function flowJson(flow: ListedFlow): FlowJson {
  return { ...flow, original: tupleJson(flow.original), reply: tupleJson(flow.reply) };
}

function tupleJson({ src, dst, ...rest }: FlowTuple): TupleJson {
  return { src: formatAddress(src), dst: formatAddress(dst), ...rest };
}

/** Our end as the private side, and as the outside sees it, and the other end. */
export interface FlowEnds {
  private: End;
  external: End;
  remote: End;
}

export interface End {
  address: number;
  port: number;
}

/** Of a hairpin, `remote` is the external endpoint of the other private host. */
export function endsOf({ side, original, reply }: Pick<ListedFlow, 'side' | 'original' | 'reply'>): FlowEnds {
  const from = { address: original.src, port: original.sport };
  const to = { address: original.dst, port: original.dport };
  if (side === 'private') {
    return { private: from, external: { address: reply.dst, port: reply.dport }, remote: to };
  }
  return { private: { address: reply.src, port: reply.sport }, external: to, remote: from };
}

type Column = [name: string, value: (flow: ListedFlow) => string | number | boolean];

/** Names and places are permanent: new ones come at the end. */
const COLUMNS: readonly Column[] = [
  ['id', (flow) => flow.id],
  ['protocol', ({ protocol }) => protocolName(protocol) ?? protocol],
  ['state', ({ state }) => state],
  ['side', ({ side }) => side],
  ['client', ({ client }) => client],
  ['rule', ({ rule }) => rule],
  ['original_source', ({ original }) => formatAddress(original.src)],
  ['original_source_port', ({ original }) => original.sport],
  ['original_destination', ({ original }) => formatAddress(original.dst)],
  ['original_destination_port', ({ original }) => original.dport],
  ['reply_source', ({ reply }) => formatAddress(reply.src)],
  ['reply_source_port', ({ reply }) => reply.sport],
  ['reply_destination', ({ reply }) => formatAddress(reply.dst)],
  ['reply_destination_port', ({ reply }) => reply.dport],
  ['original_packets', (flow) => flow.originalPackets],
  ['original_bytes', (flow) => flow.originalBytes],
  ['reply_packets', (flow) => flow.replyPackets],
  ['reply_bytes', (flow) => flow.replyBytes],
  ['age_seconds', (flow) => flow.ageSeconds],
  ['timeout_seconds', (flow) => flow.timeoutSeconds],
  ['assured', ({ assured }) => assured],
  ['unreplied', ({ unreplied }) => unreplied],
  ['related', ({ related }) => related],
];

export const CSV_HEADER = COLUMNS.map(([name]) => name).join(',');

/** A line without a newline (RFC 4180). */
export function flowCsv(flow: ListedFlow): string {
  return COLUMNS.map(([, value]) => quoted(String(value(flow)))).join(',');
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
