/**
 * The meter: how many packets each private host may send to the engine while it is flooded, counted before they cost it anything.
 *
 *     0    u32 limit     packets of one host in an interval; 0: nobody is counted
 *     4    u32 key       of the hash of addresses, another one each time the meter is switched on
 *     8    u64 dropped   packets beyond the limit
 *     64   buckets       METER_BUCKETS of 16 bytes: interval, packets in it, packets in the one before, address of the host
 *
 * An array map of one value that the supervisor maps and the programs of private interfaces read and write. A host has the bucket of its
 * address's hash; two in one share it until the key changes. Processors count beside each other without locks, so a count may be a
 * little low. An interval is 2^23 ns (8.4 ms) of CLOCK_MONOTONIC. Switched off it costs a load and a branch.
 */
import { addon } from '../../link/addon.ts';
import { type Assembler, fp, r0, r1, r2, r3, r4, r5 } from '../ebpf/assembler.ts';
import { KTIME_GET_NS, MAP_MMAPABLE, MAP_TYPE_ARRAY, TC_ACT_SHOT } from '../ebpf/kernel.ts';
import { read } from './parse.ts';

const LIMIT = 0;
const KEY = 4;
const DROPPED = 8;
const HEADER = 64;
const B_INTERVAL = HEADER;
const B_COUNT = HEADER + 4;
const B_BEFORE = HEADER + 8;
const B_ADDRESS = HEADER + 12;

const BUCKET_BITS = 12;
export const METER_BUCKETS = 1 << BUCKET_BITS;
const BUCKET_SHIFT = 4;
export const METER_BYTES = HEADER + (METER_BUCKETS << BUCKET_SHIFT);

/** An interval is 2^INTERVAL_SHIFT ns. */
const INTERVAL_SHIFT = 23;
export const INTERVAL_MS = 2 ** INTERVAL_SHIFT / 1e6;

/** Stack: the sender's address. */
const ADDRESS = -56;
/** Odd, so that it spreads all bits (Knuth's multiplicative hash). */
const SPREAD = 0x9e3779b1 | 0;

/** Creates a meter that is off; returns the descriptor of its map. */
export function createMeterMap(): number {
  return addon().bpfMapCreate(MAP_TYPE_ARRAY, 4, METER_BYTES, 1, MAP_MMAPABLE, 'ng_meter');
}

/** Goes on to the next instruction with what may pass, and drops the rest. Uses r0 to r5. */
export function meter(a: Assembler, meterMapFd: number): void {
  const pass = a.unique('pass');
  const same = a.unique('same');
  a.loadMapValue(r1, meterMapFd).load(r2, 'u32', r1, LIMIT).jumpIf(r2, '==', 0, pass);
  read(a, 12, ADDRESS, 4);
  a.call(KTIME_GET_NS)
    .alu(r0, '>>=', INTERVAL_SHIFT)
    .alu32(r0, '=', r0)
    .load(r2, 'u32', fp, ADDRESS)
    .loadMapValue(r1, meterMapFd)
    .load(r3, 'u32', r1, KEY)
    .load(r4, 'u32', r1, LIMIT)
    .alu32(r3, '^=', r2)
    .alu32(r3, '*=', SPREAD)
    .alu32(r3, '>>=', 32 - BUCKET_BITS)
    .alu(r3, '<<=', BUCKET_SHIFT)
    .alu(r1, '+=', r3)
    .load(r5, 'u32', r1, B_INTERVAL)
    .jumpIf(r5, '==', r0, same)
    .load(r3, 'u32', r1, B_COUNT)
    .store('u32', r1, B_BEFORE, r3)
    .store('u32', r1, B_COUNT, 0)
    .store('u32', r1, B_ADDRESS, r2)
    .store('u32', r1, B_INTERVAL, r0)
    .label(same)
    .load(r5, 'u32', r1, B_COUNT)
    .alu(r5, '+=', 1)
    .store('u32', r1, B_COUNT, r5)
    .jumpIf(r5, '<=', r4, pass)
    .loadMapValue(r1, meterMapFd)
    .load(r2, 'u64', r1, DROPPED)
    .alu(r2, '+=', 1)
    .store('u64', r1, DROPPED, r2)
    .alu(r0, '=', TC_ACT_SHOT)
    .exit()
    .label(pass);
}

/** What a host has sent in a whole interval. */
export interface Demand {
  /** Wire order. */
  address: number;
  packets: number;
}

/** The supervisor's view of a meter. */
export class Meter {
  private readonly words: Uint32Array;
  private readonly counts: BigUint64Array;
  private readonly now: () => number;

  /** `memory`: the map, mapped. `now`: number of the interval, for tests. */
  constructor(memory: ArrayBuffer, now: () => number = interval) {
    this.words = new Uint32Array(memory, 0, METER_BYTES / 4);
    this.counts = new BigUint64Array(memory, 0, HEADER / 8);
    this.now = now;
  }

  /** Packets that were dropped since it was made. */
  get dropped(): number {
    return Number(this.counts[DROPPED / 8]!);
  }

  /** Packets of one host in an interval; 0: nobody is counted. */
  get limit(): number {
    return this.words[LIMIT / 4]!;
  }

  set limit(packets: number) {
    this.words[LIMIT / 4] = packets;
  }

  set key(key: number) {
    this.words[KEY / 4] = key;
  }

  /** Of the hosts that have sent something lately. */
  demands(): Demand[] {
    const { words } = this;
    const now = this.now();
    const demands: Demand[] = [];
    for (let at = 0; at < METER_BUCKETS * 4; at += 4) {
      const age = (now - words[B_INTERVAL / 4 + at]!) | 0;
      if (age < 0 || age > 2) continue;
      const packets = Math.max(words[B_COUNT / 4 + at]!, words[B_BEFORE / 4 + at]!);
      if (packets > 0) demands.push({ address: words[B_ADDRESS / 4 + at]! | 0, packets });
    }
    return demands;
  }
}

function interval(): number {
  return Number(BigInt.asIntN(32, process.hrtime.bigint() >> BigInt(INTERVAL_SHIFT)));
}
