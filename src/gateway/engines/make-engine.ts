/** The engines of a gateway: who keeps one forwarding, and who looks after those that are not well. */
import { addon } from '../../link/addon.ts';
import type { Taps } from '../capture/taps.ts';
import type { GatewaySetup } from '../gateway-setup.ts';
import type { HostFollower } from '../host/host-follower.ts';
import type { Tuns } from '../host/tuns.ts';
import type { RunOptions } from '../options.ts';
import type { Resolvers } from '../resolvers.ts';
import type { RunMemory } from '../run/run-memory.ts';
import type { RunRecord } from '../run/run-record.ts';
import { EngineCare } from './engine-care.ts';
import { EngineKeeper } from './engine-keeper.ts';
import { startMessage } from './engine-settings.ts';
import { setQueueLength } from './queue-reserve.ts';

/** What engines are made of. */
export interface EngineParts {
  /** The run directory. */
  directory: string;
  /** In force. */
  options(): RunOptions;
  memory: RunMemory;
  taps: Taps;
  tuns: Tuns;
  ownedFd: number;
  follower: HostFollower;
  resolvers: Resolvers;
  /** Into the run record. */
  record(news: Partial<RunRecord>): void;
  onBrokenQueue(): void;
}

/** None is started yet. */
export function makeEngine(
  { names, credentials, log }: Pick<GatewaySetup, 'names' | 'credentials' | 'log'>,
  parts: EngineParts,
): { engine: EngineKeeper; care: EngineCare } {
  const { directory, options, memory, taps, tuns, ownedFd, follower, resolvers } = parts;
  const { events } = memory;
  const care: EngineCare = new EngineCare({
    ...{ directory, names, events, log, heartbeats: memory.heartbeats() },
    pid: () => engine.pid,
    changed: (health) => parts.record({ engine: health }),
  });
  const { quarantine } = care;
  const facts = { names, credentials, memory, taps, quarantine };
  const { workers, standby, txQueueLength } = options();
  // Children inherit it: whatever the engine process starts or becomes, it never gains a privilege.
  addon().noNewPrivileges();
  const engine: EngineKeeper = new EngineKeeper({
    fds: () => [...tuns.fds, ...memory.fds, ownedFd],
    workers,
    standby,
    settings: () => startMessage(facts, options(), follower, resolvers.state),
    onReady: () => care.forwards(true),
    onStandby: (news) => parts.record({ standby: news }),
    onDeath: (reason) => care.died(reason),
    onQuarantine: (message) => care.stumbled(message),
    onOutage: (isOne) => setQueueLength(tuns.names, txQueueLength, isOne),
    onBrokenQueue: () => parts.onBrokenQueue(),
    emptyState: () => memory.empty(),
    log,
  });
  return { engine, care };
}
