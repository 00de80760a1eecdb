/**
 * RSTs for the private ends of a TCP connection that the gateway ends, so that their users learn it at once and not by a timeout.
 *
 * A RST ends a connection only if its number is exactly what the receiver expects next (RFC 9293 3.10.7.4, RFC 5961 3.2); inside the
 * window it is challenged, outside ignored. Of the receiver's next number the tracker knows two bounds: the highest
 * acknowledgement that the receiver has sent (MAXACK), and the end of what was sent to it (END). Without loss on the way it has the
 * latter by the time the RST arrives, since that comes behind the data; where something is missing, it has stayed at the former.
 * So there are two RSTs where the two differ: who took the first has no use for the second. Both acknowledge all that
 * the receiver has sent, which in SYN-SENT is what makes a RST acceptable (3.10.7.3).
 *
 * The address that a RST comes from is the one by which the private host knows its peer.
 */
import {
  type FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_STATUS,
  HELPED,
  HOT,
  TRACK,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { F_MAXACK, SIDE, W_END, W_FLAGS, W_MAXACK, W_MAXWIN } from '../conntrack/tcp-window.ts';
import { PRIVATE } from '../policy/admission.ts';
import { ACK } from '../wire/tcp.ts';
import { RESETS_SENT } from './counters.ts';
import type { Helpers } from './helpers.ts';
import type { OutList } from './out-list.ts';
import type { Path } from './path.ts';
import { sendReset } from './reset-packet.ts';

/** At most: two for each end, both of which may be private. */
export const RESETS_PER_FLOW = 4;

export interface ResetsParts {
  table: FlowTable;
  path: Path;
  helpers: Helpers;
  out: OutList;
  counters: Float64Array;
}

export class Resets {
  private readonly table: FlowTable;
  private readonly path: Path;
  private readonly helpers: Helpers;
  private readonly out: OutList;
  private readonly counters: Float64Array;

  constructor({ table, path, helpers, out, counters }: ResetsParts) {
    this.table = table;
    this.path = path;
    this.helpers = helpers;
    this.out = out;
    this.counters = counters;
  }

  /** Tells the private ends of a live TCP flow that it is over; the caller has seen to RESETS_PER_FLOW free slots. */
  tell(flow: number): void {
    for (let direction = 0; direction < 2; direction++) {
      if (this.table.sideOf((flow << 1) | direction) === PRIVATE) this.tellSender(flow, direction);
    }
  }

  /** Tells the host that sends the packets of `direction`. */
  private tellSender(flow: number, direction: number): void {
    const { track } = this.table;
    const own = flow * TRACK + direction * SIDE;
    const peer = flow * TRACK + SIDE - direction * SIDE;
    const hasAcknowledged = (track[own + W_FLAGS]! & F_MAXACK) !== 0;
    // If nothing came from the peer and nothing was acknowledged, the host is in SYN-SENT, where the number is not looked at.
    const isPeerKnown = track[peer + W_MAXWIN] !== 0;
    if (isPeerKnown || !hasAcknowledged) this.send(flow, direction, isPeerKnown ? track[peer + W_END]! : 0);
    if (hasAcknowledged && !(isPeerKnown && track[own + W_MAXACK] === track[peer + W_END])) {
      this.send(flow, direction, track[own + W_MAXACK]!);
    }
  }

  private send(flow: number, direction: number, sequence: number): void {
    const { path, out, counters } = this;
    const { hot, track } = this.table;
    const h = flow * HOT;
    const t = h + direction * TUPLE;
    const receiver = hot[t]!;
    const device = path.deviceOf(path.classTowards(PRIVATE, receiver));
    if (device < 0) return;
    const ports = hot[t + H_PORTS]!;
    // A helper may have made what the peer sent longer or shorter.
    const isHelped = (hot[h + H_STATUS]! & HELPED) !== 0;
    const offset = isHelped ? this.helpers.sequences.offsetOf(flow, direction ^ 1, sequence) : 0;
    const own = flow * TRACK + direction * SIDE;
    const hasSent = track[own + W_MAXWIN] !== 0;
    sendReset(
      out,
      device,
      hot[t + H_DESTINATION]!,
      receiver,
      (ports >>> 16) | (ports << 16),
      hasSent ? ACK : 0,
      (sequence + offset) | 0,
      hasSent ? track[own + W_END]! : 0,
    );
    counters[RESETS_SENT]!++;
  }
}
