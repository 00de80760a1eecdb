/**
 * TCP segments that change what is known of a connection are asked whether they are what was sent: those with SYN, FIN or RST. One whose
 * bits were flipped on the way is thrown away by its receiver, who waits for it to come again; were it believed here, a window scale or a
 * sequence number that nobody has sent would stand against what comes after it, for as long as the connection lives. All others are in the window or
 * not believed at all, and the ends verify them.
 *
 * Not asked: where the kernel has verified the checksum already (DATA_VALID) or its sender has yet to make it (NEEDS_CSUM); fragments.
 */
import { BAD_TCP_CHECKSUM, OK } from '../core/reasons.ts';
import type { Bytes } from '../wire/bytes.ts';
import { fold, pseudoHeaderSum } from '../wire/checksum.ts';
import { PROTO_TCP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_FRAGMENT, M_L4, M_LENGTH, M_OFFSET, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import { FIN, RST, SYN, TCP_FLAGS } from '../wire/tcp.ts';
import { DATA_VALID, NEEDS_CSUM, VNET_HEADER } from '../wire/vnet.ts';
import { sumPacket } from './slot-bytes.ts';

/** OK, or why the packet of row `m` in `slot` cannot be what was sent. */
export function damageOf(bytes: Bytes, slot: number, meta: Int32Array, m: number): number {
  if (meta[m + M_PROTOCOL] !== PROTO_TCP || meta[m + M_FRAGMENT] !== 0) return OK;
  const offset = meta[m + M_OFFSET]!;
  const l4 = meta[m + M_L4]!;
  if ((bytes.u8[l4 + TCP_FLAGS]! & (SYN | FIN | RST)) === 0) return OK;
  if ((bytes.u8[offset - VNET_HEADER]! & (NEEDS_CSUM | DATA_VALID)) !== 0) return OK;
  const length = meta[m + M_LENGTH]! - (l4 - offset);
  const about = pseudoHeaderSum(meta[m + M_SOURCE]!, meta[m + M_DESTINATION]!, PROTO_TCP, length);
  return fold(about + sumPacket(bytes, slot, l4 - offset, length)) === 0xffff ? OK : BAD_TCP_CHECKSUM;
}
