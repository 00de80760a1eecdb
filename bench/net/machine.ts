/** What a reader must know about the machine to judge the figures. */
import os from 'node:os';
import { run } from './processes.ts';
import { ROOT } from './tools.ts';
import type { Tool } from './types.ts';

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  node: string;
  commit: string;
  date: string;
  /** `name version` of the Debian packages used; empty elsewhere. */
  packages: string[];
}

export async function describeMachine(tools: readonly Tool[]): Promise<Machine> {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.versions.node,
    commit: await commit(),
    date: new Date().toISOString().slice(0, 10),
    packages: await packageVersions(tools),
  };
}

async function commit(): Promise<string> {
  try {
    const hash = (await run('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: ROOT })).trim();
    // Figures that another part has just written change nothing that is measured.
    const changes = await run('git', ['status', '--porcelain', '--untracked-files=no', '--', ':!docs'], {
      cwd: ROOT,
    });
    return changes === '' ? hash : `${hash} with uncommitted changes`;
  } catch {
    return 'unknown';
  }
}

async function packageVersions(tools: readonly Tool[]): Promise<string[]> {
  const names = [...new Set(tools.map((tool) => tool.package))].sort();
  if (names.length === 0) return [];
  try {
    // Without a format: name and version, separated by a tab.
    const lines = await run('dpkg-query', ['-W', ...names]);
    return lines.trim().replaceAll('\t', ' ').split('\n');
  } catch {
    return [];
  }
}
