/**
 * Two TCP ends in conversation: what each has sent and heard. It writes the packets of a correct conversation, and the
 * other generators bend them.
 */
import type { Dice } from '../dice.ts';
import { flagsOf, type Side, type Step, type TcpSpec } from '../step.ts';
import { anyIp } from './ip.ts';

interface End {
  /** Sequence number of its SYN, of what it sends next, and the highest it has heard of the peer. */
  isn: number;
  next: number;
  heard: number;
  window: number;
  /** Window scale, -1 for none. */
  scale: number;
  sack: boolean;
  /** Number and length of what it sent last, for retransmissions. */
  last: TcpSpec | null;
}

export class Talk {
  readonly flow: number;
  private readonly dice: Dice;
  readonly ends: Record<Side, End>;
  /** Timestamps are on both SYNs, and so on every packet. */
  private readonly stamps: boolean;

  constructor(dice: Dice, flow: number) {
    this.dice = dice;
    this.flow = flow;
    this.stamps = dice.chance(30);
    this.ends = { private: this.newEnd(), public: this.newEnd() };
  }

  /** The client begins anew on the same ports, ahead of or behind the old numbers. */
  restart(): void {
    const { dice } = this;
    const old = this.ends.private;
    this.ends.private = this.newEnd();
    if (dice.chance(60)) {
      const isn = (old.next + dice.int(-3, 200_000)) | 0;
      this.ends.private.isn = isn;
      this.ends.private.next = isn;
    }
    this.ends.public = this.newEnd();
  }

  /** The next correct packet of `from`. Sequence numbers advance as if it arrived. */
  say(from: Side, letters: string, data = 0): Step {
    const end = this.ends[from];
    const other = this.ends[from === 'private' ? 'public' : 'private'];
    const flags = flagsOf(letters);
    const syn = letters.includes('S');
    const acknowledges = letters.includes('A');
    const packet: TcpSpec = {
      kind: 'tcp',
      flow: this.flow,
      ip: anyIp(this.dice),
      flags,
      seq: syn ? end.isn : end.next,
      ack: acknowledges ? end.heard : 0,
      window: syn ? Math.min(end.window, 65535) : Math.min(end.window >>> this.scaleOf(from), 65535),
      options: this.options(end, syn),
      data,
    };
    const length = data + (syn ? 1 : 0) + (letters.includes('F') ? 1 : 0);
    const after = (packet.seq + length) | 0;
    if (((after - end.next) | 0) > 0) end.next = after;
    if (((after - other.heard) | 0) > 0 || syn) other.heard = after;
    if (length > 0) end.last = packet;
    return { from, packet };
  }

  /** The last segment of `from` again. */
  again(from: Side): Step | null {
    const { last } = this.ends[from];
    return last === null ? null : { from, packet: { ...last, ip: anyIp(this.dice) } };
  }

  handshake(): Step[] {
    return [this.say('private', 'S'), this.say('public', 'SA'), this.say('private', 'A')];
  }

  /** A few segments both ways, each acknowledged soon. */
  exchange(count: number): Step[] {
    const steps: Step[] = [];
    for (let i = 0; i < count; i++) {
      const from = this.dice.pick(['private', 'public'] as const);
      steps.push(
        this.say(from, this.dice.pick(['A', 'PA', 'PA', 'AU']), this.dice.pick([0, 1, 100, 536, 1200])),
      );
      if (this.dice.chance(50)) steps.push(this.say(from === 'private' ? 'public' : 'private', 'A'));
    }
    return steps;
  }

  /** All ways a connection can end. */
  close(): Step[] {
    const [a, b] = this.dice.shuffle(['private', 'public'] as const);
    switch (this.dice.int(0, 5)) {
      case 0:
        return [this.say(a!, 'FA'), this.say(b!, 'A'), this.say(b!, 'FA'), this.say(a!, 'A')];
      case 1:
        return [this.say(a!, 'FA'), this.say(b!, 'FA'), this.say(a!, 'A')];
      case 2: {
        // Both at once: neither has heard the other's FIN.
        const first = this.say(a!, 'FA');
        const heard = this.ends[b!].heard;
        this.ends[b!].heard = (heard - 1) | 0;
        const second = this.say(b!, 'FA');
        this.ends[b!].heard = heard;
        return [first, second, this.say(a!, 'A'), this.say(b!, 'A')];
      }
      case 3:
        return [
          this.say(a!, 'FA'),
          this.say(b!, 'A'),
          ...this.exchangeFrom(b!),
          this.say(b!, 'FA'),
          this.say(a!, 'A'),
        ];
      case 4:
        return [this.say(a!, 'RA')];
      default:
        return [this.say(a!, 'FA'), this.say(b!, 'R')];
    }
  }

  private exchangeFrom(from: Side): Step[] {
    return [this.say(from, 'PA', 200), this.say(from === 'private' ? 'public' : 'private', 'A')];
  }

  /** The shift of `from`'s window: only when both SYNs carry one. */
  private scaleOf(from: Side): number {
    const { private: client, public: server } = this.ends;
    return client.scale < 0 || server.scale < 0 ? 0 : this.ends[from].scale;
  }

  private options(end: End, syn: boolean): number[] {
    const options: number[] = [];
    if (syn) {
      // MSS: 1460, 536, and one that no path here has.
      options.push(
        2,
        4,
        ...this.dice.pick([
          [5, 180],
          [5, 180],
          [5, 180],
          [2, 24],
          [35, 0],
        ]),
      );
      if (end.scale >= 0) options.push(1, 3, 3, end.scale);
      if (end.sack) options.push(1, 1, 4, 2);
    } else if (end.sack && this.ends.private.sack && this.ends.public.sack && this.dice.chance(15)) {
      const left = (end.heard + this.dice.int(0, 3000)) >>> 0;
      options.push(1, 1, 5, 10, ...word(left), ...word((left + this.dice.int(1, 1460)) >>> 0));
    }
    if (this.stamps) options.push(1, 1, 8, 10, ...word(1000), ...word(syn ? 0 : 2000));
    return options;
  }

  private newEnd(): End {
    const { dice } = this;
    // Numbers near the wrap are as likely as others are not.
    const isn = dice.chance(15) ? -dice.int(1, 3000) : dice.next() | 0;
    return {
      isn,
      next: isn,
      heard: 0,
      window: dice.pick([1, 1000, 5840, 29_200, 65_535, 65_535, 262_144]),
      scale: dice.chance(50) ? dice.pick([0, 1, 7, 14, 15]) : -1,
      sack: dice.chance(50),
      last: null,
    };
  }
}

function word(value: number): number[] {
  return [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}
