/**
 * The only clock of a virtual network: a list of what happens when. What happens at the same time happens in the order in
 * which it was asked for, so a run repeats exactly.
 */
import { NatgateError } from '../core/errors.ts';

interface Event {
  time: number;
  action: () => void;
}

/** Far beyond what a test does; two sockets that answer each other for ever get here. */
const MAX_EVENTS = 1_000_000;

export class VirtualClock {
  /** ms since the network was made. */
  now = 0;
  private readonly events: Event[] = [];

  /** Does something `delay` ms from now. Returns what calls it off. */
  after(delay: number, action: () => void): () => void {
    const event = { time: this.now + Math.max(delay, 0), action };
    let at = this.events.length;
    while (at > 0 && this.events[at - 1]!.time > event.time) at--;
    this.events.splice(at, 0, event);
    return () => {
      const index = this.events.indexOf(event);
      if (index >= 0) this.events.splice(index, 1);
    };
  }

  /** Lets `ms` pass; without, as long as anything is to happen. Throws NatgateError `network_busy`. */
  run(ms = Number.POSITIVE_INFINITY): void {
    const end = this.now + ms;
    for (let done = 0; this.events.length > 0 && this.events[0]!.time <= end; done++) {
      if (done === MAX_EVENTS) {
        const what = `${MAX_EVENTS} packets and timers, and still there is no end`;
        throw new NatgateError('network_busy', what, 'say how long it shall run: run(ms)');
      }
      const { time, action } = this.events.shift()!;
      this.now = time;
      action();
    }
    if (end !== Number.POSITIVE_INFINITY) this.now = end;
  }
}
