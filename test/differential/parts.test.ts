/** The parts of the oracle that run without the kernel: what it compares must be what it says it compares. */
import { describe, expect, test } from 'vitest';
import { buildStep, type View } from './build.ts';
import { canonical, sameOutputs } from './canonical.ts';
import { generate } from './generate/index.ts';
import type { Output } from './output.ts';
import { Reassembler } from './reassembly.ts';
import { shrink } from './shrink.ts';
import type { FlowPacket, Step } from './step.ts';

const ip = { ttl: 64, tos: 0, id: 7, df: false, options: [] };
const udp: FlowPacket = { kind: 'udp', flow: 0, ip, data: 100 };
const view = (clientPort: number): View => ({
  client: 0x010012c6,
  clientPort,
  server: 0x020012c6,
  serverPort: 53,
  router: 0x090012c6,
  stranger: 0x080012c6,
});
const outward = (step: Step, port: number): Output => ({ to: 'public', packet: buildStep(step, view(port)) });

describe('comparison', () => {
  test.each<[string, FlowPacket]>([
    ['udp', udp],
    ['udp without checksum', { ...udp, unsummed: true }],
    [
      'tcp',
      { kind: 'tcp', flow: 0, ip, flags: 2, seq: 1, ack: 0, window: 9, options: [2, 4, 5, 180], data: 3 },
    ],
    ['query', { kind: 'query', flow: 0, ip, type: 8, code: 0, sequence: 1, data: 5 }],
  ])('%s: the same but for the external port', (_, packet) => {
    const step: Step = { from: 'private', packet };
    const [a, b] = [canonical(outward(step, 40_000), 40_000, 5000), canonical(outward(step, 77), 77, 5000)];
    expect(sameOutputs([a], [b])).toBe(true);
    const wrong = Uint8Array.from(outward(step, 77).packet);
    wrong[wrong.length - 1]! ^= 1;
    const c = canonical({ to: 'public', packet: wrong }, 77, 5000);
    expect(sameOutputs([a], [c])).toBe(false);
    // The port that was to be replaced is another.
    expect(sameOutputs([a], [canonical(outward(step, 78), 77, 5000)])).toBe(false);
  });

  test('quotes of errors: the port and its checksum', () => {
    const error = (port: number) =>
      outward(
        {
          from: 'private',
          packet: {
            kind: 'error',
            flow: 0,
            ip,
            type: 3,
            code: 3,
            rest: 0,
            quoted: udp,
            quote: 'full',
            sender: 'peer',
          },
        },
        port,
      );
    const [a, b] = [canonical(error(40_000), 40_000, 5000), canonical(error(77), 77, 5000)];
    expect(sameOutputs([a], [b])).toBe(true);
    const wrong = Uint8Array.from(error(77).packet);
    wrong[20 + 8 + 20 + 6]! ^= 1;
    expect(sameOutputs([a], [canonical({ to: 'public', packet: wrong }, 77, 5000)])).toBe(false);
  });

  test('a checksum that was computed is not one that was left out', () => {
    const summed = canonical(outward({ from: 'private', packet: udp }, 77), 77, 5000);
    const unsummed = canonical(
      outward({ from: 'private', packet: { ...udp, unsummed: true } }, 77),
      77,
      5000,
    );
    expect(sameOutputs([summed], [unsummed])).toBe(false);
  });
});

test('fragments make the datagram again, in any order, and overlapping ones none', () => {
  const piece = (offset: number, length: number, more: boolean): Output =>
    outward({ from: 'private', packet: udp, cut: { offset, length, more, shape: 'in order' } }, 77);
  const whole = outward({ from: 'private', packet: udp }, 77);
  const [first, second, third] = [piece(0, 48, true), piece(48, 40, true), piece(88, 20, false)];
  const reassembler = new Reassembler();
  expect(reassembler.take([third!, first!])).toEqual([]);
  const [made] = reassembler.take([second!]);
  expect(Buffer.from(made!.packet)).toEqual(Buffer.from(whole.packet));
  expect(new Reassembler().take([first!, piece(40, 48, true), third!])).toEqual([]);
});

test('the same seed makes the same sequences, another seed others', () => {
  for (let number = 0; number < 200; number++) {
    expect(generate(5, number)).toEqual(generate(5, number));
  }
  expect(generate(5, 1)).not.toEqual(generate(6, 1));
});

test('a failing sequence shrinks to the steps that matter', () => {
  const steps = Array.from(
    { length: 30 },
    (_, data): Step => ({ from: 'private', packet: { ...udp, data } }),
  );
  const has = (all: readonly Step[], data: number) =>
    all.some(({ packet }) => packet.kind === 'udp' && packet.data === data);
  const small = shrink(
    { number: 0, kind: 'udp', flows: [], steps },
    (sequence) => has(sequence.steps, 11) && has(sequence.steps, 23),
  );
  expect(small.steps.map(({ packet }) => packet.kind === 'udp' && packet.data)).toEqual([11, 23]);
});
