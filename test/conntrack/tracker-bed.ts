/** The tracker as the engine drives it: find, else open, then update. No NAT: replies are the inverse. */
import { expect } from 'vitest';
import { endReasonNames } from '../../src/conntrack/end-reasons.ts';
import { readFlow } from '../../src/conntrack/flow-info.ts';
import { FlowTable } from '../../src/conntrack/flow-table.ts';
import { INVALID } from '../../src/conntrack/tcp-states.ts';
import type { TcpOptions } from '../../src/conntrack/tcp-tracker.ts';
import { defaultTimeouts, type Timeouts, TimeoutTable } from '../../src/conntrack/timeouts.ts';
import { FULL, REOPEN, Tracker } from '../../src/conntrack/tracker.ts';
import { invertPorts } from '../../src/conntrack/tuple.ts';
import { OK, reasonNames } from '../../src/core/reasons.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import { M_DESTINATION, M_PORTS, M_PROTOCOL, M_SOURCE, META, parsePacket } from '../../src/wire/parse.ts';

export class Bed {
  readonly bytes = new Bytes(new ArrayBuffer(65536));
  readonly meta = new Int32Array(META);
  readonly table: FlowTable;
  readonly tracker: Tracker;
  readonly closed: number[] = [];
  /** Events as they came: `new 0`, `update 0 ESTABLISHED assured`, `destroy 0 timeout`. */
  readonly events: string[] = [];
  now: number;

  constructor(
    options: { capacity?: number; timeouts?: Partial<Timeouts>; now?: number; tcp?: TcpOptions } = {},
  ) {
    const capacity = options.capacity ?? 64;
    this.now = options.now ?? 0;
    this.table = new FlowTable(new ArrayBuffer(FlowTable.bytes(capacity)), 0, capacity, [1, 2]);
    const timeouts = new TimeoutTable({ ...defaultTimeouts, ...options.timeouts });
    this.tracker = new Tracker(this.table, timeouts, this.now | 0, options.tcp);
    this.tracker.onOpen = (flow) => this.note('new', flow);
    this.tracker.onUpdate = (flow) => this.note('update', flow);
    this.tracker.onClose = (flow, why) => {
      this.closed.push(flow);
      this.events.push(`destroy ${flow} ${endReasonNames[why]}`);
    };
  }

  private note(what: string, flow: number): void {
    const info = this.flow(flow);
    const words = [info?.state, info?.unreplied ? 'unreplied' : '', info?.assured ? 'assured' : ''];
    this.events.push([what, flow, ...words.filter((word) => word !== '')].join(' '));
  }

  load(packet: Uint8Array): number {
    this.bytes.u8.set(packet);
    expect(parsePacket(this.bytes, 0, packet.length, false, this.meta, 0)).toBe(OK);
    const { meta } = this;
    return this.table.lookup(meta[M_SOURCE]!, meta[M_DESTINATION]!, meta[M_PORTS]!, meta[M_PROTOCOL]!);
  }

  /** What the packet is: a reason's name, `reopen`, `full`, or the direction it travels. */
  feed(packet: Uint8Array, after = 0): string {
    this.pass(after);
    const { meta, bytes, tracker } = this;
    let handle = this.load(packet);
    if (handle < 0) {
      const state = tracker.firstState(bytes, meta, 0);
      if (state === INVALID) return 'invalid first';
      const reply = invertPorts(meta[M_PROTOCOL]!, meta[M_PORTS]!);
      const flow = tracker.open(
        meta,
        0,
        state,
        meta[M_DESTINATION]!,
        meta[M_SOURCE]!,
        reply,
        0,
        this.now | 0,
      );
      if (flow === FULL) return 'full';
      handle = flow << 1;
    }
    const verdict = tracker.update(handle, bytes, meta, 0, this.now | 0);
    if (verdict === REOPEN) return 'reopen';
    return verdict === OK ? (handle & 1 ? 'reply' : 'original') : reasonNames[verdict]!;
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 1000) {
      this.now += Math.min(left, 1000);
      while (!this.tracker.expire(this.now | 0));
    }
  }

  flow(flow = 0) {
    return readFlow(this.table.hot, flow, this.tracker.timeouts, this.now | 0);
  }
}
