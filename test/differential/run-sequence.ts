/** Runs one sequence through both gateways, step by step, until its end or the first difference that matters. */
import { buildStep } from './build.ts';
import { canonical, sameOutputs } from './canonical.ts';
import type { Coverage } from './coverage.ts';
import { type Difference, explain, explainState, hidden } from './differences.ts';
import type { KernelGateway } from './kernel.ts';
import type { NatgateGateway } from './natgate.ts';
import type { FlowState, FlowStates, Output } from './output.ts';
import { Plan } from './plan.ts';
import { Reassembler } from './reassembly.ts';
import type { Sequence, Step } from './step.ts';

export interface Gateways {
  kernel: KernelGateway;
  natgate: NatgateGateway;
}

/** A step whose outputs differ. */
export interface Mismatch {
  sequence: Sequence;
  index: number;
  step: Step;
  /** The packet as it went into each. */
  sent: { kernel: Uint8Array; natgate: Uint8Array };
  /** What came out, made comparable. */
  kernel: readonly Output[];
  natgate: readonly Output[];
  /** natgate's reasons for dropping it. */
  reasons: readonly string[];
  /** natgate's TCP state of the flow before the step. */
  tcpState: string;
}

/** A flow that stands differently at the end. */
export interface StateMismatch {
  sequence: Sequence;
  /** Name of the flow: protocol, client, server. */
  flow: string;
  kernel: FlowState | undefined;
  natgate: FlowState | undefined;
}

export interface RunResult {
  /** Packets that each gateway was given. */
  packets: number;
  /** Differences that were explained. */
  explained: Difference[];
  unexplained: Mismatch | null;
  /** Addresses of the clients, whose flows are to be compared; none when the gateways went different ways, with reason. */
  clients: number[];
}

export function runSequence(
  gateways: Gateways,
  sequence: Sequence,
  run: number,
  coverage: Coverage | null,
): RunResult {
  const { kernel, natgate } = gateways;
  const plans = { kernel: new Plan(run, sequence.flows), natgate: new Plan(run, sequence.flows) };
  const reassemblers = { kernel: new Reassembler(), natgate: new Reassembler() };
  const result: RunResult = { packets: 0, explained: [], unexplained: null, clients: [] };
  natgate.pause();
  for (const [index, step] of sequence.steps.entries()) {
    const { flow } = step.packet;
    const sent = {
      kernel: buildStep(step, plans.kernel.view(step.from, flow)),
      natgate: buildStep(step, plans.natgate.view(step.from, flow)),
    };
    const before = natgate.before(step.from, sent.natgate);
    coverage?.count(step, before, natgate);
    const drops = natgate.drops();
    const fromNatgate = reassemblers.natgate.take(natgate.send(step.from, sent.natgate));
    const fromKernel = reassemblers.kernel.take(kernel.send(step.from, sent.kernel));
    if (fromKernel.length < fromNatgate.length) {
      fromKernel.push(...reassemblers.kernel.take(kernel.lookAgain()));
    }
    result.packets++;
    const { clientPort } = sequence.flows[flow]!;
    const outputs = {
      kernel: comparable(plans.kernel, flow, clientPort, fromKernel),
      natgate: comparable(plans.natgate, flow, clientPort, fromNatgate),
    };
    const parted = hidden(step, before.handle >= 0);
    if (sameOutputs(outputs.kernel, outputs.natgate)) {
      if (parted === null) continue;
      result.explained.push(parted);
      return result;
    }
    const mismatch: Mismatch = {
      sequence,
      index,
      step,
      sent,
      ...outputs,
      reasons: newDrops(drops, natgate.drops()),
      tcpState: before.tcpState,
    };
    const differences = explain(mismatch);
    if (differences === null) {
      result.unexplained = mismatch;
      return result;
    }
    result.explained.push(...differences);
    if (parted !== null && !differences.includes(parted)) result.explained.push(parted);
    if (parted !== null || differences.some(({ parts }) => parts)) return result;
  }
  result.clients = [...new Set(sequence.flows.map((_, flow) => plans.kernel.client(flow)))];
  return result;
}

function comparable(plan: Plan, flow: number, clientPort: number, outputs: readonly Output[]): Output[] {
  for (const output of outputs) if (output.to === 'public') plan.learn(flow, output.packet);
  return outputs.map((output) => canonical(output, plan.external[flow] || -1, clientPort));
}

function newDrops(before: Record<string, number>, after: Record<string, number>): string[] {
  return Object.keys(after).filter((name) => after[name] !== (before[name] ?? 0));
}

/** Compares how the flows of a run's clients stand. */
export function compareStates(
  sequence: Sequence,
  clients: readonly number[],
  kernel: FlowStates,
  natgate: FlowStates,
): { explained: string[]; unexplained: StateMismatch | null } {
  const explained: string[] = [];
  for (const client of clients) {
    const [left, right] = [kernel.of(client), natgate.of(client)];
    for (const flow of new Set([...left.keys(), ...right.keys()])) {
      if (sameState(left.get(flow), right.get(flow))) continue;
      const mismatch = { sequence, flow, kernel: left.get(flow), natgate: right.get(flow) };
      const name = explainState(mismatch);
      if (name === null) return { explained, unexplained: mismatch };
      explained.push(name);
    }
  }
  return { explained, unexplained: null };
}

function sameState(a: FlowState | undefined, b: FlowState | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.state === b.state && a.assured === b.assured && a.unreplied === b.unreplied;
}
