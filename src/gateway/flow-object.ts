/** A flow for JSON: as it is, with addresses as text. */
import type { FlowInfo, FlowTuple } from '../conntrack/flow-info.ts';
import { formatAddress } from '../wire/address.ts';

export function flowObject(flow: FlowInfo) {
  const withText = ({ src, dst, ...rest }: FlowTuple) => ({
    src: formatAddress(src),
    dst: formatAddress(dst),
    ...rest,
  });
  return { ...flow, original: withText(flow.original), reply: withText(flow.reply) };
}
