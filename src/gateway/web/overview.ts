/** Everything at one look. */
import { get, type Status, type Top, type Usage } from './api.ts';
import { Chart } from './chart.ts';
import { type Child, el, section, table } from './dom.ts';
import { bits, bytes, packets, protocol, rate, whole } from './format.ts';
import type { Rates } from './live.ts';
import type { Context, View } from './view.ts';

const LISTED = 8;

export function overview({ status: first, every }: Context): View {
  const lines = [
    { name: 'out', colour: '--out' },
    { name: 'in', colour: '--in' },
  ] as const;
  const throughput = new Chart('Throughput of the last minutes, bits per second', lines, bits);
  const packetChart = new Chart('Packets per second of the last minutes', lines, packets);
  const [flows, ports, drops, talkers, destinations, services] = [0, 1, 2, 3, 4, 5].map(() => el('div'));
  const figures = new Map<string, HTMLElement>();
  const figure = (name: string, kind = '') => {
    const value = el('span', { class: `value ${kind}` }, '–');
    figures.set(name, value);
    return el('div', {}, el('span', { class: 'dim' }, name), value);
  };
  const set = (name: string, text: string) => {
    figures.get(name)!.textContent = text;
  };
  const showStatus = (status: Status) => {
    set('Flows', whole(status.flows.count));
    flows!.replaceChildren(flowTable(status));
    ports!.replaceChildren(...portBars(status));
    drops!.replaceChildren(dropTable(status));
  };
  const head = el(
    'div',
    { class: 'figures' },
    figure('Out', 'out'),
    figure('In', 'in'),
    figure('Flows'),
    figure('New flows'),
    figure('Ended flows'),
    figure('Drops'),
  );
  const elements = [
    section('Now', 'all', head),
    section('Throughput', '', throughput.element),
    section('Packets', '', packetChart.element),
    section('Flows by protocol', 'third', flows!),
    section('Ports in use', 'third', ports!),
    section('Drops by reason', 'third', drops!),
    section('Talkers', 'third', talkers!),
    section('Destinations', 'third', destinations!),
    section('Services', 'third', services!),
  ];
  showStatus(first);
  const ends = [
    every(2000, async () => showStatus(await get<Status>('/v1/status'))),
    every(2000, async () => {
      const top = await get<Top>('/v1/top');
      talkers!.replaceChildren(
        usageTable('Host', top.clients, (each) =>
          flowsLink(`client ${each.address}`, each.name || each.address),
        ),
      );
      destinations!.replaceChildren(
        usageTable('Address', top.destinations, (each) => flowsLink(`host ${each.address}`, each.address)),
      );
      services!.replaceChildren(
        usageTable('Service', top.ports, (each) => `${protocol(each.protocol)} ${each.address}:${each.port}`),
      );
    }),
  ];
  return {
    title: 'Overview',
    elements,
    onRates(now: Rates) {
      throughput.add(now.time, [now.out.bits, now.in.bits]);
      packetChart.add(now.time, [now.out.packets, now.in.packets]);
      set('Out', bits(now.out.bits));
      set('In', bits(now.in.bits));
      set('New flows', rate(now.started));
      set('Ended flows', rate(now.ended));
      set('Drops', rate(now.drops));
    },
    onTheme() {
      throughput.draw();
      packetChart.draw();
    },
    close() {
      for (const end of ends) end();
      throughput.close();
      packetChart.close();
    },
  };
}

export function flowsLink(filter: string, text: string): HTMLElement {
  return el('a', { href: `#/flows?${new URLSearchParams({ filter })}` }, text);
}

function flowTable({ flows }: Status): HTMLElement {
  const rows = (['tcp', 'udp', 'icmp', 'other'] as const).map((name): Child[] => [
    name === 'other' ? name : flowsLink(name, name),
    whole(flows[name]),
  ]);
  return table(
    ['Protocol', '#Flows'],
    [...rows, ['all, of at most', `${whole(flows.count)} / ${whole(flows.capacity)}`]],
    '',
  );
}

function portBars({ externals }: Status): HTMLElement[] {
  if (externals.length === 0) return [el('p', { class: 'dim' }, 'No port is in use.')];
  return externals.flatMap(({ address, inUse, ports }) => [
    el('strong', {}, address),
    ...(['tcp', 'udp', 'icmp'] as const).map((name) => {
      const share = ports[name] === 0 ? 0 : inUse[name] / ports[name];
      const bar = el('div');
      bar.style.width = `${(Math.min(share, 1) * 100).toFixed(2)}%`;
      const text = `${name} ${whole(inUse[name])} of ${whole(ports[name])}`;
      return el('div', {}, text, el('div', { class: 'meter', 'aria-hidden': 'true' }, bar));
    }),
  ]);
}

function dropTable({ drops, refused }: Status): HTMLElement {
  const rows = Object.entries(drops)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]): Child[] => [reason, whole(count)]);
  const limited = refused
    .slice(0, LISTED)
    .map(({ host, rule, reason, count }): Child[] => [`${host}, rule ${rule}: ${reason}`, whole(count)]);
  return el(
    'div',
    {},
    table(['Reason', '#Packets'], rows, 'Nothing was dropped.'),
    ...(limited.length === 0 ? [] : [table(['Refused', '#Times'], limited, '')]),
  );
}

function usageTable<T extends Usage>(name: string, all: T[], label: (each: T) => Child): HTMLElement {
  const rows = all
    .slice(0, LISTED)
    .map((each): Child[] => [
      label(each),
      bits(each.outRate * 8),
      bits(each.inRate * 8),
      bytes(each.out + each.in),
      whole(each.flows),
    ]);
  return table([name, '#Out', '#In', '~#Total', '~#Flows'], rows, 'No flow lives.');
}
