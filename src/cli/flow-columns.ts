/**
 * Flows as a table for people: as wide as the terminal is. What does not fit is left out, the least important column first; a table for a
 * pipe has all columns. Widths come from the first rows, so that a list of a million flows begins at once.
 */
import { styleText } from 'node:util';
import { type End, endsOf } from '../gateway/observe/flow-json.ts';
import type { ListedFlow } from '../gateway/observe/flow-list.ts';
import { formatAddress } from '../wire/address.ts';
import { protocolName } from '../wire/protocols.ts';
import { formatAge, formatShortBytes } from './units.ts';

interface Column {
  title: string;
  /** Columns with higher numbers go first when there is no room. */
  rank: number;
  right?: boolean;
  text(flow: ListedFlow): string;
}

const COLUMNS: readonly Column[] = [
  { title: 'PROTO', rank: 1, text: ({ protocol }) => protocolName(protocol) ?? `${protocol}` },
  { title: 'CLIENT', rank: 0, text: clientText },
  { title: '', rank: 1, text: ({ side }) => (side === 'private' ? '->' : '<-') },
  { title: 'REMOTE', rank: 0, text: (flow) => endText(flow, endsOf(flow).remote) },
  { title: 'EXTERNAL', rank: 3, text: (flow) => endText(flow, endsOf(flow).external) },
  { title: 'STATE', rank: 2, text: stateText },
  {
    title: 'OUT',
    rank: 4,
    right: true,
    text: (flow) => formatShortBytes(flow.side === 'private' ? flow.originalBytes : flow.replyBytes),
  },
  {
    title: 'IN',
    rank: 4,
    right: true,
    text: (flow) => formatShortBytes(flow.side === 'private' ? flow.replyBytes : flow.originalBytes),
  },
  { title: 'AGE', rank: 6, right: true, text: ({ ageSeconds }) => formatAge(ageSeconds) },
  { title: 'LEFT', rank: 5, right: true, text: ({ timeoutSeconds }) => formatAge(timeoutSeconds) },
  { title: 'RULE', rank: 7, text: ({ rule }) => rule },
];

/** Rows that say how wide columns are. */
const SAMPLE = 200;
const GAP = 2;

/** Lines, the heading first. `width`: of the terminal, in columns; Infinity for a pipe. */
export function* flowTable(flows: Iterable<ListedFlow>, width: number, heading = true): Generator<string> {
  let sample: string[][] | null = [];
  let layout: (row: readonly string[]) => string = (row) => row.join(' ');
  const begin = function* (rows: string[][]): Generator<string> {
    layout = layoutOf(rows, width);
    if (heading) yield bold(layout(COLUMNS.map(({ title }) => title)));
    for (const row of rows) yield layout(row);
  };
  for (const flow of flows) {
    const row = COLUMNS.map((column) => column.text(flow));
    if (sample === null) {
      yield layout(row);
      continue;
    }
    sample.push(row);
    if (sample.length === SAMPLE) {
      yield* begin(sample);
      sample = null;
    }
  }
  if (sample !== null) yield* begin(sample);
}

function layoutOf(rows: string[][], width: number): (row: readonly string[]) => string {
  const widths = COLUMNS.map(({ title }, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]!.length), 0),
  );
  const shown = new Set(COLUMNS.keys());
  const total = () => [...shown].reduce((sum, i) => sum + widths[i]! + GAP, -GAP);
  while (total() > width && shown.size > 2) {
    const [last] = [...shown].sort((a, b) => COLUMNS[b]!.rank - COLUMNS[a]!.rank || b - a);
    if (COLUMNS[last!]!.rank === 0) break;
    shown.delete(last!);
  }
  return (row) => {
    const cells = [...shown].map((i) => {
      const text = row[i]!;
      return COLUMNS[i]!.right ? text.padStart(widths[i]!) : text.padEnd(widths[i]!);
    });
    const line = cells.join(' '.repeat(GAP)).trimEnd();
    return line.length > width ? `${line.slice(0, Math.max(width - 1, 0))}…` : line;
  };
}

/** Name, or else address, and port. */
function clientText(flow: ListedFlow): string {
  const end = endsOf(flow).private;
  return flow.client === '' ? endText(flow, end) : withPort(flow, flow.client, end.port);
}

function endText(flow: ListedFlow, { address, port }: End): string {
  return withPort(flow, formatAddress(address), port);
}

function withPort({ protocol }: ListedFlow, text: string, port: number): string {
  return port === 0 && protocol !== 6 && protocol !== 17 ? text : `${text}:${port}`;
}

function stateText({ state, unreplied, assured, related }: ListedFlow): string {
  const flag = unreplied ? 'unreplied' : related ? 'related' : assured ? 'assured' : '';
  return state === '' ? flag : unreplied ? `${state} ${flag}` : state;
}

/** Where stdout is a terminal and NO_COLOR does not forbid it. */
export function bold(text: string): string {
  return styleText('bold', text, { stream: process.stdout });
}
