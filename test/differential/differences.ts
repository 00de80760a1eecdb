/**
 * The differences that are meant, by name; docs/differences-from-netfilter.md gives the reason of each.
 *
 * A predicate here is as narrow as it can be: it says which packet, which output of the kernel and which answer of
 * natgate make up the difference. What none of them matches is a bug of one of the two.
 */
import { be16, putBe16 } from '../../src/wire/bytes.ts';
import { TIME_EXCEEDED } from '../../src/wire/icmp.ts';
import { SYN } from '../../src/wire/tcp.ts';
import { sameOutputs } from './canonical.ts';
import type { Output } from './output.ts';
import type { Mismatch, StateMismatch } from './run-sequence.ts';
import { ICMP, type Sequence, type Side, type Step, TCP } from './step.ts';

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

/**
 * Without the identification of packets that have DF clear and either leave with the external address or are an error of
 * the gateway's own; all others must be kept.
 */
function withoutId(outputs: readonly Output[]): Output[] {
  return outputs.map(({ to, packet }) => {
    const own = to === 'public' || Buffer.compare(packet.subarray(12, 16), PRIVATE_ADDRESS) === 0;
    if (!own || (be16(packet, 6) & 0x4000) !== 0) return { to, packet };
    const copy = Uint8Array.from(packet);
    copy.fill(0, 4, 6);
    return { to, packet: copy };
  });
}

/** The gateway's on the private side. */
const PRIVATE_ADDRESS = Uint8Array.of(10, 77, 0, 1);

/** The highest MSS that fits the MTU of both sides. */
const MSS = 1460;

/** With the MSS option, the first one where it is (generate/tcp-talk.ts), lowered to what fits. */
function clamped(outputs: readonly Output[]): Output[] {
  return outputs.map(({ to, packet }) => {
    const option = ((packet[0]! & 15) << 2) + 20;
    if (packet[9] !== TCP || packet[option] !== 2 || be16(packet, option + 2) <= MSS) return { to, packet };
    const copy = Uint8Array.from(packet);
    putBe16(copy, option + 2, MSS);
    return { to, packet: copy };
  });
}

/** All pieces of the datagram that a step is a piece of. */
function datagramOf({ steps }: Sequence, step: Step): readonly Step[] {
  return steps.filter(
    (other) =>
      other.cut !== undefined && other.from === step.from && other.packet.ip.id === step.packet.ip.id,
  );
}

/** Whether the pieces make a datagram, as both gateways see it. */
function isWhole(pieces: readonly Step[]): boolean {
  const cuts = pieces.map(({ cut }) => cut!).sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const { offset, length } of cuts) {
    if (offset > end) return false;
    end = Math.max(end, offset + length);
  }
  return cuts.some(({ more }) => !more) && cuts.every((cut) => cut.shape !== 'overlapping');
}

const BAD_SUM: Difference = {
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
};

/**
 * A packet whose time to live ran out. The kernel has tracked it by then, and what is INVALID from outside gets no error,
 * for it is never translated and so never forwarded. natgate has parsed it, and says nothing about a malformed one.
 */
const EXPIRED: Difference = {
  name: 'expired-not-tracked',
  parts: true,
  packet: ({ step, kernel, natgate, reasons }) => {
    if (step.packet.ip.ttl > 1 || step.packet.kind === 'error') return false;
    if (step.from === 'public') return kernel.length === 0 && isTimeExceeded(natgate, 'public');
    return (
      natgate.length === 0 && /^bad_(udp|tcp)$/.test(reasons.join()) && isTimeExceeded(kernel, 'private')
    );
  },
};

function isTimeExceeded(outputs: readonly Output[], to: Side): boolean {
  if (outputs.length !== 1 || outputs[0]!.to !== to) return false;
  const { packet } = outputs[0]!;
  return packet[9] === ICMP && packet[20] === TIME_EXCEEDED && packet[21] === 0;
}

const IDENTIFICATION: Difference = {
  name: 'identification',
  packet: ({ kernel, natgate }) => sameOutputs(withoutId(kernel), withoutId(natgate)),
};

export const differences: readonly Difference[] = [
  {
    name: 'invalid-not-leaked',
    packet: (mismatch) =>
      mismatch.natgate.length === 0 && mismatch.kernel.length === 1 && invalidToKernel(mismatch),
  },
  BAD_SUM,
  EXPIRED,
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
    name: 'quoted-segment-verified',
    packet: (mismatch) =>
      mismatch.step.packet.kind === 'error' &&
      mismatch.natgate.length === 0 &&
      mismatch.reasons.join() === 'quote_out_of_window' &&
      forwarded(mismatch, mismatch.kernel),
  },
  {
    // The kernel drops a piece that lies inside those it has, whatever its bytes are, and goes on.
    name: 'overlap-inside',
    parts: true,
    packet: (mismatch) =>
      mismatch.natgate.length === 0 &&
      mismatch.reasons.join() === 'fragment_overlap' &&
      forwarded(mismatch, mismatch.kernel) &&
      datagramOf(mismatch.sequence, mismatch.step).some((step) => step.cut?.shape === 'overlapping'),
  },
  {
    name: 'mss-clamped',
    packet: ({ step, kernel, natgate }) =>
      step.packet.kind === 'tcp' &&
      (step.packet.flags & SYN) !== 0 &&
      !sameOutputs(kernel, natgate) &&
      sameOutputs(clamped(kernel), natgate),
  },
  IDENTIFICATION,
];

/** The differences that explain a mismatch, two where the identification is one of them; null when none do. */
export function explain(mismatch: Mismatch): Difference[] | null {
  const one = differences.find((difference) => difference.packet(mismatch));
  if (one !== undefined) return [one];
  const [kernel, natgate] = [withoutId(mismatch.kernel), withoutId(mismatch.natgate)];
  const other = differences.find((difference) => difference.packet({ ...mismatch, kernel, natgate }));
  return other === undefined ? null : [IDENTIFICATION, other];
}

/**
 * What the gateways do to a flow without a difference in what comes out: the sequence ends with it. `known`: natgate had a
 * flow for the packet.
 */
export function hidden({ packet }: Step, known: boolean): Difference | null {
  if (packet.ip.ttl <= 1 && known) return EXPIRED;
  return packet.kind !== 'error' && packet.badChecksum !== undefined && known ? BAD_SUM : null;
}

/**
 * natgate tracks a datagram by its first fragment, the kernel when it has all. What differs in the end may be that a flow
 * is there, or that it has been answered, and only after a first fragment whose datagram was never whole.
 */
const INCOMPLETE = 'incomplete-tracked';

function byIncomplete({ sequence, kernel, natgate }: StateMismatch): boolean {
  const firsts = sequence.steps.filter(
    (step) => step.cut?.offset === 0 && !isWhole(datagramOf(sequence, step)),
  );
  if (natgate === undefined) return false;
  const from = kernel === undefined ? 'private' : 'public';
  const more = kernel === undefined || (kernel.unreplied && !natgate.unreplied);
  return more && firsts.some((step) => step.from === from);
}

export function explainState(mismatch: StateMismatch): string | null {
  return byIncomplete(mismatch) ? INCOMPLETE : null;
}

export const differenceNames: readonly string[] = [...differences.map(({ name }) => name), INCOMPLETE];
