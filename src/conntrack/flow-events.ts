/**
 * Who is told what becomes of flows. Events wait in a queue and are delivered at the end of the call that caused them: a
 * listener sees the tracker at rest, and may itself track packets or delete flows. What that causes is delivered
 * behind what is waiting, so all listeners see all events in one order.
 *
 * Without listeners an event is never made: `wants` first, then `push`.
 */
import type { FlowInfo } from './flow-info.ts';

/** A flow began; its state or flags (a reply was seen, ASSURED) changed; it ended. */
export type FlowEventType = 'new' | 'update' | 'destroy';

/** What became of a flow. */
export interface FlowEvent {
  /** What happened. */
  type: FlowEventType;
  /** The flow behind the packet that caused the event; of `destroy`, as it was at the end. */
  flow: FlowInfo;
  /** The time of the call that caused the event, by the caller's clock, in ms. */
  now: number;
  /** Of `destroy`, why: `timeout`, `closed`, `reused`, `deleted` or `evicted`; else empty. */
  reason: string;
}

/** Is told about events. */
export type FlowListener = (event: FlowEvent) => void;

export class FlowEvents {
  private readonly listeners: Record<FlowEventType, Set<FlowListener>> = {
    new: new Set(),
    update: new Set(),
    destroy: new Set(),
  };
  private readonly waiting: FlowEvent[] = [];
  private delivering = false;

  /** Returns what ends the subscription. A listener may subscribe to several types; to one only once. */
  on(type: FlowEventType, listener: FlowListener): () => void {
    this.listeners[type].add(listener);
    return () => {
      this.listeners[type].delete(listener);
    };
  }

  /** Whether anybody listens to this type. */
  wants(type: FlowEventType): boolean {
    return this.listeners[type].size > 0;
  }

  push(event: FlowEvent): void {
    this.waiting.push(event);
  }

  /** Delivers what waits. A listener that throws keeps nothing from the others; the first error is thrown at the end. */
  deliver(): void {
    if (this.delivering || this.waiting.length === 0) return;
    this.delivering = true;
    const errors: unknown[] = [];
    for (let event = this.waiting.shift(); event !== undefined; event = this.waiting.shift()) {
      for (const listener of [...this.listeners[event.type]]) {
        try {
          listener(event);
        } catch (error) {
          errors.push(error);
        }
      }
    }
    this.delivering = false;
    if (errors.length > 0) throw errors[0];
  }
}
