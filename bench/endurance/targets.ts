/** The figures to reach when things go wrong, as bench/targets.ts has those of speed. */
import type { Measured, Results, Target } from '../targets.ts';

function of(part: string, figure: string): (results: Results) => Measured {
  return ({ endurance }) => {
    const found = endurance?.[part];
    if (found === undefined) return { missing: 'not measured' };
    const value = found.figures[figure];
    return value === undefined ? { missing: 'failed' } : { value };
  };
}

const plain = (value: number) => value.toLocaleString('en');
const milliseconds = (value: number) => `${value.toFixed(0)} ms`;
const percent = (value: number) => `${(100 * value).toFixed(0)} %`;
const power = (value: number) => `10^${Math.log10(value).toFixed(0)}`;
const minutes = (value: number) => `${value} min`;

const higher = 'higher' as const;
const lower = 'lower' as const;

// biome-ignore format: a table
export const enduranceTargets: readonly Target[] = [
  { figure: 'Transfers lost by `kill -9` or takeover under 1,000', measure: of('recovery', 'transfersLost'), better: lower, atLeast: 0, aim: 0, show: plain },
  { figure: 'Longest gap that a flow sees of a kill', measure: of('recovery', 'longestGap'), better: lower, atLeast: 500, aim: 100, show: milliseconds },
  { figure: 'Datagrams lost by a takeover at 10,000 a second', measure: of('recovery', 'takeoverLost'), better: lower, atLeast: 0, aim: 0, show: plain },
  { figure: 'Taking over a million flows', measure: of('adoption', 'adoption'), better: lower, atLeast: 1000, aim: 200, show: milliseconds },
  { figure: 'Goodput of one client while another floods, 100 Mb/s', measure: of('hostile', 'goodputLeft'), better: higher, atLeast: 0.8, aim: 0.95, show: percent },
  { figure: 'What grows over 10 million flows, engine in memory', measure: of('soak-engine', 'growing-engine'), better: lower, atLeast: 0, aim: 0, show: plain },
  { figure: 'What grows over 10 million flows, gateway', measure: of('soak', 'growing-gateway'), better: lower, atLeast: 0, aim: 0, show: plain },
  { figure: 'Mutated packets survived', measure: of('fuzz', 'mutated'), better: higher, atLeast: 1e8, aim: 1e9, show: power },
  { figure: 'Chaos with nothing lost', measure: of('chaos', 'chaosMinutes'), better: higher, atLeast: 30, aim: 240, show: minutes },
];
