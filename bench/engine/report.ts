/** The engine's figures as tables, for the terminal and for the page. */
import type { Picture } from '../net/plots.ts';
import { renderMarkdown, type Table } from '../net/table.ts';
import type { EngineResults, PacketFigure, Spread } from './results.ts';

export function tables(results: EngineResults): Table[] {
  return [
    functionTable(results),
    packetTable(results),
    creationTable(results),
    memoryTable(results),
    adoptionTable(results),
    rulesTable(results),
  ];
}

function functionTable({ functions }: EngineResults): Table {
  return {
    title: 'Functions of the hot path',
    head: ['', 'ns per call', 'margin of error'],
    rows: functions.map(({ name, nsPerCall, margin }) => [
      name,
      nsPerCall.toFixed(1),
      `± ${margin.toFixed(1)} %`,
    ]),
  };
}

const VARIANTS = [
  ['random', 'small'],
  ['random', 'full'],
  ['in order', 'small'],
  ['in order', 'full'],
] as const;

function packetTable({ packets }: EngineResults): Table {
  const runs = new Map<string, PacketFigure[]>();
  for (const figure of packets) {
    const name = traffic(figure);
    runs.set(name, [...(runs.get(name) ?? []), figure]);
  }
  return {
    title: 'Packets through the engine: ns per packet (fastest - slowest)',
    head: ['', ...VARIANTS.map((variant) => variant.join(', ')), 'Mpps, random, small'],
    rows: [...runs].map(([name, figures]) => {
      const cells = VARIANTS.map(([order, size]) =>
        figures.find((figure) => figure.order === order && figure.size === size),
      );
      return [
        name,
        ...cells.map((figure) => (figure === undefined ? '-' : nanoseconds(figure.ns))),
        cells[0] === undefined ? '-' : (1000 / cells[0].ns.median).toFixed(2),
      ];
    }),
  };
}

function creationTable({ creation }: EngineResults): Table {
  return {
    title: 'Flows made, on warm code',
    head: ['', 'flows per second', 'ns per flow (fastest - slowest)'],
    rows: creation.map((figure) => [
      `${traffic(figure)}, ${mappings(figure.own)}`,
      Math.round(1e9 / figure.ns.median).toLocaleString('en'),
      nanoseconds(figure.ns),
    ]),
  };
}

function memoryTable({ memory }: EngineResults): Table {
  return {
    title: 'Memory: growth of the resident set',
    head: ['', 'bytes per flow'],
    rows: memory.map((figure) => [
      `${traffic(figure)}, ${mappings(figure.own)}`,
      figure.bytesPerFlow.toFixed(0),
    ]),
  };
}

function rulesTable({ rules }: EngineResults): Table {
  return {
    title: 'Firewall rules of which only the last matches: ns (fastest - slowest)',
    head: ['', 'rules', 'packet of a flow, random, small', 'to 1 rule', 'making a flow', 'to 1 rule'],
    rows: rules.map((figure) => [
      traffic(figure),
      figure.rules.toLocaleString('en'),
      nanoseconds(figure.packet),
      figure.packetRatio.toFixed(2),
      nanoseconds(figure.creation),
      figure.creationRatio.toFixed(2),
    ]),
  };
}

function adoptionTable({ adoption }: EngineResults): Table {
  return {
    title:
      'Taking over the flows of an engine that died: ms, the first time in a process (fastest - slowest)',
    head: ['', 'flows', 'ms'],
    rows: adoption.map((figure) => [
      mappings(figure.own),
      figure.flows.toLocaleString('en'),
      milliseconds(figure.ms),
    ]),
  };
}

function milliseconds({ median, fastest, slowest }: Spread): string {
  return `${median.toFixed(0)} (${fastest.toFixed(0)} - ${slowest.toFixed(0)})`;
}

/** What else there is to say, a line each. */
export function remarks(results: EngineResults): string[] {
  const { collections, collectionsMaking, measuredPackets, failures } = results;
  const millions = (measuredPackets / 1e6).toFixed(0);
  const lines: string[] = [];
  if (measuredPackets > 0) {
    lines.push(
      `Garbage collections per 10^7 packets: ${perTenMillion(results)} (${collections} in ${millions} million).`,
    );
  }
  lines.push(`Garbage collections while flows were made and handshakes done: ${collectionsMaking}.`);
  for (const protocol of ['udp', 'tcp']) {
    const [few, many] = ['1000', '4000000'].map((flows) =>
      results.packets.find((figure) => figure.name === `${protocol}-${flows} random small`),
    );
    if (few === undefined || many === undefined) continue;
    const ratio = (many.ns.median / few.ns.median).toFixed(2);
    lines.push(
      `${protocol}: a packet at 4 million flows costs ${ratio} times what it costs at 1000 (random, small).`,
    );
  }
  return [...lines, ...failures.map(({ name, error }) => `${name} failed: ${error}`)];
}

export function perTenMillion({ collections, measuredPackets }: EngineResults): string {
  return ((collections * 1e7) / measuredPackets).toFixed(collections === 0 ? 0 : 2);
}

/** The section of docs/benchmarks.md. */
export function markdown(results: EngineResults, picture: Picture): string {
  const { machine, command } = results;
  return [
    '## The engine alone',
    '',
    `Written by \`${command}\` on ${machine.date}, commit ${machine.commit}. Do not edit. Raw: [engine.json](benchmarks/engine.json).`,
    '',
    `- Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, node ${machine.node}`,
    '- No devices: packets are written into the arena, handled in batches of 64, and thrown away; the time of writing is',
    '  measured by itself and taken off. CPU time of the thread; medians, in brackets the fastest and the slowest reading.',
    '- Half of each batch comes from inside, half from outside. TCP connections were opened by a handshake; segments have',
    '  time stamps, move on in the window, and are fully tracked. Small: 12 bytes of payload; full: 1400.',
    '- Each kind of traffic and number of flows has processes of its own, after a warm-up engine. After each run the',
    '  benchmark makes sure that all flows live, all packets left, and nothing was dropped.',
    '- Flows to different remote hosts share the mappings of 16384 internal endpoints; "a mapping each": a million internal',
    '  endpoints, each with a port of a pool of 61 addresses. Flows are made by their first packets, a million and more.',
    '',
    `![${picture.alt}](benchmarks/${picture.file})`,
    '',
    ...tables(results)
      .filter((table) => table.rows.length > 0)
      .map(renderMarkdown),
    ...remarks(results).map((line) => `- ${line}`),
    '',
  ].join('\n');
}

function traffic({ protocol, flows }: { protocol: string; flows: number }): string {
  return `${protocol}, ${flows.toLocaleString('en')} ${flows === 1 ? 'flow' : 'flows'}`;
}

function mappings(own: boolean): string {
  return own ? 'a mapping each' : 'mappings shared';
}

function nanoseconds({ median, fastest, slowest }: Spread): string {
  return `${median.toFixed(0)} (${fastest.toFixed(0)} - ${slowest.toFixed(0)})`;
}
