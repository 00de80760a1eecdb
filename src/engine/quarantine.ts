/**
 * The packets in quarantine: of each that an engine has stumbled over there is a signature (signature.ts), and what equals one is dropped,
 * so that a bug in the handling of one packet does not end one engine after the other.
 *
 * While there is none, it costs a branch a batch. Else each packet of a batch is compared before it is handled; the hash of its bytes is
 * made only where everything else is equal. Invariant: a row that was marked has the reason QUARANTINED and no flow, so that nobody looks
 * at it any further. Limits: MOST_SIGNATURES, each for a while.
 */
import { QUARANTINED } from '../core/reasons.ts';
import type { Bytes } from '../wire/bytes.ts';
import { IP_DESTINATION, IP_HEADER, IP_PROTOCOL, IP_SOURCE } from '../wire/ipv4.ts';
import { M_DEVICE, M_HANDLE, M_REASON, META } from '../wire/parse.ts';
import { IN_LIST, packetOffset } from './arena.ts';
import { hashPacket, portsAt, type Signature } from './signature.ts';

export const MOST_SIGNATURES = 64;

export class Quarantine {
  /** Something is in quarantine. */
  isOn = false;
  private signatures: readonly Signature[] = [];
  private readonly bytes: Bytes;
  private readonly meta: Int32Array;

  constructor(bytes: Bytes, meta: Int32Array) {
    this.bytes = bytes;
    this.meta = meta;
  }

  /** What is dropped from now on. */
  set(signatures: readonly Signature[]): void {
    this.signatures = signatures.slice(0, MOST_SIGNATURES);
    this.isOn = this.signatures.length > 0;
  }

  /** Forgets whose time is over. */
  tick(now: number): void {
    if (!this.isOn) return;
    for (const { until } of this.signatures) {
      if (((now - until) | 0) < 0) continue;
      this.set(this.signatures.filter((one) => ((now - one.until) | 0) < 0));
      return;
    }
  }

  /** Marks those of the packets [first, count) of the in list; their rows have been read. */
  mark(first: number, count: number): void {
    const { meta } = this;
    for (let i = first; i < count; i++) {
      if (!this.has(i)) continue;
      meta[i * META + M_REASON] = QUARANTINED;
      meta[i * META + M_HANDLE] = -1;
    }
  }

  private has(slot: number): boolean {
    const { u8, i32 } = this.bytes;
    const at = packetOffset(slot);
    const length = i32[(IN_LIST >> 2) + slot * 2 + 1]!;
    if (length < IP_HEADER) return false;
    const device = this.meta[slot * META + M_DEVICE]!;
    for (const one of this.signatures) {
      if (one.device !== device || one.protocol !== u8[at + IP_PROTOCOL]) continue;
      if (one.likeness !== 'bytes') {
        if (one.source !== i32[(at + IP_SOURCE) >> 2]!) continue;
        if (one.destination !== i32[(at + IP_DESTINATION) >> 2]!) continue;
        if (one.ports !== portsAt(u8, at, length)) continue;
        if (one.likeness === 'tuple') return true;
      }
      if (one.length === length && one.hash === hashPacket(u8, at, length)) return true;
    }
    return false;
  }
}
