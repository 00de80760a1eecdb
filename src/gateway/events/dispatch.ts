/**
 * From the rings to the receivers: takes records, makes events of them, gives each to whoever wants it.
 *
 * The reader's place in a ring is committed when all receivers have delivered what they were given, or when half a ring waits for
 * that. So the next supervisor, should this one be killed, goes on where the receivers were: perhaps it tells something twice (with the same
 * id), but it leaves nothing out.
 */
import { EventReader } from '../../engine/event-ring.ts';
import { ClientNames } from '../../host/client-names.ts';
import { Decoder } from './decode.ts';
import { classOf, type GatewayEvent } from './event.ts';
import type { EventSettings } from './messages.ts';
import type { EventClass } from './options.ts';
import type { Sink } from './sink.ts';

/** Records taken at once, at most. */
const AT_ONCE = 8192;

export interface RingSource {
  memory: ArrayBuffer;
  worker: number;
}

/** Takes events for the subscribers of this process. */
export interface Watcher {
  /** Null: all. */
  classes: readonly EventClass[] | null;
  take(event: GatewayEvent): void;
}

export class Dispatch {
  readonly #readers: { reader: EventReader; worker: number }[];
  readonly #clients = new ClientNames();
  readonly #decoder: Decoder;
  sinks: readonly Sink[] = [];
  watcher: Watcher | null = null;

  constructor(rings: readonly RingSource[]) {
    this.#readers = rings.map(({ memory, worker }) => ({ reader: new EventReader(memory), worker }));
    this.#decoder = new Decoder({ rules: [], clients: this.#clients });
  }

  setNames({ rules }: Pick<EventSettings, 'rules'>): void {
    this.#decoder.setNames({ rules, clients: this.#clients });
  }

  /** Takes what there is, up to a limit; how many records that were. */
  poll(): number {
    let count = 0;
    for (const { reader, worker } of this.#readers) count += this.#follow(reader, worker);
    if (count > 0) for (const sink of this.sinks) sink.flush();
    this.#commit();
    return count;
  }

  /** Records that wait in the rings. */
  get backlog(): number {
    return this.#readers.reduce((sum, { reader }) => sum + reader.head - reader.next, 0);
  }

  /** Whether a receiver that is behind had better be waited for: the rings have room for what comes meanwhile. */
  get mayWait(): boolean {
    if (!this.sinks.some((sink) => sink.isBehind)) return false;
    return this.#readers.every(({ reader }) => (reader.head - reader.next) * 2 < reader.records);
  }

  /** Gives an event to whoever wants it. */
  give(event: GatewayEvent): void {
    const kind = classOf(event);
    let line = '';
    for (const sink of this.sinks) {
      if (!wants(sink.only, kind)) continue;
      if (line === '') line = JSON.stringify(event);
      sink.write(event, line);
    }
    if (this.watcher !== null && wants(this.watcher.classes, kind)) this.watcher.take(event);
  }

  flush(): void {
    for (const sink of this.sinks) sink.flush();
  }

  #follow(reader: EventReader, worker: number): number {
    let count = 0;
    let more = true;
    while (more && count < AT_ONCE) {
      more = reader.take();
      const lost = reader.takeLost();
      if (lost > 0) {
        this.give({ time: new Date().toISOString(), event: 'gap', missed: lost, where: 'ring', worker });
        count++;
      }
      if (!more) break;
      const event = this.#decoder.decode(reader.record, reader.recordFloats, worker);
      if (event !== null) this.give(event);
      count++;
    }
    return count;
  }

  #commit(): void {
    const isIdle = this.sinks.every((sink) => sink.isIdle);
    for (const { reader } of this.#readers) {
      if (reader.next === reader.read) continue;
      if (isIdle || (reader.next - reader.read) * 2 > reader.records) reader.commit();
    }
  }
}

function wants(classes: readonly EventClass[] | null, kind: EventClass | null): boolean {
  return kind === null || classes === null || classes.includes(kind);
}
