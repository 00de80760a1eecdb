/** What the hub (hub.ts) and the thread (thread.ts) say to each other. */
import type { GatewayEvent, HostEvent } from './event.ts';
import type { EventClass, SinkOptions } from './options.ts';

/** One that is followed: its descriptor, and the worker that it is of. */
export interface RingFile {
  fd: number;
  bytes: number;
  worker: number;
}

export interface ThreadInput {
  rings: readonly RingFile[];
}

/** All of it, each time. */
export interface EventSettings {
  sinks: readonly SinkOptions[];
  /** Names of the NAT rules, by number. */
  rules: readonly string[];
}

export type ToThread =
  | { type: 'settings'; settings: EventSettings }
  | { type: 'say'; event: HostEvent }
  /** What subscribers want: null everything, an empty list nothing. */
  | { type: 'watch'; classes: readonly EventClass[] | null }
  /** A batch of events has been given to the subscribers. */
  | { type: 'taken' }
  /** Files are opened again. */
  | { type: 'reopen' }
  /** Delivers what there is, and ends. */
  | { type: 'close' };

export type FromThread =
  | { type: 'log'; text: string; level: 'info' | 'warning' }
  /** For subscribers; `lost`: so many before these were not given to them. */
  | { type: 'events'; events: GatewayEvent[]; lost: number }
  | { type: 'closed' };
