/** Counters as they come, one connection for the page: rates between two of them. */
import type { Stats, Status } from './api.ts';

export interface Rates {
  /** Seconds since 1970. */
  time: number;
  /** `out`: to the public side, bits and packets a second. */
  out: { bits: number; packets: number };
  in: { bits: number; packets: number };
  started: number;
  ended: number;
  drops: number;
  counters: Record<string, number>;
}

export function rates(before: Stats, now: Stats, interfaces: Status['interfaces']): Rates | null {
  const seconds = (now.elapsed - before.elapsed) / 1000;
  if (seconds <= 0) return null;
  // Less than before: the gateway was started anew.
  const rate = (name: string) =>
    Math.max(0, ((now.counters[name] ?? 0) - (before.counters[name] ?? 0)) / seconds);
  const traffic = (side: string) => {
    const names = interfaces.filter((each) => each.side === side).map(({ name }) => name);
    const sum = (what: string) => names.reduce((total, name) => total + rate(`${name}/${what}`), 0);
    return { bits: sum('out_bytes') * 8, packets: sum('out_packets') };
  };
  const drops = Object.keys(now.counters).filter((name) => name.startsWith('drops/'));
  return {
    time: Date.parse(now.time) / 1000,
    out: traffic('public'),
    in: traffic('private'),
    started: rate('flows_started'),
    ended: rate('flows_ended'),
    drops: drops.reduce((total, name) => total + rate(name), 0),
    counters: now.counters,
  };
}

/** Calls `take` about once a second, and `say` when the connection comes or goes. Returns what ends it. */
export function follow(
  interfaces: Status['interfaces'],
  take: (rates: Rates) => void,
  say: (isOn: boolean) => void,
): () => void {
  const source = new EventSource('/v1/stats?follow=true&interval=1');
  let before: Stats | null = null;
  source.addEventListener('stats', (event) => {
    const now = JSON.parse((event as MessageEvent<string>).data) as Stats;
    const found = before === null ? null : rates(before, now, interfaces);
    before = now;
    say(true);
    if (found !== null) take(found);
  });
  source.addEventListener('error', () => {
    before = null;
    say(false);
  });
  return () => source.close();
}
