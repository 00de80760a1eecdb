/** Garbage collections of this process during given pieces of work. */
import { PerformanceObserver, performance } from 'node:perf_hooks';

export class Collections {
  private readonly at: number[] = [];
  private readonly spans: [number, number][] = [];
  private readonly observer: PerformanceObserver;

  constructor() {
    this.observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) this.at.push(entry.startTime);
    });
    this.observer.observe({ entryTypes: ['gc'] });
  }

  during<T>(work: () => T): T {
    const began = performance.now();
    const result = work();
    this.spans.push([began, performance.now()]);
    return result;
  }

  /** The observer is told on the event loop, which did not turn meanwhile. Throws when it was told nothing, not even of gc(). */
  async count(): Promise<number> {
    const asked = performance.now();
    globalThis.gc!();
    for (let turns = 0; turns < 1000 && !this.at.some((at) => at >= asked); turns++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (!this.at.some((at) => at >= asked)) throw new Error('garbage collections cannot be observed');
    this.observer.disconnect();
    return this.at.filter((at) => this.spans.some(([began, ended]) => at >= began && at <= ended)).length;
  }
}
