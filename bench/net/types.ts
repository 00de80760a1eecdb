/** The two things that can be added to the comparison: a contender and a workload, each a file of its own. */
import type { Child } from './processes.ts';
import type { Topology } from './topology.ts';

/** A command that must be there, and the Debian package it comes in. */
export interface Tool {
  command: string;
  package: string;
}

/** Something that lets the client reach the server. */
export interface Contender {
  name: string;
  /** For the reader of the figures: what it is and how it differs. */
  about: string;
  needs: readonly Tool[];
  /** Names of the workloads it can do; all when absent. */
  workloads?: readonly string[];
  /** Why it is left out of the others; goes with `workloads`. */
  limits?: string;
  /** What has to be built, once, before the first round. */
  prepare?(): Promise<void>;
  /**
   * Resolves once packets can flow, with the processes that move them (none when the kernel does). They belong
   * to the topology, which stops them and removes its namespaces: nothing else is left to undo.
   */
  start(topology: Topology): Promise<Child[]>;
}

/** A row of the report. */
export interface Metric {
  name: string;
  title: string;
  unit: string;
  better: 'higher' | 'lower';
  /** Decimals shown. */
  digits: number;
}

/** One measurement, made by traffic between client and server. */
export interface Workload extends Metric {
  /** For the reader of the figures: how it is measured, with every number that could be a limit. */
  about?: string;
  needs: readonly Tool[];
  /** What CPU time is divided by, e.g. `GB`; absent when that says nothing. */
  costUnit?: string;
  /** What one run yields, when that is more than one value; each has a row of its own in the report. */
  figures?: readonly Metric[];
  /** Contenders that it leaves out, by name, with the reason. */
  without?: Readonly<Record<string, string>>;
  /** It leaves connections behind, or needs empty tables: the contender is started for it, and ended after it. */
  fresh?: boolean;
  /** Before a measurement; without it, a shorter `run`. */
  warmUp?(topology: Topology): Promise<unknown>;
  run(topology: Topology, seconds: number): Promise<Sample>;
}

export interface Sample {
  /** In the workload's unit. */
  value: number;
  /** By name of the workload's figures, when it has some. */
  values?: Readonly<Record<string, number>>;
  /** How much was carried, in cost units. */
  amount?: number;
  /** Further figures, kept in the JSON only. */
  details?: Record<string, number>;
}

/** What came of one workload (or one of its figures) on one contender in one round. */
export interface Reading {
  round: number;
  contender: string;
  workload: string;
  value?: number;
  /** CPU seconds per cost unit of the gateway's processes, and of the whole machine. */
  gatewayCost?: number;
  machineCost?: number;
  details?: Record<string, number>;
  /** Why there is no value. */
  error?: string;
}

/** The rows of a workload in the report: itself, or its figures as if each were a workload. */
export function rowsOf(workload: Workload): Workload[] {
  return workload.figures?.map((figure) => ({ ...workload, ...figure })) ?? [workload];
}
