/**
 * The screen of `natgate top` as lines: pure, so that a test can look at it. Never wider than `width` nor longer than `height`.
 *
 *     summary │ views, order │ filter │ heading │ rows … │ keys, or the filter that is being typed
 */

import { endsOf } from '../../gateway/observe/flow-json.ts';
import { ordered, type TopOrder, type Usage } from '../../gateway/observe/top.ts';
import { formatAddress } from '../../wire/address.ts';
import { protocolName } from '../../wire/protocols.ts';
import { formatAge, formatBits, formatCount, formatDuration, formatShortBytes } from '../units.ts';
import type { TopModel } from './model.ts';

export type TopView = 'talkers' | 'destinations' | 'flows' | 'ports';

export interface TopScreen {
  view: TopView;
  order: TopOrder;
  /** The filter in force, as text. */
  filter: string;
  /** What is being typed instead; null: nothing. */
  typed: string | null;
  /** What is wrong with what was typed; empty: nothing. */
  problem: string;
  paused: boolean;
  width: number;
  height: number;
}

const VIEWS: readonly TopView[] = ['talkers', 'destinations', 'flows', 'ports'];
const KEYS = 'q quit  1-4 view  s sort  / filter  c clear  space pause';

export interface StyledLine {
  text: string;
  style: 'plain' | 'bold' | 'inverse';
}

export function screenLines(model: TopModel, screen: TopScreen): StyledLine[] {
  const { width, height } = screen;
  const rows = tableOf(model, screen.view, screen.order);
  const [heading, ...body] = aligned(rows);
  const room = Math.max(height - 5, 1);
  const lines: StyledLine[] = [
    { text: summary(model), style: 'bold' },
    { text: settings(screen), style: 'plain' },
    { text: chosen(model, screen), style: 'plain' },
    { text: (heading ?? '').padEnd(width), style: 'inverse' },
    ...body.slice(0, room).map((text): StyledLine => ({ text, style: 'plain' })),
  ];
  while (lines.length < height - 1) lines.push({ text: '', style: 'plain' });
  lines.push({ text: lastLine(screen), style: screen.problem === '' ? 'plain' : 'bold' });
  return lines.slice(0, height).map(({ text, style }) => ({ text: cut(text, width), style }));
}

/** For `--once`: as wide as it is. */
export function onceLines(model: TopModel, view: TopView, order: TopOrder, limit: number): string[] {
  const [heading, ...rows] = aligned(tableOf(model, view, order));
  return [summary(model), '', heading!, ...rows.slice(0, limit)];
}

function summary({ name, uptime, flowCount, capacity, rates }: TopModel): string {
  const now =
    rates === null
      ? 'measuring'
      : `out ${formatBits(rates.out.bits)}  in ${formatBits(rates.in.bits)}  ` +
        `${formatCount(Math.round(rates.flowsStarted))} flows/s  ${formatCount(Math.round(rates.drops))} drops/s`;
  return `natgate ${name}  up ${formatDuration(uptime)}  ${formatCount(flowCount)} of ${formatCount(capacity)} flows  ${now}`;
}

function settings({ view, order, paused }: TopScreen): string {
  const views = VIEWS.map((name, i) => (name === view ? `[${i + 1} ${name}]` : ` ${i + 1} ${name} `)).join(
    ' ',
  );
  return `${views}  sort: ${order}${paused ? '  paused' : ''}`;
}

function chosen({ sample }: TopModel, { filter }: TopScreen): string {
  return filter === '' ? '' : `filter: ${filter} (${formatCount(sample.flows)} flows)`;
}

function lastLine({ typed, problem }: TopScreen): string {
  if (problem !== '') return problem;
  return typed === null ? KEYS : `filter: ${typed}_`;
}

/** A heading and rows; cells that begin with a tab are flush right. */
function tableOf(model: TopModel, view: TopView, order: TopOrder): string[][] {
  const { sample } = model;
  const rate = (bytes: number) => `\t${formatBits(bytes * 8)}`;
  const usage = ({ flows, out, in: back, outRate, inRate }: Usage) => [
    `\t${formatCount(flows)}`,
    rate(outRate),
    rate(inRate),
    `\t${formatShortBytes(out)}`,
    `\t${formatShortBytes(back)}`,
  ];
  const heads = ['\tFLOWS', '\tOUT NOW', '\tIN NOW', '\tOUT', '\tIN'];
  const named = (map: ReadonlyMap<number, Usage>) =>
    ordered(
      [...map].map(([address, one]) => ({ address, ...one })),
      order,
    );
  switch (view) {
    case 'talkers':
      return [
        ['CLIENT', 'NAME', ...heads],
        ...named(sample.clients).map((one) => [
          formatAddress(one.address),
          model.clientName(one.address),
          ...usage(one),
        ]),
      ];
    case 'destinations':
      return [
        ['DESTINATION', ...heads],
        ...named(sample.destinations).map((one) => [formatAddress(one.address), ...usage(one)]),
      ];
    case 'flows':
      return [
        ['PROTO', 'CLIENT', 'REMOTE', 'STATE', ...heads.slice(1), '\tAGE'],
        ...sample.busiest.map((flow) => {
          const ends = endsOf(flow);
          const end = ({ address, port }: { address: number; port: number }) =>
            `${formatAddress(address)}:${port}`;
          return [
            protocolName(flow.protocol) ?? `${flow.protocol}`,
            end(ends.private),
            end(ends.remote),
            flow.state || (flow.unreplied ? 'unreplied' : flow.assured ? 'assured' : ''),
            ...usage(flow).slice(1),
            `\t${formatAge(flow.ageSeconds)}`,
          ];
        }),
      ];
    case 'ports':
      return portRows(model, order);
  }
}

/** How full external addresses are, then which endpoints take the most ports of theirs. */
function portRows({ externals, sample }: TopModel, order: TopOrder): string[][] {
  const tables = ['tcp', 'udp', 'icmp'] as const;
  const full = externals.flatMap(({ address, inUse, ports }) =>
    tables
      .filter((table) => inUse[table] > 0)
      .map((table) => [
        'external',
        address,
        table,
        `\t${formatCount(inUse[table])}`,
        `\t${((100 * inUse[table]) / ports[table]).toFixed(1)} %`,
        bar(inUse[table] / ports[table]),
      ]),
  );
  const most = Math.max(...externals.map(({ ports }) => ports.tcp), 1);
  const endpoints = ordered(sample.endpoints.values(), order === 'rate' ? 'flows' : order).map(
    ({ protocol, address, port, flows }) => [
      'towards',
      port === 0 ? formatAddress(address) : `${formatAddress(address)}:${port}`,
      protocolName(protocol) ?? `${protocol}`,
      `\t${formatCount(flows)}`,
      `\t${((100 * flows) / most).toFixed(1)} %`,
      bar(flows / most),
    ],
  );
  return [['PORTS', 'ADDRESS', 'PROTO', '\tIN USE', '\tOF ALL', ''], ...full, ...endpoints];
}

function bar(part: number): string {
  return '#'.repeat(Math.min(Math.ceil(part * 20), 20)).padEnd(20, '.');
}

function aligned(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => bare(row[i] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (cell.startsWith('\t') ? bare(cell).padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}

function bare(cell: string): string {
  return cell.startsWith('\t') ? cell.slice(1) : cell;
}

function cut(text: string, width: number): string {
  return text.length > width ? text.slice(0, width) : text;
}
