/** A long run in several processes: each has its share of the packets, and seeds that no other has. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { EPISODE_PACKETS } from './episode.ts';

/**
 * Runs this program `jobs` times with `--packets` of its share (or `--minutes`, as it is) and a seed of its own; their lines come out
 * with the number of the job before them. Returns whether all went well.
 */
export async function runJobs(
  jobs: number,
  packets: number,
  minutes: number,
  seed: number,
): Promise<boolean> {
  const share = Math.ceil(packets / jobs);
  // Episodes have neighbouring seeds. Those of a run that ends by the clock are far apart.
  const apart = Number.isFinite(share) ? Math.ceil(share / EPISODE_PACKETS) : Math.floor(2 ** 32 / jobs);
  const all = Array.from({ length: jobs }, (_, job) => {
    const bound = Number.isFinite(share) ? ['--packets', String(share)] : ['--minutes', String(minutes)];
    return one(job, [...bound, '--seed', String((seed + job * apart) >>> 0)]);
  });
  return (await Promise.all(all)).every((status) => status === 0);
}

function one(job: number, args: string[]): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on('line', (line) => console.log(`${job}: ${line}`));
  }
  return new Promise((resolve) => child.on('close', (status) => resolve(status ?? 1)));
}
