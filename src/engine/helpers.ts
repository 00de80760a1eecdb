/**
 * Helpers in the engine: which flows they read, what happens to a packet that one changes, and which new packets are
 * expected.
 *
 * A flow to a configured port, and one that is expected with a helper, has the flag HELPED. Of such a flow every packet
 * comes here twice: received(), before the tracker, turns acknowledgements into the numbering of whom they are for, and
 * forwarded(), after it, lets the helper read the payload, makes its edits in place and renumbers. So the tracker sees
 * each end's sequence numbers as that end sent them, and acknowledgements of them in the same numbering.
 *
 * This is the slow path: strings are made. Packets of other flows pay one bit test; new flows a look at two counts.
 * Limits: 4096 flows are read at once, more pass as they are; fragments are not read; a changed UDP super-packet is dropped.
 */
import { type Expectation, Expectations } from '../conntrack/expectations.ts';
import { FlowSlots, S_WORDS } from '../conntrack/flow-slots.ts';
import {
  EXPECTED,
  type FlowTable,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HELPED,
  HOT,
  STATE_SHIFT,
} from '../conntrack/flow-table.ts';
import { callIdOf, GreKeys } from '../conntrack/gre-keys.ts';
import { UDP_SIGNALLING } from '../conntrack/timeouts.ts';
import { OK } from '../core/reasons.ts';
import { end as endPptp, pptp } from '../nat/alg/pptp.ts';
import { type HelperConfig, helperKinds } from '../nat/alg/registry.ts';
import { applyEdits, type Edit, MEMORY_WORDS } from '../nat/alg/session.ts';
import { SequenceAdjust } from '../nat/sequence-adjust.ts';
import { hostOrder } from '../wire/address.ts';
import { type Bytes, be16, swap16 } from '../wire/bytes.ts';
import { PROTO_GRE, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import {
  KIND_FLOW,
  M_DESTINATION,
  M_FRAGMENT,
  M_KIND,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PORTS,
  M_PROTOCOL,
  M_REASON,
  M_SOURCE,
} from '../wire/parse.ts';
import { SYN, TCP_FLAGS, TCP_SEQUENCE, tcpHeaderLength } from '../wire/tcp.ts';
import { UDP_HEADER, UDP_LENGTH } from '../wire/udp.ts';
import { NEEDS_CSUM, VNET_HEADER } from '../wire/vnet.ts';
import type { EngineConfig } from './config.ts';
import { ExternalPorts } from './external-ports.ts';
import {
  HelperJournal,
  KEPT_WORDS,
  N_ANNOUNCED,
  N_KIND,
  N_MEMORY,
  N_NUMBERS,
  NOTE,
} from './helper-journal.ts';
import { HelperSession } from './helper-session.ts';
import type { Path } from './path.ts';
import { textOf } from './payload.ts';
import { Rewriter } from './rewriter.ts';
import type { Sessions } from './sessions.ts';

const HELPED_FLOWS = 4096;
/** flow | life | place among `kinds` | what the helper remembers | what was announced last (HelperSession.announced) */
const STRIDE = 16;
const HELPER = S_WORDS;
const MEMORY = S_WORDS + 1;
const ANNOUNCED: number = MEMORY + MEMORY_WORDS;
/** Slots that a changed packet may need: fragments of a datagram that grew beyond the MTU. */
const SPARE_SLOTS = 8;

export class Helpers {
  readonly expectations: Expectations;
  readonly sequences: SequenceAdjust;
  readonly greKeys: GreKeys;
  /** Of how many flows what an earlier engine knew is lost. */
  readonly lost: number;
  private readonly journal: HelperJournal;
  /** What the journal is to have of a flow. */
  private readonly note = new Int32Array(NOTE);
  /** The helper has read the packet that is being handled, so what is known of its flow may have changed. */
  private hasRead = false;
  /** protocol << 16 | original destination port in wire order → place among `kinds` */
  private readonly byPort = new Map<number, number>();
  private readonly table: FlowTable;
  private readonly slots: FlowSlots;
  private readonly session: HelperSession;
  private readonly rewriter: Rewriter;
  private readonly path: Path;
  private readonly bytes: Bytes;
  private readonly buffer: Buffer;
  private readonly meta: Int32Array;

  constructor(
    config: Pick<EngineConfig, 'helpers' | 'seed' | 'now'>,
    sessions: Sessions,
    path: Path,
    bytes: Bytes,
    meta: Int32Array,
    journal: Int32Array,
  ) {
    const configs = config.helpers ?? [];
    const { tracker } = sessions;
    const ports = new ExternalPorts(sessions);
    sessions.onEnd = (flow) => this.flowEnded(flow);
    this.configure(configs);
    this.table = tracker.table;
    const { hot } = tracker.table;
    this.slots = new FlowSlots(new Int32Array(HELPED_FLOWS * STRIDE), STRIDE, HELPED_FLOWS, hot);
    this.sequences = new SequenceAdjust(new Int32Array(SequenceAdjust.words()), hot);
    this.greKeys = new GreKeys([config.seed, ~config.seed]);
    this.expectations = new Expectations(config.now);
    const { ownership } = sessions;
    this.expectations.onAdd = (expected) => ownership?.expectation(expected, true);
    this.expectations.onRemove = (expected) => {
      ownership?.expectation(expected, false);
      if (expected.mapping >= 0) ports.release(expected.mapping);
    };
    this.session = new HelperSession(tracker, ports, this.expectations, this.greKeys);
    this.path = path;
    this.bytes = bytes;
    this.buffer = Buffer.from(bytes.u8.buffer);
    this.rewriter = new Rewriter(bytes, this.buffer, meta);
    this.meta = meta;
    this.journal = new HelperJournal(journal, hot);
    const isLive = (flow: number, life: number) =>
      flow < this.table.capacity && this.table.isLive(flow) && hot[flow * HOT + H_SEQUENCE] === life;
    this.lost = this.journal.adopt(isLive, (flow, words, at) => this.resume(flow, words, at));
  }

  /**
   * Which new flows are read from now on. Those that are read already go on being so, by the helper that they have: what
   * it has changed of their sequence numbers must be undone for as long as they live.
   */
  configure(configs: readonly HelperConfig[]): void {
    this.byPort.clear();
    for (const { name, protocol, port } of configs) {
      this.byPort.set((protocol << 16) | swap16(port), kinds.indexOf(helperKinds[name]));
    }
  }

  /** A flow goes on with what an earlier engine has written down of it, from `at`; with its helper, whatever is configured now. */
  private resume(flow: number, words: Int32Array, at: number): void {
    const kind = words[at + N_KIND]! - 1;
    const slot = kinds[kind] === undefined ? -1 : this.remember(flow, kind);
    // Whoever has written it down had room for it, in tables of this size.
    if (slot < 0) return;
    for (let i = 0; i < KEPT_WORDS; i++) this.slots.words[slot + MEMORY + i] = words[at + N_MEMORY + i]!;
    this.slots.words[slot + ANNOUNCED] = words[at + N_ANNOUNCED]!;
    this.sequences.restore(flow, words, at + N_NUMBERS);
  }

  /** What a packet has changed of what is known of its flow is written down: before the packet leaves. */
  private writeDown(flow: number): void {
    const slot = this.slots.find(flow);
    if (slot < 0) return;
    const { note } = this;
    const { words } = this.slots;
    const kind = words[slot + HELPER]!;
    const { outlives } = kinds[kind]!;
    for (let i = 0; i < KEPT_WORDS; i++) note[N_MEMORY + i] = outlives ? words[slot + MEMORY + i]! : 0;
    this.sequences.copy(flow, note, N_NUMBERS);
    note[N_ANNOUNCED] = words[slot + ANNOUNCED]!;
    note[N_KIND] = 0;
    if (isBlank(note)) return;
    note[N_KIND] = kind + 1;
    this.journal.write(flow, note);
  }

  /** A flow was made; `expected`: because of what another had announced. Returns its handle. */
  made(handle: number, expected: Expectation | null): number {
    const { hot } = this.table;
    const flow = handle >> 1;
    const h = flow * HOT;
    let kind = -1;
    if (expected !== null) {
      hot[h + H_STATUS] = hot[h + H_STATUS]! | EXPECTED;
      kind = expected.helper;
      this.expectations.use(expected);
    }
    if (kind < 0 && this.byPort.size > 0) kind = this.configuredFor(flow);
    if (kind >= 0) this.remember(flow, kind);
    return handle;
  }

  /** A flow is about to end. */
  private flowEnded(flow: number): void {
    if ((this.table.hot[flow * HOT + H_STATUS]! & HELPED) === 0) return;
    const slot = this.slots.find(flow);
    const kind = slot < 0 ? -1 : this.slots.words[slot + HELPER]!;
    if (kinds[kind]?.run === pptp) {
      this.session.begin(flow << 1, kind, 0);
      endPptp(this.session, this.slots.words, slot + MEMORY);
    }
    this.expectations.endOf(flow);
    this.journal.forget(flow);
  }

  /** Place among helperKinds of the helper that reads a flow, -1 for none. */
  kindOf(flow: number): number {
    if ((this.table.hot[flow * HOT + H_STATUS]! & HELPED) === 0) return -1;
    const slot = this.slots.find(flow);
    return slot < 0 ? -1 : this.slots.words[slot + HELPER]!;
  }

  /** What the packet of row `m`, which has no flow, fulfils, or null. */
  expected(m: number, now: number): Expectation | null {
    if (this.expectations.count === 0) return null;
    const { meta } = this;
    return this.expectations.match(
      meta[m + M_PROTOCOL]!,
      meta[m + M_SOURCE]!,
      meta[m + M_DESTINATION]!,
      meta[m + M_PORTS]!,
      this.path.sideOf(m),
      now,
    );
  }

  /** Gives the GRE packet of row `m`, which may be a quoted one, the ports word of its call. */
  findCall(m: number): void {
    const { meta, bytes } = this;
    if (meta[m + M_REASON] !== OK || meta[m + M_KIND] !== KIND_FLOW) return;
    const l4 = meta[m + M_L4]!;
    const callId = callIdOf(bytes.u8, bytes.u16, l4, meta[m + M_LENGTH]! - (l4 - meta[m + M_OFFSET]!));
    if (callId < 0) return;
    meta[m + M_PORTS] = this.greKeys.portsOf(meta[m + M_SOURCE]!, meta[m + M_DESTINATION]!, callId);
  }

  /** Whether the packets of `handle` must come here. */
  reads(handle: number): boolean {
    return (this.table.hot[(handle >> 1) * HOT + H_STATUS]! & HELPED) !== 0;
  }

  /**
   * A packet of a HELPED flow has come: its acknowledgement becomes one of what was sent. False, and nothing is changed,
   * when there may be not slots enough to send it.
   */
  received(m: number, handle: number): boolean {
    const { meta, bytes } = this;
    if (this.path.freeSlots < SPARE_SLOTS) return false;
    if (meta[m + M_PROTOCOL] === PROTO_TCP) {
      this.sequences.acknowledge(bytes, meta[m + M_L4]!, handle >> 1, handle & 1, this.isPartial(m));
    }
    return true;
  }

  /** A packet of a HELPED flow is to be sent, by route class `egress`, but not yet translated. False: it must not be sent. */
  forwarded(slot: number, m: number, handle: number, egress: number, now: number): boolean {
    const { meta, bytes } = this;
    const edits = this.read(slot, m, handle, now);
    if (edits === null) return false;
    const l4 = meta[m + M_L4]!;
    const isTcp = meta[m + M_PROTOCOL] === PROTO_TCP;
    if (edits.length > 0) {
      const start = this.payloadStart(m);
      const text = textOf(this.buffer, slot, start, meta[m + M_LENGTH]! - start);
      const after = applyEdits(text, edits);
      const growth = after.length - text.length;
      if (!this.rewriter.allows(m, growth)) return false;
      if (isTcp && growth !== 0) {
        const sequence = (this.sequenceOf(l4) + edits[0]!.start) | 0;
        if (!this.journal.hasRoom(handle >> 1)) return false;
        if (!this.sequences.change(handle >> 1, handle & 1, sequence, growth)) return false;
      }
      this.rewriter.replace(slot, m, start, text.length, after);
      if (growth > 0) {
        this.rewriter.fit(m, start, this.path.mtuOf(egress));
        if (!this.path.refit(slot, m, egress)) return false;
      }
    }
    if (isTcp) {
      if (this.hasRead) this.writeDown(handle >> 1);
      this.sequences.renumber(bytes, l4, handle >> 1, handle & 1, this.isPartial(m));
    }
    return true;
  }

  private read(slot: number, m: number, handle: number, now: number): readonly Edit[] | null {
    const { meta, bytes } = this;
    this.hasRead = false;
    if (meta[m + M_FRAGMENT] !== 0 || meta[m + M_PROTOCOL] === PROTO_GRE) return NONE;
    const memory = this.memoryOf(handle >> 1);
    if (memory < 0) return NONE;
    const { words } = this.slots;
    const l4 = meta[m + M_L4]!;
    const isTcp = meta[m + M_PROTOCOL] === PROTO_TCP;
    const syn = isTcp && (bytes.u8[l4 + TCP_FLAGS]! & SYN) !== 0;
    const start = this.payloadStart(m);
    const length = meta[m + M_LENGTH]! - start;
    if (length === 0 && !syn) return NONE;
    // A datagram with something behind its end is not one that a sender makes.
    if (!isTcp && be16(bytes.u8, l4 + UDP_LENGTH) !== UDP_HEADER + length) return NONE;
    const kind = words[memory + HELPER]!;
    this.session.begin(handle, kind, now);
    this.session.announced = words[memory + ANNOUNCED]!;
    const packet = {
      text: textOf(this.buffer, slot, start, length),
      sequence: isTcp ? this.sequenceOf(l4) : 0,
      syn,
    };
    const edits = kinds[kind]!.run(packet, this.session, words, memory + MEMORY);
    words[memory + ANNOUNCED] = this.session.announced;
    this.hasRead = true;
    if (this.session.kept) {
      const h = (handle >> 1) * HOT;
      this.table.hot[h + H_STATUS] = this.table.hot[h + H_STATUS]! | (UDP_SIGNALLING << STATE_SHIFT);
    }
    return edits;
  }

  /** Slot of a helped flow; one whose memory an earlier process had begins anew. */
  private memoryOf(flow: number): number {
    const known = this.slots.find(flow);
    if (known >= 0) return known;
    const kind = this.configuredFor(flow);
    return kind < 0 ? -1 : this.remember(flow, kind);
  }

  private remember(flow: number, kind: number): number {
    const slot = this.slots.take(flow);
    if (slot < 0) return -1;
    this.slots.words[slot + HELPER] = kind;
    const h = flow * HOT;
    this.table.hot[h + H_STATUS] = this.table.hot[h + H_STATUS]! | HELPED;
    return slot;
  }

  /** Place among `kinds` of the helper for where a flow goes, -1 for none. */
  private configuredFor(flow: number): number {
    const { hot } = this.table;
    const h = flow * HOT;
    const key = ((hot[h + H_STATUS]! & 0xff) << 16) | (hot[h + H_PORTS]! >>> 16);
    return this.byPort.get(key) ?? -1;
  }

  /** Position in the packet, from its IPv4 header. */
  private payloadStart(m: number): number {
    const l4 = this.meta[m + M_L4]!;
    const header = this.meta[m + M_PROTOCOL] === PROTO_UDP ? UDP_HEADER : tcpHeaderLength(this.bytes.u8, l4);
    return l4 - this.meta[m + M_OFFSET]! + header;
  }

  private sequenceOf(l4: number): number {
    return hostOrder(this.bytes.i32[(l4 + TCP_SEQUENCE) >> 2]!);
  }

  private isPartial(m: number): boolean {
    return (this.bytes.u8[this.meta[m + M_OFFSET]! - VNET_HEADER]! & NEEDS_CSUM) !== 0;
  }
}

const NONE: readonly Edit[] = [];
/** A helper is known by its place, to other engines as well. */
const kinds = Object.values(helperKinds);

function isBlank(words: Int32Array): boolean {
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
  return true;
}
