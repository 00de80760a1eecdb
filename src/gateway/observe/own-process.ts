/** What the supervisor sees of itself and of the devices: its event loop, memory, and what the kernel dropped before the engine. */
import { readFileSync, statSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { privateTunName, tunName } from '../../host/plan/tun.ts';
import type { RunRecord } from '../run/run-record.ts';
import { workerStatePath } from '../run/state-path.ts';

/** ms. The delays include it. */
const RESOLUTION = 100;
/** A reader that comes sooner sees the same stretch of time as the one before. */
const STRETCH_MS = 10_000;

/** Seconds. */
export interface LoopDelay {
  mean: number;
  p99: number;
  max: number;
}

export class LoopMonitor {
  private readonly histogram: IntervalHistogram;
  private since = performance.now();

  constructor() {
    this.histogram = monitorEventLoopDelay({ resolution: RESOLUTION });
    this.histogram.enable();
  }

  /** Of the time since the last look, and anew afterwards. */
  read(): LoopDelay {
    const { histogram } = this;
    const seconds = (ns: number) => (histogram.count === 0 ? 0 : Math.max(0, ns / 1e9 - RESOLUTION / 1000));
    const delay = {
      mean: seconds(histogram.mean),
      p99: seconds(histogram.percentile(99)),
      max: seconds(histogram.max),
    };
    const now = performance.now();
    if (now - this.since >= STRETCH_MS) {
      this.since = now;
      histogram.reset();
    }
    return delay;
  }

  close(): void {
    this.histogram.disable();
  }
}

/** What an interface has sent (of a TUN: what was read from it), and what was dropped for want of room, on receiving and on sending. */
export interface DeviceCounts {
  sent: number;
  in: number;
  out: number;
}

/** `text`: of /proc/net/dev. By interface. */
export function parseDeviceCounts(text: string): Map<string, DeviceCounts> {
  const found = new Map<string, DeviceCounts>();
  for (const line of text.split('\n')) {
    const match = /^\s*(\S+):\s*(\d[\d\s]*)$/.exec(line);
    if (match === null) continue;
    const words = match[2]!.trim().split(/\s+/).map(Number);
    found.set(match[1]!, { sent: words[9] ?? 0, in: words[3] ?? 0, out: words[11] ?? 0 });
  }
  return found;
}

/** Of this network namespace. */
export function readDeviceCounts(): Map<string, DeviceCounts> {
  return parseDeviceCounts(readFileSync('/proc/self/net/dev', 'utf8'));
}

export interface OwnProcess {
  loop: LoopDelay;
  /** Packets that waited for the engine in the queue of a TUN and found it full, by interface. */
  overruns: { name: string; count: number }[];
  /** Packets that the kernel dropped at the interfaces themselves. */
  links: ({ name: string; side: 'private' | 'public' } & Pick<DeviceCounts, 'in' | 'out'>)[];
  /** Bytes: the states of the workers, as mapped; the supervisor's memory. */
  stateBytes: number;
  residentBytes: number;
}

export function readOwnProcess(record: RunRecord, monitor: Pick<LoopMonitor, 'read'>): OwnProcess {
  const drops = readDeviceCounts();
  const sides = [
    ...record.private.map((name) => ({ name, side: 'private' as const })),
    { name: record.public, side: 'public' as const },
  ];
  let stateBytes = 0;
  for (let worker = 0; worker < (record.workers ?? 1); worker++) {
    stateBytes += statSync(workerStatePath(record.statePath, worker)).size;
  }
  return {
    loop: monitor.read(),
    overruns: sides.flatMap(({ name, side }) => {
      const tun = side === 'private' && name === record.public ? privateTunName(name) : tunName(name);
      const count = drops.get(tun)?.out;
      return count === undefined ? [] : [{ name: tun, count }];
    }),
    links: sides.flatMap((one) => {
      const of = drops.get(one.name);
      return of === undefined ? [] : [{ ...one, in: of.in, out: of.out }];
    }),
    stateBytes,
    residentBytes: process.memoryUsage.rss(),
  };
}
