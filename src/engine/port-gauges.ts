/**
 * How many ports of each external address are in use, and how often none was left, in the state for other processes to read.
 *
 *     256 entries of 8 words: address (wire order; 0: none), TCP ports, UDP ports, ICMP ids,
 *                             times that none of these was left (since the engine started; wraps), nothing
 *
 * Written every half second. An address has an entry once a port of it has been asked for, in the order of its number.
 * Limits: addresses beyond the 256th are not here; the sums in the counters are of all.
 */
import { type ExternalAddresses, ICMP, LOCAL, TCP, UDP } from '../nat/external-addresses.ts';
import { IDS_ICMP, PORTS_TCP, PORTS_UDP } from './counters.ts';

const ENTRIES = 256;
const WORDS = 8;
/** Of the first count of refusals in an entry. */
const EXHAUSTED = 4;
const EVERY_MS = 500;
export const PORT_GAUGES_BYTES = ENTRIES * WORDS * 4;

/** Ports in use. */
export interface PortGauge {
  /** Wire order. */
  address: number;
  tcp: number;
  udp: number;
  icmp: number;
  /** How often a flow asked for a port and none was left. */
  exhausted: { tcp: number; udp: number; icmp: number };
}

/** What is shown of a port space. */
interface Space {
  inUse: number;
  exhausted: number;
}

export class PortGauges {
  private readonly words: Int32Array;
  private readonly counters: Float64Array;
  private readonly externals: ExternalAddresses;
  private next: number | null = null;
  private last = -1;
  private entry = -1;
  private readonly note: (space: Space, number: number, table: number) => void;

  /** `words`: PORT_GAUGES_BYTES of the state; `counters`: the state's. */
  constructor(words: Int32Array, counters: Float64Array, externals: ExternalAddresses) {
    this.words = words;
    this.counters = counters;
    this.externals = externals;
    this.note = (space, number, table) => this.add(space, number, table);
  }

  /** Once a batch. */
  tick(now: number): void {
    const { counters, externals } = this;
    counters[PORTS_TCP] = externals.inUse(TCP);
    counters[PORTS_UDP] = externals.inUse(UDP);
    counters[IDS_ICMP] = externals.inUse(ICMP);
    if (this.next !== null && ((now - this.next) | 0) < 0) return;
    this.next = (now + EVERY_MS) | 0;
    this.last = -1;
    this.entry = -1;
    externals.each(this.note);
    this.words.fill(0, (this.entry + 1) * WORDS);
  }

  private add({ inUse, exhausted }: Space, number: number, table: number): void {
    const { words } = this;
    // Those of the private side name the flow's own interface: nobody runs short of them.
    if (number === LOCAL) return;
    if (number !== this.last) {
      if (this.entry + 1 >= ENTRIES) return;
      this.last = number;
      this.entry++;
      words.fill(0, this.entry * WORDS, (this.entry + 1) * WORDS);
      words[this.entry * WORDS] = this.externals.addressOf(number);
    }
    words[this.entry * WORDS + 1 + table] = inUse;
    words[this.entry * WORDS + EXHAUSTED + table] = exhausted;
  }
}

/** Over all workers, which share the addresses. */
export function readPortGauges(states: readonly { ports: Int32Array }[]): PortGauge[] {
  const gauges = new Map<number, PortGauge>();
  for (const { ports } of states) {
    for (let at = 0; at < ports.length; at += WORDS) {
      const address = ports[at]!;
      if (address === 0) continue;
      const known = gauges.get(address) ?? {
        address,
        tcp: 0,
        udp: 0,
        icmp: 0,
        exhausted: { tcp: 0, udp: 0, icmp: 0 },
      };
      known.tcp += ports[at + 1]!;
      known.udp += ports[at + 2]!;
      known.icmp += ports[at + 3]!;
      known.exhausted.tcp += ports[at + EXHAUSTED]! >>> 0;
      known.exhausted.udp += ports[at + EXHAUSTED + 1]! >>> 0;
      known.exhausted.icmp += ports[at + EXHAUSTED + 2]! >>> 0;
      gauges.set(address, known);
    }
  }
  return [...gauges.values()];
}
