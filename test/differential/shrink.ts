/**
 * Makes a failing sequence small: leaves steps out, first many and then single ones, and then simplifies what is left,
 * as long as it still fails. Each try is a run of its own with fresh addresses.
 */
import type { PacketSpec, Sequence, Step } from './step.ts';

const MOST_TRIES = 400;

export function shrink(failing: Sequence, fails: (sequence: Sequence) => boolean): Sequence {
  let tries = 0;
  const stillFails = (steps: readonly Step[]) =>
    steps.length > 0 && tries++ < MOST_TRIES && fails({ ...failing, steps });
  let steps = failing.steps;
  for (let size = steps.length >> 1; size >= 1; ) {
    const before = steps.length;
    for (let at = steps.length - size; at >= 0; at -= size) {
      const without = [...steps.slice(0, at), ...steps.slice(at + size)];
      if (stillFails(without)) steps = without;
    }
    if (size > 1) size >>= 1;
    else if (steps.length === before) break;
  }
  for (const simpler of SIMPLER) {
    for (let at = 0; at < steps.length; at++) {
      const step = steps[at]!;
      const packet = simpler(step.packet);
      if (JSON.stringify(packet) === JSON.stringify(step.packet)) continue;
      const changed = [...steps.slice(0, at), { ...step, packet }, ...steps.slice(at + 1)];
      if (stillFails(changed)) steps = changed;
    }
  }
  return { ...failing, steps };
}

const PLAIN_IP = { ttl: 64, tos: 0, id: 1, df: true, options: [] };

const SIMPLER: readonly ((packet: PacketSpec) => PacketSpec)[] = [
  (packet) => ({ ...packet, ip: { ...PLAIN_IP, id: packet.ip.id, df: packet.ip.df } }),
  (packet) => (packet.kind === 'tcp' ? { ...packet, options: [] } : packet),
  (packet) =>
    packet.kind === 'error' || packet.data === 0 ? packet : { ...packet, data: packet.data > 1 ? 1 : 0 },
  (packet) => {
    const { badChecksum: _bad, ...clean } = packet;
    return clean as PacketSpec;
  },
];
