/**
 * TFTP (RFC 1350): a request goes to port 69, the answer comes from a port that the server chooses. Nothing is
 * rewritten.
 */
import { PROTO_UDP } from '../../wire/ipv4.ts';
import { type AlgPacket, type AlgSession, type Edit, NO_EDITS } from './session.ts';

const READ_REQUEST = '\0\x01';
const WRITE_REQUEST = '\0\x02';

export function tftp({ text }: AlgPacket, session: AlgSession): readonly Edit[] | null {
  if (session.direction !== 0 || !(text.startsWith(READ_REQUEST) || text.startsWith(WRITE_REQUEST))) {
    return NO_EDITS;
  }
  const port = session.expect({
    protocol: PROTO_UDP,
    address: session.source,
    port: session.sourcePort,
    from: 'peer',
    kind: 0,
    limit: 1,
    seconds: 300,
    own: true,
  });
  return port < 0 ? null : NO_EDITS;
}
