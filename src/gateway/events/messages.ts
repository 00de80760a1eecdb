/** What the hub (hub.ts) and the thread (thread.ts) say to each other. */
import type { GatewayEvent, HostEvent } from './event.ts';
import type { EventClass, SinkOptions } from './options.ts';

/** One that is followed: its descriptor, and the worker that it is of. */
export interface RingFile {
  fd: number;
  bytes: number;
  worker: number;
}

/** Settings and wishes of the beginning are with it, so that what is in the rings by then is not passed over. */
export interface ThreadInput {
  rings: readonly RingFile[];
  settings: EventSettings;
  watch: Watch;
}

/** What subscribers want: null everything, an empty list nothing. */
export type Watch = readonly EventClass[] | null;

/** All of it, each time. */
export interface EventSettings {
  sinks: readonly SinkOptions[];
  /** Names of the NAT rules, by number. */
  rules: readonly string[];
}

export type ToThread =
  | { type: 'settings'; settings: EventSettings }
  | { type: 'say'; event: HostEvent }
  | { type: 'watch'; classes: Watch }
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
