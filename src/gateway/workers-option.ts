/** `--workers N`: how many, and what cannot be had with more than one. */
import { availableParallelism } from 'node:os';
import { NatgateError } from '../core/errors.ts';
import type { HelperConfig } from '../nat/alg/registry.ts';
import type { NatConfig } from '../nat/config.ts';
import { MAX_WORKERS } from '../nat/port-class.ts';
import type { PortRange } from './options.ts';

/** Ports and flows below which a worker's part is a mistake. */
const MIN_PORTS = 64;
const MIN_FLOWS = 256;

export interface WorkersOptions {
  workers: number;
  ports: PortRange;
  flows: number;
  nat: NatConfig;
  helpers: readonly HelperConfig[];
}

/** A power of two, 1 to 16. Throws NatgateError `usage`. */
export function parseWorkers(value: number): number {
  if (!Number.isInteger(value) || value < 1 || value > MAX_WORKERS || (value & (value - 1)) !== 0) {
    refuse(`--workers ${value}: not a usable number`, 'give 1, 2, 4, 8 or 16');
  }
  return value;
}

/** Throws NatgateError `usage` for what several workers cannot do. */
export function refuseWithWorkers({ workers, ports, flows, nat, helpers }: WorkersOptions): void {
  if (workers === 1) return;
  const size = ports.last - ports.first + 1;
  if (size < workers * MIN_PORTS) {
    refuse(
      `--workers ${workers}: each has its part of the ports, and ${ports.first}-${ports.last} are too few`,
      `give at least ${workers * MIN_PORTS} --ports, or fewer workers`,
    );
  }
  if (flows < workers * MIN_FLOWS) {
    refuse(
      `--workers ${workers}: each has its part of the flow table, and ${flows} flows are too few`,
      `give at least ${workers * MIN_FLOWS} --flows, or fewer workers`,
    );
  }
  if (helpers.some(({ name }) => name === 'pptp')) {
    refuse(
      `--helper pptp: not with --workers ${workers}: GRE has no ports by which its calls could be divided`,
      'use one worker, or leave the helper out',
    );
  }
  for (const { behaviour } of nat.rules) refuseBlocks(workers, behaviour.blockSize, behaviour.deterministic);
}

/** More workers than processors take turns. Null: nothing to say. */
export function workersWarning(workers: number, processors = availableParallelism()): string | null {
  if (workers <= processors) return null;
  return `--workers ${workers}: this machine has ${processors} processors, and workers beyond them only take turns`;
}

function refuseBlocks(workers: number, blockSize: number, deterministic: boolean): void {
  if (blockSize === 0) return;
  if (!deterministic) {
    refuse(
      `--block-size ${blockSize}: not with --workers ${workers}: blocks are given out by one worker`,
      'use one worker, or give --deterministic as well',
    );
  }
  if (blockSize % (2 * workers) !== 0) {
    refuse(
      `--block-size ${blockSize}: each of ${workers} workers has its part of a block`,
      `give a multiple of ${2 * workers}`,
    );
  }
}

function refuse(what: string, remedy: string): never {
  throw new NatgateError('usage', what, remedy);
}
