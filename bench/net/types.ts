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
  /** What has to be built, once, before the first round. */
  prepare?(): Promise<void>;
  /**
   * Resolves once packets can flow, with the processes that move them (none when the kernel does). They belong
   * to the topology, which stops them and removes its namespaces: nothing else is left to undo.
   */
  start(topology: Topology): Promise<Child[]>;
}

/** One measurement, made by traffic between client and server. */
export interface Workload {
  name: string;
  title: string;
  unit: string;
  better: 'higher' | 'lower';
  /** Decimals shown. */
  digits: number;
  needs: readonly Tool[];
  /** What CPU time is divided by, e.g. `GB`; absent when that says nothing. */
  costUnit?: string;
  run(topology: Topology, seconds: number): Promise<Sample>;
}

export interface Sample {
  /** In the workload's unit. */
  value: number;
  /** How much was carried, in cost units. */
  amount?: number;
  /** Further figures, kept in the JSON only. */
  details?: Record<string, number>;
}

/** What came of one workload on one contender in one round. */
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
