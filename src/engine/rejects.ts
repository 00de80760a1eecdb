/**
 * What a refused sender is told: a TCP reset, as if the host behind had refused the connection (RFC 9293 3.10.7.1, iptables REJECT
 * --reject-with tcp-reset), or an ICMP unreachable.
 *
 * Made from the packet as it came and sent back where it came from, so it comes from the address that the sender asked for. There is
 * no reset for a reset, for a fragment, or for a segment with a wrong checksum. What is not TCP is told port unreachable instead. Resets have a
 * rate limit of their own, as large as that of the ICMP errors, and each destination its part; both are counted with these.
 */
import { DestinationLimit } from '../policy/destination-limit.ts';
import { TokenBucket } from '../policy/token-bucket.ts';
import { swap32 } from '../wire/bytes.ts';
import { fold, pseudoHeaderSum, sumBytes } from '../wire/checksum.ts';
import { UNREACHABLE } from '../wire/icmp.ts';
import { PROTO_TCP } from '../wire/ipv4.ts';
import {
  M_DESTINATION,
  M_DEVICE,
  M_FRAGMENT,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PORTS,
  M_PROTOCOL,
  M_SOURCE,
} from '../wire/parse.ts';
import { ACK, FIN, RST, SYN, TCP_ACK, TCP_FLAGS, TCP_SEQUENCE, tcpHeaderLength } from '../wire/tcp.ts';
import { NEEDS_CSUM, VNET_HEADER } from '../wire/vnet.ts';
import { ICMP_SUPPRESSED, RESETS_SENT } from './counters.ts';
import { BURST, DESTINATION_BURST, DESTINATION_RATE, RATE } from './icmp-errors.ts';
import type { OutList } from './out-list.ts';
import type { Path } from './path.ts';
import { sendReset } from './reset-packet.ts';

/** By number of policy/firewall/packet.ts REJECTS: the ICMP code; of tcp-reset, for what is not TCP, port unreachable. */
const CODES = [3, 0, 1, 2, 3, 9, 10, 13];
const TCP_RESET = 0;

export class Rejects {
  private readonly out: OutList;
  private readonly path: Path;
  private readonly meta: Int32Array;
  private readonly counters: Float64Array;
  private readonly bucket: TokenBucket;
  private readonly destinations: DestinationLimit;

  constructor(out: OutList, path: Path, meta: Int32Array, counters: Float64Array, now: number) {
    this.out = out;
    this.path = path;
    this.meta = meta;
    this.counters = counters;
    this.bucket = new TokenBucket(RATE, BURST, now);
    this.destinations = new DestinationLimit(DESTINATION_RATE, DESTINATION_BURST, path.answerKey, now);
  }

  /** Answers the packet of row `m` in the way of number `way`. */
  send(m: number, way: number, now: number): void {
    if (way === TCP_RESET && this.meta[m + M_PROTOCOL] === PROTO_TCP) this.reset(m, now);
    else this.path.answer(m, UNREACHABLE, CODES[way]!, 0, now);
  }

  private reset(m: number, now: number): void {
    const { meta, out, counters } = this;
    const { u8, i32 } = out.bytes;
    const l4 = meta[m + M_L4]!;
    const flags = u8[l4 + TCP_FLAGS]!;
    if (meta[m + M_FRAGMENT] !== 0 || (flags & RST) !== 0 || !this.isSound(m)) return;
    const to = meta[m + M_SOURCE]!;
    if (out.freeSlots === 0 || !this.destinations.mayTake(to, now) || !this.bucket.take(now)) {
      counters[ICMP_SUPPRESSED]!++;
      return;
    }
    this.destinations.take(to);
    let [sequence, acknowledgement] = [0, 0];
    if ((flags & ACK) !== 0) {
      sequence = swap32(i32[(l4 + TCP_ACK) >> 2]!);
    } else {
      const payload = meta[m + M_LENGTH]! - (l4 - meta[m + M_OFFSET]!) - tcpHeaderLength(u8, l4);
      const length = payload + ((flags & SYN) >> 1) + (flags & FIN);
      acknowledgement = (swap32(i32[(l4 + TCP_SEQUENCE) >> 2]!) + length) | 0;
    }
    const ports = meta[m + M_PORTS]!;
    sendReset(
      out,
      meta[m + M_DEVICE]!,
      meta[m + M_DESTINATION]!,
      meta[m + M_SOURCE]!,
      (ports >>> 16) | (ports << 16),
      ~flags & ACK,
      sequence,
      acknowledgement,
    );
    counters[RESETS_SENT]!++;
  }

  /** Whether the checksum is right; one that a device was to complete is. */
  private isSound(m: number): boolean {
    const { meta } = this;
    const { u8, u16 } = this.out.bytes;
    const offset = meta[m + M_OFFSET]!;
    if ((u8[offset - VNET_HEADER]! & NEEDS_CSUM) !== 0) return true;
    const l4 = meta[m + M_L4]!;
    const length = meta[m + M_LENGTH]! - (l4 - offset);
    const pseudo = pseudoHeaderSum(meta[m + M_SOURCE]!, meta[m + M_DESTINATION]!, PROTO_TCP, length);
    return fold(sumBytes(u8, u16, l4, length) + pseudo) === 0xffff;
  }
}
