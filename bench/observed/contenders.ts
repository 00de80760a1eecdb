/** Natgate while somebody looks at it, in each way that there is, and in all of them at once. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { natgate } from '../net/contenders/natgate.ts';
import type { Child } from '../net/processes.ts';
import { ROOT } from '../net/tools.ts';
import type { Topology } from '../net/topology.ts';
import type { Contender } from '../net/types.ts';

const MAIN = join(ROOT, 'dist/cli/main.js');
const OBSERVER = fileURLToPath(new URL('./observer.ts', import.meta.url));
const URL_OF = 'http://127.0.0.1:9700';

interface Ways {
  name: string;
  about: string;
  /** Lines of the configuration. */
  config?: string;
  /** For observer.ts. */
  looks?: (topology: Topology) => string[];
  /** Arguments of `natgate capture`. */
  capture?: string[];
}

const socketOf = (topology: Topology) => join(topology.stateRoot, topology.name, 'control.sock');
const METRICS = 'metrics: {listen: 127.0.0.1:9700}\n';
const PAGE = 'metrics: {listen: 127.0.0.1:9700, page: true}\n';
const EVENTS = 'events: {file: FOLDER/events.jsonl}\n';

const WAYS: readonly Ways[] = [
  {
    name: 'control',
    about: 'flows, their number and the status asked for by the control socket, four times a second',
    looks: (topology) => ['control', socketOf(topology)],
  },
  {
    name: 'metrics',
    about: 'scraped each second',
    config: METRICS,
    looks: () => ['metrics', URL_OF],
  },
  { name: 'events', about: 'each flow’s begin and end written to a file', config: EVENTS },
  {
    name: 'page',
    about: 'the page open in a browser (its requests)',
    config: PAGE,
    looks: () => ['page', URL_OF],
  },
  {
    name: 'all',
    about: 'all of these at once',
    config: PAGE + EVENTS,
    looks: (topology) => ['control', socketOf(topology), 'metrics', URL_OF, 'page', URL_OF],
  },
  {
    name: 'capture',
    about: 'all packets captured, 128 bytes of each',
    capture: ['-w', '/dev/null', '--snaplen', '128'],
  },
  {
    name: 'capture-other',
    about: 'packets of another host captured: none comes',
    capture: ['-w', '/dev/null', 'host 10.77.0.99'],
  },
];

function observed({ name, about, config = '', looks, capture }: Ways): Contender {
  return {
    name,
    about,
    needs: [],
    async start(topology) {
      const place = ['--name', topology.name, '--state-root', topology.stateRoot];
      const file = join(topology.stateRoot, 'observed.yaml');
      mkdirSync(topology.stateRoot, { recursive: true });
      writeFileSync(file, `private: g0\npublic: g1\n${config.replace('FOLDER', topology.stateRoot)}`);
      const node = (...args: string[]) => topology.start(topology.gateway, process.execPath, args);
      const gateway = node(MAIN, 'run', '--config', file, ...place);
      await gateway.output(/^natgate: ready /m, 15_000);
      const children: Child[] = [gateway];
      if (looks !== undefined) {
        const observer = node('--import', 'tsx', OBSERVER, ...looks(topology));
        await observer.output(/^looking$/m, 15_000);
        children.push(observer);
      }
      if (capture !== undefined) {
        const capturing = node(MAIN, 'capture', ...place, ...capture);
        await capturing.output(/capturing/, 15_000);
        children.push(capturing);
      }
      return children;
    },
  };
}

/** The one that nobody looks at comes first: the others are compared with it. */
export const contenders: readonly Contender[] = [{ ...natgate, name: 'nobody' }, ...WAYS.map(observed)];
