/**
 * What the supervisor has asked the engine and is not answered yet: reconfigurations and changes of taps, which every worker answers, and
 * deletions, which one does. An engine that dies answers nothing; the next one has all but deletions from its start.
 */
import type { Reconfiguration, Reconfigured } from '../../engine/reconfigure.ts';
import type { TapFilter } from '../../engine/tap-filter.ts';
import type { EngineNews } from './engine-process.ts';
import type { ControlMessage, ReconfiguredMessage } from './messages.ts';

export class EngineRequests {
  readonly #workers: number;
  #asked = 0;
  /** A reconfiguration that not all workers have yet. */
  #waiting: (Reconfigured & { id: number; left: number; resolve(result: Reconfigured | null): void }) | null =
    null;
  /** Whom the answer to a deletion goes to, by its id. */
  readonly #deletions = new Map<number, (count: number | null) => void>();
  /** Changes of taps that not all workers have yet: by id, how many are left. */
  readonly #tapping = new Map<number, { left: number; resolve(): void }>();

  constructor(workers: number) {
    this.#workers = workers;
  }

  reconfigure(to: Reconfiguration, tell: (message: ControlMessage) => void): Promise<Reconfigured | null> {
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#waiting = { id, left: this.#workers, ended: [], kept: 0, resolve };
      tell({ type: 'reconfigure', id, to });
    });
  }

  deleteFlows(
    worker: number,
    flows: Int32Array,
    tell: (message: ControlMessage) => void,
  ): Promise<number | null> {
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#deletions.set(id, resolve);
      tell({ type: 'deleteFlows', id, worker, flows });
    });
  }

  tap(filters: readonly TapFilter[], tell: (message: ControlMessage) => void): Promise<void> {
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#tapping.set(id, { left: this.#workers, resolve });
      tell({ type: 'taps', id, filters });
    });
  }

  /** Whether the message was an answer. */
  answer(message: EngineNews): boolean {
    switch (message.type) {
      case 'reconfigured':
        this.#reconfigured(message);
        return true;
      case 'deletedFlows':
        this.#deletions.get(message.id)?.(message.count);
        this.#deletions.delete(message.id);
        return true;
      case 'tapped':
        this.#tapped(message.id);
        return true;
      default:
        return false;
    }
  }

  /** The engine is gone: nobody answers any more. */
  abandon(): void {
    this.#waiting?.resolve(null);
    this.#waiting = null;
    for (const resolve of this.#deletions.values()) resolve(null);
    this.#deletions.clear();
    for (const { resolve } of this.#tapping.values()) resolve();
    this.#tapping.clear();
  }

  #tapped(id: number): void {
    const waiting = this.#tapping.get(id);
    if (waiting === undefined || --waiting.left > 0) return;
    this.#tapping.delete(id);
    waiting.resolve();
  }

  #reconfigured({ id, result }: ReconfiguredMessage): void {
    const waiting = this.#waiting;
    if (waiting === null || waiting.id !== id) return;
    waiting.kept += result.kept;
    for (const { kind, name, count } of result.ended) {
      const known = waiting.ended.find((each) => each.kind === kind && each.name === name);
      if (known === undefined) waiting.ended.push({ kind, name, count });
      else known.count += count;
    }
    if (--waiting.left > 0) return;
    this.#waiting = null;
    waiting.resolve({ ended: waiting.ended, kept: waiting.kept });
  }
}
