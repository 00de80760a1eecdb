/** The list of flows: searched, sorted, by pages. What is shown is in the address, so that it can be kept and sent. */
import { type Flow, type FlowPage, get, Refusal, type Tuple } from './api.ts';
import { type Child, el, section, table } from './dom.ts';
import { bytes, duration, protocol, whole } from './format.ts';
import type { View } from './view.ts';

const LIMIT = 50;
const ORDERS = ['', 'bytes', 'packets', 'age', 'timeout'];

export function endpoint(address: string, port: number): string {
  return port === 0 ? address : `${address}:${port}`;
}

export function flows(query: URLSearchParams): View {
  const [filter, sort, cursor] = ['filter', 'sort', 'cursor'].map((name) => query.get(name) ?? '');
  const input = el('input', {
    class: 'grow',
    type: 'search',
    name: 'filter',
    value: filter!,
    'aria-label': 'Filter',
    placeholder: 'tcp and src 10.0.0.0/24 and not dport 443',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const order = el(
    'select',
    { name: 'sort', 'aria-label': 'Order', onchange: () => search() },
    ...ORDERS.map((name) =>
      el('option', { value: name, selected: name === sort }, name === '' ? 'in any order' : `most ${name}`),
    ),
  );
  const search = () => {
    location.hash = address({ filter: input.value.trim(), sort: order.value });
  };
  const form = el(
    'form',
    {
      role: 'search',
      onsubmit: (event) => {
        event.preventDefault();
        search();
      },
    },
    input,
    order,
    el('button', { type: 'submit' }, 'Search'),
  );
  const result = el('div', { 'aria-live': 'polite' }, el('p', { class: 'dim' }, 'Reading.'));
  const count = el('span', { class: 'dim' });

  const load = async () => {
    const words: Record<string, string> = { limit: String(LIMIT) };
    if (filter !== '') words['filter'] = filter!;
    if (sort !== '') words['sort'] = sort!;
    else if (cursor !== '') words['cursor'] = cursor!;
    try {
      const page = await get<FlowPage>('/v1/flows', words);
      const found = await get<{ count: number }>('/v1/flows/count', filter === '' ? {} : { filter: filter! });
      count.textContent = `${whole(found.count)} flows`;
      result.replaceChildren(flowTable(page.flows));
      const next = page.cursor;
      if (next === null) return;
      const href = address({ filter: filter!, sort: '', cursor: next });
      result.append(el('div', { class: 'actions' }, el('a', { href }, 'Next page')));
    } catch (error) {
      result.replaceChildren(problem(error));
    }
  };
  void load();
  const again = el('button', { type: 'button', onclick: () => void load() }, 'Read again');
  return {
    title: 'Flows',
    elements: [section('Flows', 'all', form, el('div', { class: 'actions' }, count, again), result)],
  };
}

/** What is wrong, with the place of it in a filter, as the gateway says it. */
export function problem(error: unknown): HTMLElement {
  const { message, hint } = error instanceof Refusal ? error : { message: String(error), hint: '' };
  return el('pre', { class: 'bad', role: 'alert' }, hint === '' ? message : `${message}\n${hint}`);
}

function address(words: Record<string, string>): string {
  const query = new URLSearchParams(Object.entries(words).filter(([, value]) => value !== ''));
  return `#/flows?${query}`;
}

function flowTable(list: Flow[]): HTMLElement {
  const rows = list.map((flow): Child[] => {
    const { src, sport, dst, dport }: Tuple = flow.original;
    const outside = flow.side === 'private' ? flow.reply.dst : dst;
    const outsidePort = flow.side === 'private' ? flow.reply.dport : dport;
    return [
      el('a', { href: `#/flow/${flow.id}` }, `${protocol(flow.protocol)} ${endpoint(src, sport)}`),
      endpoint(dst, dport),
      endpoint(outside, outsidePort),
      stateOf(flow),
      bytes(flow.originalBytes + flow.replyBytes),
      duration(flow.ageSeconds),
      duration(flow.timeoutSeconds),
    ];
  });
  return table(
    ['Source', 'Destination', '~External', 'State', '#Bytes', '~#Age', '~#Ends in'],
    rows,
    'No flow is meant.',
  );
}

export function stateOf({ state, unreplied, assured }: Flow): string {
  const flag = unreplied ? 'unreplied' : assured ? 'assured' : 'replied';
  return state === '' || state === 'NONE' ? flag : state;
}
