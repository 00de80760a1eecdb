/**
 * The parts of `npm run bench:endurance`: commands that also run by themselves, and what their results say. A command that exits with
 * another code than 0 has found something lost, and gives no figure.
 */
import type { ChaosResult } from '../../test/chaos/chaos.ts';
import { seconds } from '../../test/chaos/verdict.ts';
import type { FuzzResult } from '../../test/fuzz/run.ts';
import type { SoakResult } from '../../test/soak/soak.ts';
import type { EngineResults, Spread } from '../engine/results.ts';
import type { HostileFigure } from '../hostile/run.ts';
import type { RecoveryResult } from '../recovery/run.ts';
import type { PartResult } from './results.ts';

type Said = Pick<PartResult, 'figures' | 'seen'>;

export interface Part {
  name: string;
  /** Of package.json, run with these arguments and `--json FILE`. */
  script: string;
  args: readonly string[];
  /** What the file says. */
  read: (result: unknown) => Said;
}

const SOAKED = '1e7';
const CHAOS_MINUTES = 30;

export const parts: readonly Part[] = [
  {
    name: 'recovery',
    script: 'bench:recovery',
    args: ['--kills', '5'],
    read: (found) => recovery(found as RecoveryResult),
  },
  {
    name: 'adoption',
    script: 'bench',
    args: ['--only', 'adoption'],
    read: (found) => adoption(found as EngineResults),
  },
  {
    name: 'hostile',
    script: 'bench:hostile',
    args: ['--rounds', '5'],
    read: (found) => hostile(found as HostileFigure[]),
  },
  {
    name: 'fuzz',
    script: 'fuzz',
    args: ['--packets', '1e8', '--jobs', '2'],
    read: (found) => fuzz(found as FuzzResult),
  },
  {
    name: 'soak-engine',
    script: 'soak',
    args: ['--flows', SOAKED, '--engine'],
    read: (found) => soak(found as SoakResult),
  },
  { name: 'soak', script: 'soak', args: ['--flows', SOAKED], read: (found) => soak(found as SoakResult) },
  {
    name: 'chaos',
    script: 'chaos',
    args: ['--minutes', `${CHAOS_MINUTES}`],
    read: (found) => chaos(found as ChaosResult),
  },
];

const count = (value: number) => value.toLocaleString('en');

function recovery({ transfers, killed, takenOver }: RecoveryResult): Said {
  const lost = ({ failed, wrong }: RecoveryResult['killed']) => failed + wrong;
  return {
    figures: {
      transfersLost: lost(killed) + lost(takenOver),
      longestGap: killed.gapMs.longest,
      takeoverLost: takenOver.lost,
    },
    seen:
      `${killed.times} kills under ${count(transfers)} transfers: ${killed.failed} broken, ${killed.wrong} wrong, ${killed.resets} RST; ` +
      `${count(killed.lost)} of ${count(killed.sent)} datagrams lost; gaps ${killed.gapMs.median} ms (median), ${killed.gapMs.longest} ms (longest). ` +
      `${takenOver.times} takeovers: ${takenOver.failed} broken, ${takenOver.wrong} wrong, ${takenOver.resets} RST; ` +
      `${count(takenOver.lost)} of ${count(takenOver.sent)} datagrams lost, longest gap ${takenOver.gapMs.longest} ms`,
  };
}

function adoption({ adoption: figures }: EngineResults): Said {
  const words = ({ median, fastest, slowest }: Spread) =>
    `${median.toFixed(0)} ms (${fastest.toFixed(0)} to ${slowest.toFixed(0)})`;
  return {
    figures: { adoption: Math.max(...figures.map(({ ms }) => ms.median)) },
    seen: figures
      .map(
        ({ flows, own, ms }) =>
          `${count(flows)} flows, ${own ? 'a mapping each' : 'mappings shared'}: ${words(ms)}`,
      )
      .join('; '),
  };
}

/** Bulk shares the two processors with the flooder, so the figure is that of paced transfers. */
function hostile(figures: readonly HostileFigure[]): Said {
  const own = figures.filter(({ contender }) => contender === 'natgate');
  const percent = (value: number) => `${(100 * value).toFixed(0)} %`;
  return {
    figures: { goodputLeft: Math.min(...own.filter(({ paced }) => paced).map(({ left }) => left)) },
    seen: own
      .map(({ transfer, left }) => {
        const other = figures.find((one) => one.transfer === transfer && one.contender === 'kernel');
        return `${transfer}: ${percent(left)}${other === undefined ? '' : ` (kernel ${percent(other.left)})`}`;
      })
      .join('; '),
  };
}

function fuzz({ seed, packets }: FuzzResult): Said {
  return {
    figures: { mutated: packets },
    seen: `${count(packets)} mutated packets through the engine, no failure; seed ${seed}`,
  };
}

function soak({ kind, flows, over, books, growth, violations }: SoakResult): Said {
  const rises = Object.entries(growth).map(([name, { rise }]) => `${name} ${rise.toFixed(1)}`);
  return {
    figures: { [`growing-${kind}`]: violations.length },
    seen: `${count(over)} of ${count(flows)} flows ended in good order, ${books.left} left; rise: ${rises.join(', ')}`,
  };
}

function chaos({ seed, verdict, struck, datagrams }: ChaosResult): Said {
  return {
    figures: { chaosMinutes: verdict.violations.length === 0 ? CHAOS_MINUTES : 0 },
    seen:
      `seed ${seed}: ${struck.length} disasters, ${count(verdict.transfers)} transfers with the right SHA-256 or, ${verdict.byDesign} of them, ended by design; ` +
      `longest stall ${seconds(verdict.longestStall)}; ${count(datagrams.received)} of ${count(datagrams.sent)} datagrams came back`,
  };
}
