/**
 * The page: one view at a time, by what follows `#` in the address.
 *
 *     #/ overview   #/flows?filter=…&sort=…&cursor=…   #/flow/ID   #/about
 *
 * Invariant: what a view has begun (timers, charts) ends before the next one is shown.
 */
import { about } from './about.ts';
import { get, type Status } from './api.ts';
import { el, section } from './dom.ts';
import { flowView } from './flow.ts';
import { flows, problem } from './flows.ts';
import { follow } from './live.ts';
import { overview } from './overview.ts';
import { startTheme } from './theme.ts';
import type { Context, View } from './view.ts';

const RETRY_MS = 2000;

const main = document.getElementById('view')!;
const live = document.getElementById('live')!;
let view: View | null = null;

/** Not while nobody looks. */
function every(ms: number, step: () => Promise<void>): () => void {
  let timer = 0;
  let isOver = false;
  const turn = async () => {
    try {
      if (!document.hidden) await step();
    } catch {
      // `live` says that the gateway is away; it is asked again.
    }
    if (!isOver) timer = window.setTimeout(turn, ms);
  };
  // After the caller has what it returns.
  timer = window.setTimeout(turn, 0);
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

function viewOf(context: Context): View {
  const [path, query] = location.hash.slice(1).split('?');
  const flow = /^\/flow\/(\d+\.\d+\.\d+)$/.exec(path!);
  if (flow !== null) return flowView(flow[1]!, context);
  if (path === '/flows') return flows(new URLSearchParams(query));
  if (path === '/about') return about(context.status);
  return overview(context);
}

function show(context: Context, isFirst = false): void {
  view?.close?.();
  view = viewOf(context);
  document.title = `${view.title} – natgate ${context.status.name}`;
  main.replaceChildren(...view.elements);
  const current = /^#\/flow/.test(location.hash) ? '#/flows' : location.hash || '#/';
  for (const link of document.querySelectorAll('nav a')) {
    if (link.getAttribute('href') === current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (!isFirst) main.focus({ preventScroll: true });
}

function say(isOn: boolean): void {
  live.className = isOn ? 'on' : '';
  // The same again would be read aloud again.
  const text = isOn ? 'live' : 'no connection';
  if (live.textContent !== text) live.textContent = text;
}

async function start(): Promise<void> {
  let status: Status;
  try {
    status = await get<Status>('/v1/status');
  } catch (error) {
    say(false);
    main.replaceChildren(section('No gateway', 'all', problem(error), el('p', {}, 'It is asked again.')));
    window.setTimeout(start, RETRY_MS);
    return;
  }
  document.getElementById('gateway')!.textContent = status.name;
  const context: Context = { status, every };
  show(context, true);
  addEventListener('hashchange', () => show(context));
  follow(status.interfaces, (now) => view?.onRates?.(now), say);
}

startTheme(document.getElementById('theme') as HTMLButtonElement, () => view?.onTheme?.());
void start();
