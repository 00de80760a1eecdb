/** `natgate top`: looks, draws, listens to keys; or looks twice and prints. */
import { constants } from 'node:os';
import { NatgateError } from '../../core/errors.ts';
import { EVERYTHING, type Filter, formatFilter } from '../../gateway/observe/filter.ts';
import { parseFilter } from '../../gateway/observe/filter-parse.ts';
import { flowJson } from '../../gateway/observe/flow-json.ts';
import { ordered, type TopOrder } from '../../gateway/observe/top.ts';
import type { WhichGateway } from '../../gateway/teardown.ts';
import { formatAddress } from '../../wire/address.ts';
import { writeLines } from '../output.ts';
import { type TopModel, TopReader } from './model.ts';
import { Terminal } from './terminal.ts';
import { onceLines, screenLines, type TopScreen, type TopView } from './view.ts';

export interface TopOptions {
  view: TopView;
  sort: TopOrder;
  interval: number;
  once: boolean;
  limit: number;
  json: boolean;
}

const VIEWS: readonly TopView[] = ['talkers', 'destinations', 'flows', 'ports'];
const ORDERS: readonly TopOrder[] = ['rate', 'bytes', 'flows'];

export async function runTop(which: WhichGateway, filter: Filter, options: TopOptions): Promise<void> {
  const { interval, once, json } = options;
  if (!(interval >= 0.1 && interval <= 3600)) {
    throw new NatgateError('usage', `--interval ${interval}: not 0.1 to 3600 seconds`, 'e.g. --interval 2');
  }
  const reader = new TopReader(which);
  try {
    if (once || json || !process.stdout.isTTY || !process.stdin.isTTY) {
      await printOnce(reader, filter, options);
    } else {
      // A gateway that is not there is an error of the command line, not of the screen.
      reader.read(filter, options.sort);
      await live(reader, filter, options);
    }
  } finally {
    reader.close();
  }
}

async function printOnce(reader: TopReader, filter: Filter, options: TopOptions): Promise<void> {
  const { view, sort, limit, interval, json } = options;
  reader.read(filter, sort);
  await new Promise((resolve) => setTimeout(resolve, interval * 1000));
  const model = reader.read(filter, sort);
  await writeLines(
    json ? [JSON.stringify(asJson(model, sort, limit), null, 2)] : onceLines(model, view, sort, limit),
  );
}

function asJson({ sample, rates, externals, clientName }: TopModel, sort: TopOrder, limit: number) {
  const named = <T>(map: ReadonlyMap<number, T>) =>
    [...map].map(([address, usage]) => ({ address: formatAddress(address), ...usage }));
  const talkers = ordered(
    [...sample.clients].map(([address, usage]) => ({
      address: formatAddress(address),
      name: clientName(address),
      ...usage,
    })),
    sort,
  );
  return {
    flows: sample.flows,
    rates,
    talkers: talkers.slice(0, limit),
    destinations: ordered(named(sample.destinations), sort).slice(0, limit),
    busiest: sample.busiest.slice(0, limit).map((flow) => ({ ...flow, ...flowJson(flow) })),
    externals,
    endpoints: ordered(sample.endpoints.values(), 'flows')
      .slice(0, limit)
      .map((one) => ({ ...one, address: formatAddress(one.address) })),
  };
}

function live(reader: TopReader, filter: Filter, { view, sort, interval }: TopOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    let chosen = filter;
    let model: TopModel | null = null;
    let timer: NodeJS.Timeout | undefined;
    const screen: TopScreen = {
      view,
      order: sort,
      filter: formatFilter(filter),
      typed: null,
      problem: '',
      paused: false,
      width: 80,
      height: 24,
    };
    const end = (settle: () => void) => {
      clearTimeout(timer);
      terminal.close();
      settle();
    };
    const draw = () => {
      if (model !== null) terminal.draw(screenLines(model, Object.assign(screen, terminal.size)));
    };
    const look = () => {
      clearTimeout(timer);
      try {
        model = reader.read(chosen, screen.order);
      } catch (error) {
        end(() => reject(error));
        return;
      }
      draw();
      if (!screen.paused) timer = setTimeout(look, interval * 1000);
    };
    const choose = (text: string) => {
      try {
        chosen = text.trim() === '' ? EVERYTHING : parseFilter(text);
      } catch (error) {
        if (!(error instanceof NatgateError)) throw error;
        screen.problem = error.message;
        return;
      }
      Object.assign(screen, { filter: formatFilter(chosen), typed: null, problem: '' });
      look();
    };
    const onKey = (key: string) => {
      if (screen.typed !== null) typeKey(screen, key, choose);
      else if (key === 'q') return end(resolve);
      else if (key >= '1' && key <= '4') screen.view = VIEWS[Number(key) - 1]!;
      else if (key === '\t') screen.view = VIEWS[(VIEWS.indexOf(screen.view) + 1) % VIEWS.length]!;
      else if (key === 's') screen.order = ORDERS[(ORDERS.indexOf(screen.order) + 1) % ORDERS.length]!;
      else if (key === '/') screen.typed = screen.filter;
      else if (key === 'c') choose('');
      else if (key === ' ') {
        screen.paused = !screen.paused;
        if (!screen.paused) look();
        else clearTimeout(timer);
      }
      draw();
    };
    const terminal = new Terminal({
      onKey,
      onResize: draw,
      onSignal: (signal) => {
        process.exitCode = signal === 'SIGINT' ? 0 : 128 + constants.signals[signal];
        end(resolve);
      },
    });
    look();
  });
}

/** A key while a filter is being typed: Enter takes it, Escape forgets it. */
function typeKey(screen: TopScreen, key: string, choose: (text: string) => void): void {
  screen.problem = '';
  if (key === '\r' || key === '\n') choose(screen.typed!);
  else if (key === '\x1b') screen.typed = null;
  else if (key === '\x7f' || key === '\b') screen.typed = screen.typed!.slice(0, -1);
  else if (key === '\x15') screen.typed = '';
  else if (/^[\x20-\x7e]$/.test(key)) screen.typed += key;
}
