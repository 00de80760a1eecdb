/**
 * The differences that are meant, by name; docs/differences-from-netfilter.md gives the reason of each.
 *
 * A predicate here is as narrow as it can be: it says which packet, which output of the kernel and which answer of
 * natgate make up the difference. What none of them matches is a bug of one of the two.
 */
import { be16 } from '../../src/wire/bytes.ts';
import { sameOutputs } from './canonical.ts';
import type { Output } from './output.ts';
import type { Mismatch } from './run-sequence.ts';

export interface Difference {
  name: string;
  /** The gateways went different ways: the rest of the sequence says nothing. */
  parts?: boolean;
  packet: (mismatch: Mismatch) => boolean;
}

/** The kernel did not recognise the packet: it dropped it, or let it out as it was, but for the TTL. */
function invalidToKernel({ step, sent, kernel }: Mismatch): boolean {
  if (kernel.length === 0) return true;
  return step.from === 'private' && kernel.length === 1 && isLeak(kernel[0]!, sent.kernel);
}

function isLeak(output: Output, sent: Uint8Array): boolean {
  return (
    output.to === 'public' && Buffer.compare(output.packet.subarray(12, 20), sent.subarray(12, 20)) === 0
  );
}

/** The packet alone, to the side it was meant for. */
function forwarded({ step }: Mismatch, outputs: readonly Output[]): boolean {
  return outputs.length === 1 && outputs[0]!.to !== step.from;
}

/** Without the identification of packets that have DF clear; with DF it means nothing and must be kept. */
function withoutId(outputs: readonly Output[]): Output[] {
  return outputs.map(({ to, packet }) => {
    if ((be16(packet, 6) & 0x4000) !== 0) return { to, packet };
    const copy = Uint8Array.from(packet);
    copy.fill(0, 4, 6);
    return { to, packet: copy };
  });
}

export const differences: readonly Difference[] = [
  {
    name: 'invalid-not-leaked',
    packet: (mismatch) =>
      mismatch.natgate.length === 0 && mismatch.kernel.length === 1 && invalidToKernel(mismatch),
  },
  {
    name: 'checksum-not-verified',
    parts: true,
    packet: (mismatch) => {
      const { packet } = mismatch.step;
      return (
        packet.kind !== 'error' &&
        packet.badChecksum !== undefined &&
        invalidToKernel(mismatch) &&
        forwarded(mismatch, mismatch.natgate)
      );
    },
  },
  {
    name: 'quoted-header-verified',
    packet: (mismatch) => {
      const { packet } = mismatch.step;
      return (
        packet.kind === 'error' &&
        (packet.badInner !== undefined || packet.lie === 'version') &&
        mismatch.natgate.length === 0 &&
        (mismatch.reasons.join() || 'bad_quote') === 'bad_quote' &&
        forwarded(mismatch, mismatch.kernel)
      );
    },
  },
  {
    name: 'identification',
    packet: ({ kernel, natgate }) => sameOutputs(withoutId(kernel), withoutId(natgate)),
  },
];

export function explain(mismatch: Mismatch): Difference | null {
  return differences.find((difference) => difference.packet(mismatch)) ?? null;
}

/** A packet whose time to live ran out: the kernel has tracked it before it noticed, natgate does not. */
export const EXPIRED: Difference = { name: 'expired-not-tracked', parts: true, packet: () => false };

export const differenceNames: readonly string[] = [...differences, EXPIRED].map(({ name }) => name);
