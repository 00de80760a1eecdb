/** Contenders and workloads that are not tried together, by declaration: said in the report, never shown as zero. */
import type { Contender, Workload } from './types.ts';

export interface LeftOut {
  contender: string;
  workload: string;
  reason: string;
}

/** Why a contender does not do a workload; undefined when it does. */
export function leftOut(contender: Contender, workload: Workload): string | undefined {
  const reason = workload.without?.[contender.name];
  if (reason !== undefined) return reason;
  return contender.workloads?.includes(workload.name) === false ? contender.limits : undefined;
}

/** One line for each contender and reason, with the workloads. */
export function leftOutLines(omitted: readonly LeftOut[]): string[] {
  const lines = new Map<string, string[]>();
  for (const { contender, workload, reason } of omitted) {
    const key = `${contender} without`;
    const text = `${key}\n${reason}`;
    lines.set(text, [...(lines.get(text) ?? []), workload]);
  }
  return [...lines].map(([text, names]) => {
    const [key, reason] = text.split('\n');
    return `${key} ${names.join(', ')}: ${reason}`;
  });
}
