/** Saved flows into a gateway: into the states, by the engine out of them, and what is said of it. */
import { join } from 'node:path';
import type { Log } from '../log.ts';
import type { RunMemory } from '../run/run-memory.ts';
import type { RunRecord } from '../run/run-record.ts';
import { SavedFlowsReader } from './format.ts';
import type { Restored } from './restore.ts';

export interface RestoredFlows extends Restored {
  /** Their address, port or forward is not here. */
  lost: number;
}

/** Where a running gateway looks for flows that it is to take over: only root can put them there. */
export function restorePath(directory: string): string {
  return join(directory, 'restore.flows');
}

/**
 * Restores the flows of a file. `restart`: calls what it is given while no engine has the states, and resolves when one has taken them
 * over. Rejects with NatgateError of the file, or as `restart` does.
 */
export async function restoring(
  path: string,
  memory: Pick<RunMemory, 'restore' | 'lost'>,
  record: Pick<RunRecord, 'rules' | 'timeouts'>,
  restart: (between: () => void) => Promise<void>,
  log: Log,
): Promise<RestoredFlows> {
  const file = new SavedFlowsReader(path);
  try {
    let found: Restored | undefined;
    let lostBefore = 0;
    await restart(() => {
      found = memory.restore(file, record);
      lostBefore = memory.lost;
    });
    const lost = memory.lost - lostBefore;
    const restored = { ...found!, restored: Math.max(found!.restored - lost, 0), lost };
    log(restoredLine(restored));
    return restored;
  } finally {
    file.close();
  }
}

/** What became of them, for a person. */
export function restoredLine({ restored, truncated, ...rest }: RestoredFlows): string {
  const { there, expired, ruleless, full, lost, damaged } = rest;
  const parts: [number, string][] = [
    [there, 'there already'],
    [expired, 'expired'],
    [ruleless, 'of rules that are not here'],
    [lost, 'whose address, port or forward is not here'],
    [full, 'without room'],
    [damaged, 'damaged'],
  ];
  const left = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  if (truncated) left.push('the file ends before its end');
  return `${restored} flows restored${left.length === 0 ? '' : `; ${left.join(', ')}`}`;
}
