/**
 * IRC: direct connections between clients (DCC), which one offers to the other through the server, as a decimal address and
 * a port: `PRIVMSG nick :\x01DCC SEND name 167772162 5000 1024\x01`.
 *
 * Only offers of whom the flow began from are read, and only of an endpoint of its own. Whom it is for is not known: anybody
 * may connect, once (nf_conntrack_irc.c). An offer with port 0 (passive DCC) asks the other side to listen.
 */
import { hostOrder } from '../../wire/address.ts';
import { PROTO_TCP } from '../../wire/ipv4.ts';
import { type AlgPacket, type AlgSession, type Edit, NO_EDITS } from './session.ts';

const MAX_DCC = 8;
const OFFER =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: 0x01 is what marks such a message (CTCP).
  /\x01DCC (?:SEND|CHAT|MOVE|TSEND|SCHAT) +(?:"[^"\r\n]*"|[^\s"]+) +((\d{1,10}) +(\d{1,5}))(?=[ \x01\r\n])/gi;

export function irc({ text }: AlgPacket, session: AlgSession): readonly Edit[] | null {
  if (session.direction !== 0) return NO_EDITS;
  const edits: Edit[] = [];
  for (const match of text.matchAll(OFFER)) {
    const [, endpoint, decimal, digits] = match as unknown as [string, string, string, string];
    const address = hostOrder(Number(decimal) | 0);
    const port = Number(digits);
    // A client that was told its external address offers that one.
    if (address !== session.source && address !== session.newSource) continue;
    if (Number(decimal) > 0xffffffff || port === 0 || port > 65535) continue;
    const external = session.expect({
      protocol: PROTO_TCP,
      address: session.source,
      port,
      from: 'anywhere',
      kind: 0,
      limit: MAX_DCC,
      seconds: 300,
    });
    if (external < 0) return null;
    const written = `${hostOrder(session.newSource) >>> 0} ${external}`;
    const end = match.index + match[0].length;
    if (written !== endpoint) edits.push({ start: end - endpoint.length, end, text: written });
  }
  return edits;
}
