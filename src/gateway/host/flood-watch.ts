/**
 * Fair shares of the processor: when the queues of the private TUNs overrun, hosts that send more than their share are cut down to it
 * before their packets reach the engine (host/steering/meter.ts), so that those who send less lose nothing.
 *
 *     quiet ──a queue drops──▶ counting ──and does so still──▶ limiting ──nobody is above the limit for CALM looks──▶ quiet
 *       ▲───────────no more────────┘
 *
 * The limit is max-min fair: what the engine gets done, shared so that who wants less than an even part has all he wants, and what is left
 * is shared among the others. What it gets done is what it read while queues dropped; while they do not, more is tried, at first a little,
 * then twice as much more with each look: what was found may have been an engine that did not run all of the time.
 *
 * Queues of an engine that reads nothing (dead, stopped) drop as well. That is no flood, and says nothing about what it gets done.
 *
 * Limits: hosts behind the private interfaces, by address; what comes from outside, and on an interface that is both sides, is not
 * metered. One look (LOOK_MS) passes before counting, and one more before the first limit.
 */
import { randomSeed } from '../../core/random.ts';
import { INTERVAL_MS, METER_BYTES, Meter } from '../../host/steering/meter.ts';
import { addon } from '../../link/addon.ts';
import { formatAddress } from '../../wire/address.ts';
import type { Log } from '../log.ts';
import { readDeviceCounts } from '../observe/own-process.ts';

const LOOK_MS = 250;
/** Packets that a queue may drop between two looks: a burst is no flood. */
const FEW = 64;
/** Of what the engine read while queues overran: it is to have a little air. */
const MARGIN = 0.9;
/** Parts of a capacity that are tried besides it: first, and at most. */
const MORE = 0.05;
const MOST_MORE = 0.8;
/** Packets in an interval (3800 a second) that any engine gets done: less was read by one that was not let run. */
const LEAST = 32;
/** Packets in an interval that nothing gets done. */
const UNBOUNDED = 2 ** 30;
/** Looks without anybody above the limit. */
const CALM = 8;
/** Looks from one writing down to the next. */
const RECORD_EVERY = 4;
/** Nobody is limited, all are counted. */
const COUNT_ONLY = 0xffffffff;

/** What is written down of floods (run-record.ts). */
export interface Flood {
  /** Who sends most, while somebody is limited; null: nobody is. */
  host: string | null;
  /** Packets that were dropped since the gateway started. */
  dropped: number;
}

/** What the private TUNs have done, together. */
export interface Passed {
  packets: number;
  dropped: number;
}

export interface FloodHost {
  meter: Meter;
  passed(): Passed;
  log: Log;
  /** A flood begins, goes on (now and then), or is over. */
  record(flood: Flood): void;
  /** Of the hash of addresses; int32. */
  random(): number;
  /** ms, of a clock that does not jump. */
  now(): number;
}

/**
 * The most that each may have so that all together have `capacity`: who wants less has what he wants. At least 1; Infinity: there is
 * enough for all.
 */
export function fairLimit(demands: readonly number[], capacity: number): number {
  let left = capacity;
  const sorted = demands.toSorted((a, b) => a - b);
  for (const [i, demand] of sorted.entries()) {
    const even = left / (sorted.length - i);
    if (demand > even) return Math.max(1, Math.floor(even));
    left -= demand;
  }
  return Number.POSITIVE_INFINITY;
}

export class FloodWatch {
  private readonly host: FloodHost;
  private readonly timer: NodeJS.Timeout;
  private last: Passed & { at: number };
  /** Packets in an interval that the engine gets done. */
  private capacity = 0;
  /** The part of it that is tried next. */
  private more = MORE;
  private calm = 0;
  /** With somebody above the limit, of this flood. */
  private looks = 0;

  constructor(host: FloodHost) {
    this.host = host;
    this.last = { ...host.passed(), at: host.now() };
    this.timer = setInterval(() => this.look(), LOOK_MS);
  }

  close(): void {
    clearInterval(this.timer);
    this.host.meter.limit = 0;
  }

  /** Once each LOOK_MS. */
  look(): void {
    const { host, last } = this;
    const { meter } = host;
    const passed = { ...host.passed(), at: host.now() };
    this.last = passed;
    const elapsed = passed.at - last.at;
    // A TUN that was made anew counts anew.
    if (elapsed <= 0 || passed.packets < last.packets || passed.dropped < last.dropped) return;
    const overran = passed.dropped - last.dropped > FEW;
    const done = Math.max(LEAST, ((passed.packets - last.packets) * INTERVAL_MS * MARGIN) / elapsed);
    if (overran && passed.packets === last.packets) {
      if (meter.limit === COUNT_ONLY) meter.limit = 0;
      return;
    }
    if (meter.limit === 0) {
      if (!overran) return;
      meter.key = host.random();
      meter.limit = COUNT_ONLY;
      this.calm = 0;
      this.looks = 0;
      return;
    }
    if (overran) {
      this.capacity = done;
      this.more = MORE;
    } else if (meter.limit === COUNT_ONLY) {
      meter.limit = 0;
      return;
    } else {
      this.capacity = Math.min(this.capacity * (1 + this.more), UNBOUNDED);
      this.more = Math.min(this.more * 2, MOST_MORE);
    }
    this.limit();
  }

  private limit(): void {
    const { meter, log, record } = this.host;
    const demands = meter.demands();
    const limit = fairLimit(
      demands.map(({ packets }) => packets),
      this.capacity,
    );
    const wasLimiting = meter.limit !== COUNT_ONLY;
    if (Number.isFinite(limit)) {
      this.calm = 0;
      meter.limit = limit;
      const most = demands.reduce((a, b) => (b.packets > a.packets ? b : a));
      if (this.looks++ % RECORD_EVERY === 0)
        record({ host: formatAddress(most.address), dropped: meter.dropped });
      if (wasLimiting) return;
      const perSecond = (packets: number) => Math.round((packets * 1000) / INTERVAL_MS);
      const text = `${formatAddress(most.address)} sends ${perSecond(most.packets)} packets a second`;
      log(
        `a private host floods: ${text}; ${perSecond(limit)} of them pass`,
        'warning',
        'others keep their share; see what it does',
      );
      return;
    }
    // All together want less than that.
    if (wasLimiting) meter.limit = Math.floor(this.capacity);
    if (++this.calm < CALM) return;
    meter.limit = 0;
    if (!wasLimiting) return;
    record({ host: null, dropped: meter.dropped });
    log(`the flood is over: ${meter.dropped} packets were dropped in front of the engine so far`);
  }
}

/** Of a gateway: `tuns` are the names of the private ones. */
export function watchFloods(
  meterFd: number,
  tuns: () => readonly string[],
  { log, record }: Pick<FloodHost, 'log' | 'record'>,
): FloodWatch {
  const memory = addon().mmap(meterFd, METER_BYTES, true);
  return new FloodWatch({
    meter: new Meter(memory),
    passed: () => {
      const counts = readDeviceCounts();
      const sum = { packets: 0, dropped: 0 };
      for (const name of tuns()) {
        sum.packets += counts.get(name)?.sent ?? 0;
        sum.dropped += counts.get(name)?.out ?? 0;
      }
      return sum;
    },
    log,
    record,
    random: () => randomSeed()[0],
    now: () => performance.now(),
  });
}
