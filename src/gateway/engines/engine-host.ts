/** What who keeps engines (engine-keeper.ts) asks of the gateway, and tells it. */
import type { EngineChild, EngineEvents } from './engine-process.ts';
import type { QuarantineMessage, StartMessage } from './messages.ts';
import type { Standby } from './standby.ts';

export interface EngineHost {
  /** The descriptors to hand over, in the order that StartMessage says: others, once a TUN was made anew. */
  fds(): readonly number[];
  /** How many answer. */
  workers: number;
  /** Whether another engine stands by while one forwards. */
  standby: boolean;
  /** What is known at the moment. */
  settings(): StartMessage;
  /** An engine forwards (again). */
  onReady(): void;
  /** A TUN queue broke, and the engine ends: the next one needs other descriptors. */
  onBrokenQueue(): void;
  /** The engine has stumbled over a packet. Whether the next one will know it: then the state is not to blame. */
  onQuarantine(message: QuarantineMessage): boolean;
  /** The engine ended, and another takes over. */
  onDeath(reason: string): void;
  /** What has become of the one that stands by; not called where none is wanted. */
  onStandby(standby: Standby): void;
  /** Nobody reads the queues, and nobody will at once; or somebody does, and has done so for a while. */
  onOutage(isOne: boolean): void;
  emptyState(): void;
  log(line: string): void;
  /** Another way to make one, for tests. */
  make?(settings: StartMessage, isReserve: boolean, events: EngineEvents): EngineChild;
}
