/**
 * A run: sequences in batches, the flows of each batch compared at its end, failing sequences made small. A batch is
 * over long before any timer, so time plays no part.
 */
import { Coverage } from './coverage.ts';
import { generate } from './generate/index.ts';
import { KernelGateway } from './kernel.ts';
import { flushKernelFlows, kernelFlows } from './kernel-flows.ts';
import { NatgateGateway } from './natgate.ts';
import { describeMismatch, describeStateMismatch } from './report.ts';
import { compareStates, type Mismatch, runSequence, type StateMismatch } from './run-sequence.ts';
import { shrink } from './shrink.ts';
import type { Sequence } from './step.ts';

const BATCH = 100;

type Failure = Mismatch | StateMismatch;

export interface Summary {
  sequences: number;
  packets: number;
  /** Sequences by generator. */
  kinds: Record<string, number>;
  /** Explained differences by name. */
  explained: Record<string, number>;
  /** Descriptions of the unexplained ones, each of a sequence that has been made small. */
  unexplained: string[];
  coverage: Coverage;
  /** Numbers of sequences that failed, and that were not looked into because there were too many. */
  more: number[];
}

export interface RunOptions {
  seed: number;
  first: number;
  count: number;
  /** Only sequences of these kinds; null for all. */
  kinds: readonly string[] | null;
  /** Failing sequences that are made small; the run ends after as many. */
  most: number;
  progress?: (done: number) => void;
}

export class Run {
  private readonly gateways = { kernel: new KernelGateway(), natgate: new NatgateGateway() };
  private runs = 0;

  run(options: RunOptions): Summary {
    const summary: Summary = {
      sequences: 0,
      packets: 0,
      kinds: {},
      explained: {},
      unexplained: [],
      coverage: new Coverage(),
      more: [],
    };
    const end = options.first + options.count;
    for (let first = options.first; first < end; first += BATCH) {
      const failed = this.batch(options, first, Math.min(BATCH, end - first), summary);
      for (const found of failed) {
        if (summary.unexplained.length < options.most) {
          summary.unexplained.push(this.explore(options.seed, found));
        } else {
          summary.more.push(found.sequence.number);
        }
      }
      options.progress?.(summary.sequences);
      if (summary.unexplained.length >= options.most) break;
    }
    return summary;
  }

  /** Runs sequences and returns those that failed. */
  private batch({ seed, kinds }: RunOptions, first: number, count: number, summary: Summary): Failure[] {
    const failed: Failure[] = [];
    const ended: [Sequence, number[]][] = [];
    for (let number = first; number < first + count; number++) {
      const sequence = generate(seed, number);
      if (kinds !== null && !kinds.includes(sequence.kind)) continue;
      const result = runSequence(this.gateways, sequence, this.runs++, summary.coverage);
      summary.sequences++;
      summary.packets += result.packets;
      tally(summary.kinds, sequence.kind);
      for (const difference of result.explained) tally(summary.explained, difference.name);
      if (result.unexplained !== null) failed.push(result.unexplained);
      else ended.push([sequence, result.clients]);
    }
    const [kernel, natgate] = [kernelFlows(), this.gateways.natgate.flows()];
    for (const [sequence, clients] of ended) {
      const { explained, unexplained } = compareStates(sequence, clients, kernel, natgate);
      for (const name of explained) tally(summary.explained, name);
      if (unexplained !== null) failed.push(unexplained);
    }
    this.reset();
    return failed.sort((a, b) => a.sequence.number - b.sequence.number);
  }

  /** Makes a failing sequence small and says what is wrong with it. */
  private explore(seed: number, failure: Failure): string {
    const kind = kindOf(failure);
    const again = (sequence: Sequence) => {
      const found = this.check(sequence);
      return found !== null && kindOf(found) === kind ? found : null;
    };
    let smallest = again(failure.sequence);
    if (smallest === null) return `${describeFailure(seed, failure)}\n  but not when it was run again, alone`;
    shrink(failure.sequence, (smaller) => {
      const found = again(smaller);
      if (found !== null) smallest = found;
      return found !== null;
    });
    return describeFailure(seed, smallest);
  }

  /** One sequence alone, with its states at the end. */
  private check(sequence: Sequence): Failure | null {
    const { unexplained, clients } = runSequence(this.gateways, sequence, this.runs++, null);
    const natgate = this.gateways.natgate.flows();
    const found = unexplained ?? compareStates(sequence, clients, kernelFlows(), natgate).unexplained;
    this.reset();
    return found;
  }

  private reset(): void {
    flushKernelFlows();
    this.gateways.natgate.reset();
  }
}

function tally(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

function describeFailure(seed: number, failure: Failure): string {
  return 'step' in failure ? describeMismatch(seed, failure) : describeStateMismatch(seed, failure);
}

/** What a smaller sequence must share with the one it came from: the same sort of failure, not just any. */
function kindOf(failure: Failure): string {
  if (!('step' in failure)) return `state ${failure.kernel?.state} ${failure.natgate?.state}`;
  const { kernel, natgate, step, reasons, tcpState } = failure;
  return [step.packet.kind, step.from, tcpState, kernel.length, natgate.length, ...reasons].join(' ');
}
