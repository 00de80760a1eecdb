/** What a gateway did with a packet, so that two gateways can be compared. */
import { readPacket } from '../../src/testing/read-packet.ts';
import type { Output } from '../differential/output.ts';
import { EXTERNAL } from './rule-sets.ts';
import type { Flow } from './traffic.ts';

/** Whose errors are: netfilter translates their source as an answer's, natgate says who it is. */
const GATEWAY: readonly string[] = ['10.77.0.1', ...EXTERNAL];

/** One line. `hidesPort`: the source port is the gateway's own choice. */
export function verdict(flow: Flow, outputs: readonly Output[], hidesPort: boolean): string {
  if (outputs.length === 0) return 'nothing';
  return outputs.map((output) => described(flow, output, hidesPort)).join(' and ');
}

/** Whether the sender was told that the packet does not go on. */
export function isRejection(flow: Flow, { to, packet }: Output): boolean {
  const { protocol, type, flags } = readPacket(packet);
  return to === flow.side && (protocol === 1 ? type === 3 : protocol === 6 && flags.includes('R'));
}

function described(flow: Flow, { to, packet }: Output, hidesPort: boolean): string {
  const fields = readPacket(packet);
  if (fields.protocol === 1 && [3, 11, 12].includes(fields.type)) {
    const quote = readPacket(fields.payload.subarray(4));
    return `to ${to}: ICMP ${fields.type}/${fields.code} from ${GATEWAY.includes(fields.from) ? 'the gateway' : fields.from} to ${fields.to} about ${quote.from} > ${quote.to}`;
  }
  const isTranslated =
    flow.side === 'private' &&
    to === 'public' &&
    !fields.from.startsWith(`${flow.from}:`) &&
    fields.from !== flow.from;
  const from = hidesPort && isTranslated ? fields.from.replace(/:\d+$/, ':*') : fields.from;
  const isQuery = fields.protocol === 1;
  const id =
    isQuery && !(hidesPort && isTranslated) ? ` id ${(fields.payload[0]! << 8) | fields.payload[1]!}` : '';
  const tcp = fields.protocol === 6 ? ` ${fields.flags} ${fields.seq} ${fields.ack}` : '';
  return `to ${to}: ${fields.protocol} ${from} > ${fields.to}${tcp}${isQuery ? ` type ${fields.type}/${fields.code}${id}` : ''} ttl ${fields.ttl}`;
}
