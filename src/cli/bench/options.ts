/** What can be asked of `natgate bench`. Light: the verb loads it before it knows whether it will run. */
import { NatgateError } from '../../core/errors.ts';

export interface BenchOptions {
  rounds: number;
  /** Whole: iperf3 knows no parts. */
  seconds: number;
  only: Only;
  json: boolean;
}

/** Names that were asked for; empty: all. */
export interface Only {
  contenders: readonly ContenderName[];
  workloads: readonly WorkloadName[];
}

/** In the order of the columns. */
export const CONTENDERS = ['natgate', 'kernel', 'slirp4netns', 'pasta'] as const;
export type ContenderName = (typeof CONTENDERS)[number];

/** In the order of the rows. */
export const WORKLOADS = ['tcp-out', 'tcp-in', 'tcp-8', 'udp', 'rtt', 'connections'] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

/** `kernel,tcp-out`; natgate is always one of the contenders. Throws NatgateError `usage`. */
export function parseOnly(text: string | undefined): Only {
  const contenders = new Set<ContenderName>();
  const workloads = new Set<WorkloadName>();
  for (const word of text?.split(',') ?? []) {
    const contender = CONTENDERS.find((name) => name === word);
    const workload = WORKLOADS.find((name) => name === word);
    if (contender !== undefined) contenders.add(contender);
    else if (workload !== undefined) workloads.add(workload);
    else {
      throw new NatgateError(
        'usage',
        `--only ${word}: neither a contender nor a measurement`,
        `there are ${[...CONTENDERS, ...WORKLOADS].join(', ')}`,
      );
    }
  }
  return {
    contenders: CONTENDERS.filter(
      (name) => contenders.has(name) || (contenders.size > 0 && name === 'natgate'),
    ),
    workloads: WORKLOADS.filter((name) => workloads.has(name)),
  };
}
