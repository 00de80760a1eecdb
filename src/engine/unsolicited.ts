/**
 * RFC 5382 REQ-4: a SYN from outside that nothing expects is not answered for six seconds, since it may be one half of
 * a simultaneous open whose other half is on its way out. Then, if that has not come, its sender is told: ICMP 3/3.
 *
 * A ring of the SYNs that wait, each with its first bytes, which the error quotes. Limits: 256 wait at a time, the rest stay
 * unanswered; the errors share the rate limit of all ICMP errors.
 */
import type { FlowTable } from '../conntrack/flow-table.ts';
import { PORT_UNREACHABLE, UNREACHABLE } from '../wire/icmp.ts';
import {
  M_DESTINATION,
  M_DEVICE,
  M_FRAGMENT,
  M_KIND,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PORTS,
  M_PROTOCOL,
  M_SOURCE,
} from '../wire/parse.ts';
import { ACK, RST, SYN, TCP_FLAGS } from '../wire/tcp.ts';
import { packetOffset } from './arena.ts';
import type { OutList } from './out-list.ts';
import type { Path } from './path.ts';

const SILENCE_MS = 6000;
const WAITING = 256;
/** IPv4 header with options, and the ports and sequence number behind it. */
const QUOTED = 68;

export class Unsolicited {
  /** Whether SYNs are to be held: they are not, where nobody wants them answered. */
  isOn = false;
  private readonly out: OutList;
  private readonly path: Path;
  private readonly table: FlowTable;
  private readonly bytes = new Uint8Array(WAITING * QUOTED);
  /** Of each: time (ms), device, source, destination, ports, header length. */
  private readonly words = new Int32Array(WAITING * 6);
  private first = 0;
  private count = 0;
  private readonly meta: Int32Array;
  private readonly row: number;

  /** `meta`, `row`: a row of the packet table that is free outside process(). */
  constructor(out: OutList, path: Path, table: FlowTable, meta: Int32Array, row: number) {
    this.out = out;
    this.path = path;
    this.table = table;
    this.meta = meta;
    this.row = row;
  }

  /** Notes the packet of row `m`, if it is a SYN and there is room. */
  hold(meta: Int32Array, m: number, now: number): void {
    const { u8 } = this.out.bytes;
    const offset = meta[m + M_OFFSET]!;
    const flags = u8[meta[m + M_L4]! + TCP_FLAGS]!;
    if ((flags & (SYN | ACK | RST)) !== SYN || this.count === WAITING) return;
    const at = (this.first + this.count) % WAITING;
    const length = Math.min(meta[m + M_L4]! - offset + 8, QUOTED);
    for (let i = 0; i < length; i++) this.bytes[at * QUOTED + i] = u8[offset + i]!;
    const w = at * 6;
    this.words[w] = now;
    this.words[w + 1] = meta[m + M_DEVICE]!;
    this.words[w + 2] = meta[m + M_SOURCE]!;
    this.words[w + 3] = meta[m + M_DESTINATION]!;
    this.words[w + 4] = meta[m + M_PORTS]!;
    this.words[w + 5] = length;
    this.count++;
  }

  /** Answers those whose six seconds are over. */
  tick(now: number): void {
    const { words, out, meta, row } = this;
    while (this.count > 0 && out.freeSlots >= 2) {
      const w = this.first * 6;
      if (((now - words[w]!) | 0) < SILENCE_MS) return;
      // A flow with this tuple is the other half: it has begun meanwhile.
      if (this.table.lookup(words[w + 2]!, words[w + 3]!, words[w + 4]!, 6) < 0) {
        const offset = packetOffset(out.takeSlot());
        const length = words[w + 5]!;
        for (let i = 0; i < length; i++) out.bytes.u8[offset + i] = this.bytes[this.first * QUOTED + i]!;
        meta[row + M_OFFSET] = offset;
        meta[row + M_LENGTH] = length;
        meta[row + M_DEVICE] = words[w + 1]!;
        meta[row + M_KIND] = 0;
        meta[row + M_FRAGMENT] = 0;
        meta[row + M_PROTOCOL] = 6;
        this.path.answer(row, UNREACHABLE, PORT_UNREACHABLE, 0, now);
      }
      this.first = (this.first + 1) % WAITING;
      this.count--;
    }
  }
}
