/**
 * Rule sets through the kernel and through natgate: each is loaded by iptables-restore here, and imported into natgate, in memory or running; then the
 * same flows go through both. All first packets of a set, then all answers, then all that follow, those from inside before those from outside: so
 * that counts of connections and limits see the same order.
 */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describePacket } from '../../src/testing/packets.ts';
import { readPacket } from '../../src/testing/read-packet.ts';
import { Dice } from '../differential/dice.ts';
import { KernelGateway } from '../differential/kernel.ts';
import { flushKernelFlows } from '../differential/kernel-flows.ts';
import type { Output } from '../differential/output.ts';
import type { Side } from '../differential/step.ts';
import { importSet } from './imported.ts';
import { LiveNatgate } from './live.ts';
import { MemoryNatgate } from './memory.ts';
import type { Natgate } from './natgate.ts';
import { EXTERNAL, type RuleSet, ruleSet } from './rule-sets.ts';
import { answerTo, type Flow, firstPacket, flowOf, nextPacket, numberOf } from './traffic.ts';
import { isRejection, verdict } from './verdicts.ts';

export interface Summary {
  sets: number;
  rules: number;
  /** Sets of which something was not carried; their differences are `expected`. */
  partial: number;
  /** Why, and how many sets have it so. */
  reasons: Map<string, number>;
  packets: number;
  flows: number;
  /** Verdicts about first packets. */
  verdicts: Record<string, number>;
  expected: number;
  /** Differences of sets that were carried whole, described. */
  unexplained: string[];
}

export interface RunOptions {
  seed: number;
  sets: number;
  flows: number;
  first: number;
  most: number;
  /** The namespace that natgate is to run in; null: in memory. */
  live: string | null;
}

/** A reason that says nothing of these packets: none comes from there, or goes there. */
const VOID = 'natgate does not serve x9';
/** Flows of a set that needs time between them, and how much: three ticks of a kernel of 250 Hz. */
const PACED_FLOWS = 50;
const PACE_MS = 13;

/** A packet for each gateway: an answer goes to where each has the flow. */
interface Probe {
  flow: Flow;
  side: Side;
  kernel: Uint8Array;
  natgate: Uint8Array;
}

/** What came out, for a probe. */
interface Passed {
  flow: Flow;
  kernel: Output[];
  natgate: Output[];
}

export async function run(options: RunOptions, progress: (done: number) => void): Promise<Summary> {
  const kernel = new KernelGateway();
  for (const address of EXTERNAL.slice(1)) execFileSync('ip', ['addr', 'add', `${address}/32`, 'dev', 'w0']);
  const natgate = options.live === null ? new MemoryNatgate() : new LiveNatgate(options.live);
  const summary: Summary = {
    sets: 0,
    rules: 0,
    partial: 0,
    reasons: new Map(),
    packets: 0,
    flows: 0,
    verdicts: {},
    expected: 0,
    unexplained: [],
  };
  try {
    for (let number = options.first; number < options.first + options.sets; number++) {
      const dice = new Dice(options.seed, number);
      const set = ruleSet(dice, number, Date.now());
      const external = EXTERNAL.filter((address, i) => i === 0 || set.text.includes(address));
      const count = set.isPaced ? Math.min(options.flows, PACED_FLOWS) : options.flows;
      const flows = Array.from({ length: count }, (_, i) => flowOf(dice, number, i, external));
      await new Trial(kernel, natgate, set, summary).run(flows);
      if (summary.unexplained.length >= options.most) break;
      progress(summary.sets);
    }
  } finally {
    await natgate.close();
  }
  return summary;
}

class Trial {
  readonly #kernel: KernelGateway;
  readonly #natgate: Natgate;
  readonly #set: RuleSet;
  readonly #summary: Summary;
  #isWhole = true;
  #differences = 0;

  constructor(kernel: KernelGateway, natgate: Natgate, set: RuleSet, summary: Summary) {
    this.#kernel = kernel;
    this.#natgate = natgate;
    this.#set = set;
    this.#summary = summary;
  }

  async run(flows: readonly Flow[]): Promise<void> {
    await this.#load();
    const summary = this.#summary;
    summary.flows += flows.length;
    const first = flows.map((flow): Probe => {
      const packet = firstPacket(flow);
      return { flow, side: flow.side, kernel: packet, natgate: packet };
    });
    const begun = await this.#pass(first, 'first packet');
    const answers = begun.flatMap(({ flow, kernel, natgate }): Probe[] => {
      const other: Side = flow.side === 'private' ? 'public' : 'private';
      const crossed = [kernel, natgate].map((outputs) => outputs.find(({ to }) => to === other));
      if (crossed[0] === undefined || crossed[1] === undefined) return [];
      const [toKernel, toNatgate] = crossed.map((output) => answerTo(flow, readPacket(output!.packet)));
      return [{ flow, side: other, kernel: toKernel!, natgate: toNatgate! }];
    });
    const answered = await this.#pass(answers, 'answer');
    const next = answered.map(({ flow }): Probe => {
      const packet = nextPacket(flow);
      return { flow, side: flow.side, kernel: packet, natgate: packet };
    });
    await this.#pass(next, 'next packet');
  }

  async #load(): Promise<void> {
    const set = this.#set;
    const { text } = set;
    execFileSync('iptables-restore', ['-w'], { input: text, stdio: ['pipe', 'ignore', 'inherit'] });
    flushKernelFlows();
    const saved = execFileSync('iptables-save', { encoding: 'utf8' });
    const imported = importSet(saved, this.#natgate.devices);
    await this.#natgate.load(imported.text, set.isPaced);
    const summary = this.#summary;
    summary.sets++;
    summary.rules += text.split('\n').filter((line) => line.startsWith('-A')).length;
    const reasons = imported.reasons.filter((reason) => !reason.endsWith(VOID));
    this.#isWhole = reasons.length === 0;
    if (this.#isWhole) return;
    summary.partial++;
    for (const reason of new Set(reasons.map(withoutRule)))
      summary.reasons.set(reason, (summary.reasons.get(reason) ?? 0) + 1);
  }

  /** Of the probes that both gateways did the same with, what that was. */
  async #pass(probes: readonly Probe[], what: string): Promise<Passed[]> {
    const summary = this.#summary;
    summary.packets += probes.length;
    const ordered = (['private', 'public'] as const).flatMap((side) =>
      probes.filter((probe) => probe.side === side),
    );
    const natgate = byFlow(
      await this.#natgate.send(ordered.map((probe) => ({ side: probe.side, packet: probe.natgate }))),
    );
    const outputs: Output[] = [];
    for (const probe of ordered) {
      outputs.push(...this.#kernel.send(probe.side, probe.kernel));
      if (this.#set.isPaced && what === 'first packet') await sleep(PACE_MS);
    }
    let kernel = byFlow(outputs);
    if ([...natgate].some(([number, { length }]) => (kernel.get(number)?.length ?? 0) < length)) {
      outputs.push(...this.#kernel.lookAgain());
      kernel = byFlow(outputs);
    }
    const same: Passed[] = [];
    for (const { flow, side, kernel: packet } of ordered) {
      const passed = {
        flow,
        kernel: kernel.get(flow.number) ?? [],
        natgate: natgate.get(flow.number) ?? [],
      };
      kernel.delete(flow.number);
      natgate.delete(flow.number);
      const told = {
        kernel: verdict(flow, passed.kernel, true),
        natgate: verdict(flow, passed.natgate, true),
      };
      if (what === 'first packet') count(summary, flow, passed.kernel);
      if (told.kernel === told.natgate) same.push(passed);
      else
        this.#differs(
          `${what} ${describePacket(packet)} from ${side}\n  kernel:  ${told.kernel}\n  natgate: ${told.natgate}`,
        );
    }
    for (const [name, rest] of [
      ['the kernel', kernel],
      ['natgate', natgate],
    ] as const)
      for (const output of [...rest.values()].flat())
        this.#differs(`nobody asked ${name} for: to ${output.to} ${describePacket(output.packet)}`);
    return same;
  }

  #differs(what: string): void {
    if (!this.#isWhole) {
      this.#summary.expected++;
      return;
    }
    const about = `set ${this.#set.number}, ${what}`;
    this.#summary.unexplained.push(this.#differences++ === 0 ? `${this.#set.text}\n${about}` : about);
  }
}

function byFlow(outputs: readonly Output[]): Map<number, Output[]> {
  const flows = new Map<number, Output[]>();
  for (const output of outputs) {
    const number = numberOf(output.packet);
    const known = flows.get(number);
    if (known === undefined) flows.set(number, [output]);
    else known.push(output);
  }
  return flows;
}

/** `line 5: -A FORWARD …: why` without what is of one rule only. */
function withoutRule(reason: string): string {
  return reason.replace(/^line \d+: .*?: /, '').replace(/\b\d+(?:[-–,]\d+)*\b/g, 'N');
}

function count({ verdicts }: Summary, flow: Flow, outputs: readonly Output[]): void {
  const name =
    outputs.length === 0
      ? 'dropped'
      : outputs.some((output) => isRejection(flow, output))
        ? 'rejected'
        : 'forwarded';
  verdicts[name] = (verdicts[name] ?? 0) + 1;
}
