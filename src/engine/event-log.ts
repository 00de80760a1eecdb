/**
 * What the engine writes into its event ring (event-ring.ts): flows as they begin, move and end, refusals; mappings and blocks are
 * event-slots.ts's.
 *
 * Each flow of the table has a mark: which life of it (H_SEQUENCE) has been told of, and whether as begun (life | 1) or as ended (life).
 *
 *     begin   flow is in the table ─▶ record ─▶ mark = life | 1
 *     end     record ─▶ mark = life ─▶ flow leaves the table
 *
 * The ring is a log that is written ahead: whoever opens it does again what its last record says, so mark and records agree whenever the
 * engine before was killed. What is then missing is told when the flows are adopted:
 *
 *     in the table, mark says ended     the flow is over, and is not adopted
 *     in the table, not told of         its begin
 *     told of as begun, not adopted     its end (`lost`)
 *     marked one change of tuple ago    its move (FlowTable.retuple goes on by 2, another life begins 4 later)
 *
 * Invariant: while flows are wanted, each life has one begin and one end. One that began while they were not has an end only, or, when it is
 * adopted, a late begin.
 *
 * Refusals of one kind (host, rule, reason) are told at once, then once a second with how many there were. The kinds are remembered in
 * PLACES; of more than MOST_REFUSALS a second the rest is told as one, whose host is 0.
 */
import { END_LOST } from '../conntrack/end-reasons.ts';
import {
  C_CREATED,
  C_MAPPING,
  COLD,
  type FlowTable,
  H_BYTES,
  H_BYTES_HIGH,
  H_PACKETS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  RULE_SHIFT,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { NO_MAPPING } from '../nat/mappings.ts';
import {
  E_AGE,
  E_BYTES,
  E_BYTES_HIGH,
  E_COUNT,
  E_FLOW,
  E_HOST,
  E_KIND,
  E_LIFE,
  E_LIFE_NOW,
  E_PACKETS,
  E_RULE,
  E_STATUS,
  E_TUPLES,
  EventRing,
  FLOW_BEGIN,
  FLOW_END,
  FLOW_MOVED,
  H_SETTLED,
  MARK_WORDS,
  REFUSED,
  WANT_FLOWS,
  WANT_REFUSALS,
} from './event-ring.ts';
import { EventSlots } from './event-slots.ts';

const PLACES = 256;
/** Words of a place: host, rule << 16 | reason, time of its last record, refused since then. */
const R_HOST = 0;
const R_WHAT = 1;
const R_TIME = 2;
const R_COUNT = 3;
const R_WORDS = 4;
const REFUSAL_MS = 1000;
const MOST_REFUSALS = 1000;
/** Words of both tuples. */
const TUPLES = 2 * TUPLE;
/** What a change of a flow's tuple adds to its H_SEQUENCE. */
const MOVE = 2;

export interface EventPlace {
  /** Formatted (formatEvents) for a table of as many flows. */
  memory: ArrayBuffer;
  /** ms since 1970. Asked once a batch. */
  clock: () => number;
}

export class EventLog {
  readonly ring: EventRing;
  readonly slots: EventSlots;
  private readonly table: FlowTable;
  private readonly engine: { readonly now: number };
  private readonly clock: () => number;
  /** What the clock said at `baseNow` of the engine's time. */
  private readonly base = new Float64Array(1);
  private baseNow: number;
  private readonly places = new Int32Array(PLACES * R_WORDS);
  /** Refusals: told in this second, not told; reason of the last of these; when the second began. */
  private told = 0;
  private untold = 0;
  private untoldWhat = 0;
  private second: number;

  /** `engine`: knows the present. */
  constructor({ memory, clock }: EventPlace, table: FlowTable, engine: { readonly now: number }) {
    this.ring = new EventRing(memory);
    this.table = table;
    this.engine = engine;
    this.clock = clock;
    this.baseNow = engine.now;
    this.second = engine.now;
    this.base[0] = clock();
    this.slots = new EventSlots(this.ring, () => this.time());
    const at = this.ring.last;
    if (at < 0 || this.ring.words[H_SETTLED] === (this.ring.head | 0)) return;
    this.redo(at);
    this.slots.redo(at);
  }

  /** Once a batch. */
  tick(now: number): void {
    this.base[0] = this.clock();
    this.baseNow = now;
    if (this.ring.wanted !== 0 && ((now - this.second) | 0) >= REFUSAL_MS) this.tellRefusals(now);
  }

  /** A flow is in the table, and has its mappings. */
  begin(flow: number): void {
    if ((this.ring.wanted & WANT_FLOWS) === 0) return;
    const life = this.table.hot[flow * HOT + H_SEQUENCE]!;
    this.write(FLOW_BEGIN, flow, 0, life, life);
    this.mark(flow, life | 1, life);
  }

  /** A flow has other tuples. */
  moved(flow: number): void {
    const mapping = this.table.cold[flow * COLD + C_MAPPING]!;
    if (mapping !== NO_MAPPING) this.slots.moved(mapping);
    if ((this.ring.wanted & WANT_FLOWS) === 0) return;
    const life = this.table.hot[flow * HOT + H_SEQUENCE]!;
    const wasTold = this.ring.marks[flow * MARK_WORDS] === ((life - MOVE) | 1);
    const first = wasTold ? this.ring.marks[flow * MARK_WORDS + 1]! : life;
    this.write(FLOW_MOVED, flow, 0, first, life);
    this.mark(flow, life | 1, first);
  }

  /** A flow is about to leave the table. */
  end(flow: number, why: number): void {
    if ((this.ring.wanted & WANT_FLOWS) === 0) return;
    const life = this.table.hot[flow * HOT + H_SEQUENCE]!;
    const first = this.isTold(flow, life) ? this.ring.marks[flow * MARK_WORDS + 1]! : life;
    this.write(FLOW_END, flow, why, first, life);
    this.mark(flow, life, first);
  }

  /** Whether the end of a flow that is in the table has been told: its engine was killed before it could go on. */
  isEnded(flow: number): boolean {
    if (this.ring.head === 0) return false;
    return this.ring.marks[flow * MARK_WORDS] === this.table.hot[flow * HOT + H_SEQUENCE];
  }

  /** A flow lives on in this engine. */
  adopted(flow: number): void {
    if ((this.ring.wanted & WANT_FLOWS) === 0) return;
    const life = this.table.hot[flow * HOT + H_SEQUENCE]!;
    if (this.isTold(flow, life)) return;
    if (this.isTold(flow, life - MOVE)) this.moved(flow);
    else this.begin(flow);
  }

  /** A flow of the table does not live on, perhaps because it was being changed when its engine was killed. */
  gone(flow: number, why: number = END_LOST): void {
    if (this.ring.head === 0) return;
    const life = this.table.hot[flow * HOT + H_SEQUENCE]! & ~1;
    if (this.isTold(flow, life) || this.isTold(flow, life - MOVE)) {
      this.write(FLOW_END, flow, why, this.ring.marks[flow * MARK_WORDS + 1]!, life);
      this.mark(flow, life, life);
    }
  }

  /** A flow was refused for want of something. */
  refused(host: number, rule: number, reason: number, now: number): void {
    if ((this.ring.wanted & WANT_REFUSALS) === 0) return;
    const { places } = this;
    const what = (rule << 16) | reason;
    const at = ((Math.imul(host ^ what, 0x9e3779b1) >>> 16) % PLACES) * R_WORDS;
    const isKnown = places[at + R_WHAT] === what && places[at + R_HOST] === host;
    if (!isKnown) {
      if (places[at + R_COUNT]! > 0) this.tellPlace(at, now);
      places[at + R_HOST] = host;
      places[at + R_WHAT] = what;
      places[at + R_COUNT] = 0;
      places[at + R_TIME] = now - REFUSAL_MS;
    }
    places[at + R_COUNT]!++;
    if (((now - places[at + R_TIME]!) | 0) >= REFUSAL_MS) this.tellPlace(at, now);
  }

  /** Tells of refusals that have waited for a second. */
  private tellRefusals(now: number): void {
    const { places } = this;
    this.second = now;
    this.told = 0;
    for (let at = 0; at < places.length; at += R_WORDS) {
      if (places[at + R_COUNT]! > 0 && ((now - places[at + R_TIME]!) | 0) >= REFUSAL_MS)
        this.tellPlace(at, now);
    }
    if (this.untold === 0) return;
    this.tell(0, this.untoldWhat, this.untold);
    this.untold = 0;
  }

  private tellPlace(place: number, now: number): void {
    const { places } = this;
    const what = places[place + R_WHAT]!;
    const count = places[place + R_COUNT]!;
    places[place + R_COUNT] = 0;
    places[place + R_TIME] = now;
    if (this.told++ < MOST_REFUSALS) {
      this.tell(places[place + R_HOST]!, what, count);
      return;
    }
    this.untold += count;
    this.untoldWhat = what;
  }

  private tell(host: number, what: number, count: number): void {
    const { ring } = this;
    const at = ring.claim(REFUSED | ((what & 0xffff) << 16), this.time());
    ring.words[at + E_RULE] = what >>> 16;
    ring.words[at + E_HOST] = host;
    ring.words[at + E_COUNT] = count;
    ring.publish(at);
  }

  private isTold(flow: number, life: number): boolean {
    return this.ring.marks[flow * MARK_WORDS] === (life | 1);
  }

  private mark(flow: number, mark: number, first: number): void {
    const { marks } = this.ring;
    marks[flow * MARK_WORDS + 1] = first;
    marks[flow * MARK_WORDS] = mark;
  }

  private redo(at: number): void {
    const { words, marks } = this.ring;
    const kind = words[at + E_KIND]! & 0xff;
    const flow = words[at + E_FLOW]!;
    if (kind > FLOW_MOVED || flow < 0 || flow * MARK_WORDS >= marks.length) return;
    const life = words[at + E_LIFE_NOW]!;
    this.mark(flow, kind === FLOW_END ? life : life | 1, words[at + E_LIFE]!);
  }

  private write(kind: number, flow: number, why: number, first: number, life: number): void {
    const { hot, cold } = this.table;
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    const at = this.ring.claim(kind | ((status & 0xff) << 8) | (why << 16), this.time());
    const { words } = this.ring;
    words[at + E_FLOW] = flow;
    words[at + E_LIFE] = first;
    words[at + E_STATUS] = status;
    words[at + E_RULE] = status >>> RULE_SHIFT;
    for (let i = 0; i < TUPLES; i++) words[at + E_TUPLES + i] = hot[h + i]!;
    words[at + E_PACKETS] = hot[h + H_PACKETS]!;
    words[at + E_PACKETS + 1] = hot[h + H_PACKETS + 1]!;
    words[at + E_BYTES] = hot[h + H_BYTES]!;
    words[at + E_BYTES + 1] = hot[h + H_BYTES + 1]!;
    words[at + E_BYTES_HIGH] = hot[h + H_BYTES_HIGH]!;
    words[at + E_AGE] = this.engine.now - cold[flow * COLD + C_CREATED]!;
    words[at + E_LIFE_NOW] = life;
    this.ring.publish(at);
  }

  /** ms since 1970. */
  private time(): number {
    return this.base[0]! + ((this.engine.now - this.baseNow) | 0);
  }
}
