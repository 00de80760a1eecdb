/**
 * Which cell of the TCP state table a packet meets, and which window or RST rule. The rules are worked out here once
 * more, from the record of the flow before the packet (conntrack/tcp-window.ts), for counting only: what is right is
 * what the kernel does.
 */
import { TRACK } from '../../src/conntrack/flow-table.ts';
import { TCP_STATES, tcpStateNames } from '../../src/conntrack/tcp-states.ts';
import {
  F_LIBERAL,
  F_MAXACK,
  SIDE,
  W_END,
  W_FLAGS,
  W_MAXACK,
  W_MAXEND,
  W_MAXWIN,
} from '../../src/conntrack/tcp-window.ts';
import { ACK, FIN, RST, SYN, URG } from '../../src/wire/tcp.ts';
import { cell, type Group, hit, newGroup } from './coverage-group.ts';
import type { Before } from './natgate.ts';
import type { TcpSpec } from './step.ts';

const DIRECTIONS = ['original', 'reply'];
const CLASSES = ['SYN', 'SYN/ACK', 'FIN', 'ACK', 'RST', 'illegal'];
const LEGAL = [SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG];

const MAX_ACK_WINDOW = 66_000;

const WINDOW_RULES = [
  'inside',
  'I over, by a window at most',
  'I over, far',
  'II under',
  'III over',
  'IV under',
  'liberal, outside',
  'scaled',
  'selective ACK',
  'zero window',
];
const RST_RULES = [
  'before the highest ACK',
  'at the highest ACK',
  'beyond it',
  'nothing acknowledged yet',
  'while closing',
];

function stateCells(): { rows: string[]; unreachable: Map<string, string> } {
  const rows = DIRECTIONS.flatMap((direction) => CLASSES.map((kind) => `${direction} ${kind}`));
  const unreachable = new Map<string, string>();
  for (const kind of CLASSES) {
    unreachable.set(
      cell(`reply ${kind}`, 'NONE'),
      'a reply has a flow; what has none from outside is uninvited',
    );
  }
  return { rows, unreachable };
}

export class TcpCoverage {
  private readonly states: Group;
  private readonly windows = newGroup('window rules', DIRECTIONS, WINDOW_RULES);
  private readonly resets = newGroup('RST rules', DIRECTIONS, RST_RULES);

  constructor() {
    const { rows, unreachable } = stateCells();
    this.states = newGroup('TCP state table', rows, tcpStateNames.slice(0, TCP_STATES), unreachable);
  }

  get groups(): readonly Group[] {
    return [this.states, this.windows, this.resets];
  }

  count(packet: TcpSpec, before: Before, track: Int32Array): void {
    // From outside and without a flow: uninvited, the state table is not asked.
    if (before.handle < 0 && before.direction === 1) return;
    const direction = DIRECTIONS[before.direction]!;
    const kind = classOf(packet.flags);
    hit(this.states, `${direction} ${kind}`, before.tcpState);
    if (before.handle < 0 || kind === 'illegal') return;
    const t = (before.handle >> 1) * TRACK;
    const sender = t + before.direction * SIDE;
    const receiver = t + SIDE - before.direction * SIDE;
    if (track[sender + W_MAXWIN] === 0) return;
    if (kind === 'RST') this.countReset(direction, packet, before.tcpState, track, receiver);
    else this.countWindow(direction, packet, track, sender, receiver);
  }

  private countWindow(
    direction: string,
    packet: TcpSpec,
    track: Int32Array,
    sender: number,
    receiver: number,
  ): void {
    const { flags } = packet;
    const end = (packet.seq + packet.data + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0)) | 0;
    const receiverEnd = track[receiver + W_END]!;
    const ack = (flags & ACK) === 0 ? receiverEnd : packet.ack;
    const lag = Math.max(track[sender + W_MAXWIN]!, MAX_ACK_WINDOW);
    const rules: string[] = [];
    const above = (end - track[sender + W_MAXEND]!) | 0;
    if (((packet.seq - track[sender + W_MAXEND]!) | 0) > 0) {
      rules.push(above <= track[receiver + W_MAXWIN]! ? 'I over, by a window at most' : 'I over, far');
    }
    if (((end - (track[sender + W_END]! - track[receiver + W_MAXWIN]!)) | 0) < 0) rules.push('II under');
    if (((ack - receiverEnd) | 0) > 0) rules.push('III over');
    if (((ack - (receiverEnd - lag)) | 0) < 0) rules.push('IV under');
    if (rules.length > 0 && (track[sender + W_FLAGS]! & F_LIBERAL) !== 0)
      hit(this.windows, direction, 'liberal, outside');
    else if (rules.length === 0) hit(this.windows, direction, 'inside');
    // Only a packet that breaks a single rule tests that rule.
    else if (rules.length === 1) hit(this.windows, direction, rules[0]!);
    if (rules.length > 0) return;
    if (track[sender + W_FLAGS]! >>> 8 !== 0) hit(this.windows, direction, 'scaled');
    if (packet.options.includes(5) && packet.options.indexOf(5) === 2)
      hit(this.windows, direction, 'selective ACK');
    if (packet.window === 0) hit(this.windows, direction, 'zero window');
  }

  private countReset(
    direction: string,
    packet: TcpSpec,
    state: string,
    track: Int32Array,
    receiver: number,
  ): void {
    const closing = ['FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK', 'TIME_WAIT', 'CLOSE'].includes(state);
    if (closing) hit(this.resets, direction, 'while closing');
    else if ((track[receiver + W_FLAGS]! & F_MAXACK) === 0)
      hit(this.resets, direction, 'nothing acknowledged yet');
    else {
      const beyond = (packet.seq - track[receiver + W_MAXACK]!) | 0;
      hit(this.resets, direction, RST_RULES[Math.sign(beyond) + 1]!);
    }
  }
}

function classOf(flags: number): string {
  if (!LEGAL.includes(flags & (FIN | SYN | RST | ACK | URG))) return 'illegal';
  if ((flags & RST) !== 0) return 'RST';
  if ((flags & SYN) !== 0) return (flags & ACK) !== 0 ? 'SYN/ACK' : 'SYN';
  return (flags & FIN) !== 0 ? 'FIN' : 'ACK';
}
