/**
 * `natgate status` for people, in the shape of `wg show`: blocks, keys indented below a heading, units that can be
 * read. What is zero and would only be noise (drops, other protocols) is left out.
 */
import { styleText } from 'node:util';
import type { Rates } from '../gateway/observe/counters.ts';
import type { FlowStates } from '../gateway/observe/flow-states.ts';
import type { GatewayStatus, Traffic } from '../gateway/status.ts';
import { formatBits, formatBytes, formatCount, formatDuration } from './units.ts';

const REFUSALS = 10;
const RULES = 20;

/** What `natgate status` has read. */
export type ShownStatus = GatewayStatus & { states?: FlowStates; rates?: Rates };

function flood({ flood: { host, dropped } }: ShownStatus): [string, string][] {
  return host === null
    ? []
    : [['flood', `${host} sends more than its share; ${dropped} packets dropped so far`]];
}

function waiting({ waiting: gone }: ShownStatus): [string, string][] {
  return gone.length === 0 ? [] : [['waiting', `for ${gone.join(' and ')} to come back`]];
}

export function statusText(status: ShownStatus, nowMs: number): string {
  const { flows, ports, traffic } = status;
  const { count, capacity, ...byProtocol } = flows;
  const inUse = counts(ports.inUse).map(([protocol, used]) => `${used} ${protocol}`);
  const life = status.lingersUntil
    ? `lingers until ${status.lingersUntil}`
    : `${formatDuration(nowMs - Date.parse(status.started))}, pid ${status.pid}`;
  const blocks = [
    block('gateway', status.name, [
      [status.lingersUntil ? 'stopped' : 'running', life],
      ...(status.engine.failingSince === null ? [] : [['engine', failing(status)] as [string, string]]),
      ...(status.lingersUntil ? [] : [['standby', standby(status, nowMs)] as [string, string]]),
      ['private', status.private.join(', ')],
      ['public', `${status.public}, ${status.external ?? 'waiting for an IPv4 address'}`],
      ...waiting(status),
      ...flood(status),
      ...(status.workers > 1 ? [['workers', `${status.workers}`] as [string, string]] : []),
      ['ports', `${ports.first}-${ports.last}${inUse.length > 0 ? `, in use: ${inUse.join(', ')}` : ''}`],
      ...(status.config === null ? [] : [['configuration', status.config] as [string, string]]),
    ]),
    ...status.interfaces.map((one) =>
      block('interface', one.name, [
        [one.side, one.addresses.join(', ') || 'no IPv4 address'],
        ['received', amount(one.in)],
        ['sent', amount(one.out)],
      ]),
    ),
    ...status.externals.map(({ address, inUse, ports }) =>
      block('external', address, [
        ['ports', (['tcp', 'udp', 'icmp'] as const).map((t) => portUse(t, inUse[t], ports[t])).join(', ')],
      ]),
    ),
    block(
      'flows',
      `${formatCount(count)} of ${formatCount(capacity)}`,
      status.states === undefined ? counts(byProtocol) : byState(status.states),
    ),
    block('traffic', '', [
      ['out', amount(traffic.out)],
      ['in', amount(traffic.in)],
      ...(status.rates === undefined ? [] : rateRows(status.rates)),
    ]),
  ];
  const drops = counts(status.drops);
  if (drops.length > 0) blocks.push(block('drops', '', drops));
  const rules = ruleHits(status);
  if (rules.length > 0) blocks.push(block('firewall', '', rules));
  if (status.refused.length > 0) blocks.push(block('refused', '', refusals(status)));
  return blocks.join('\n\n');
}

function failing({ engine }: GatewayStatus): string {
  return `failing since ${engine.failingSince}, ${formatCount(engine.deaths)} deaths, the last: ${engine.lastDeath}`;
}

function standby({ standby: { state, since, again } }: GatewayStatus, nowMs: number): string {
  if (state === 'ready') return `ready since ${since}`;
  if (state !== 'failed' || again === null) return state;
  return `failed, again in ${Math.max(0, Math.ceil((Date.parse(again) - nowMs) / 1000))} s`;
}

/** Whom natgate had to refuse something; the rest of a long list is summed up. */
function refusals({ refused }: GatewayStatus): [string, string][] {
  const shown = refused.slice(0, REFUSALS).map(({ host, rule, reason, count }): [string, string] => {
    return [host, `${formatCount(count)} ${reason}, rule ${rule}`];
  });
  const rest = refused.length - REFUSALS;
  return rest > 0 ? [...shown, ['others', `${rest} more (--json lists them)`]] : shown;
}

/** Rules that have matched, in their order, and what the defaults decided where there are rules. */
function ruleHits({ firewall }: GatewayStatus): [string, string][] {
  if (firewall.every(({ name }) => name.startsWith('default/'))) return [];
  const hit = firewall.filter(({ flows }) => flows > 0);
  const shown = hit.slice(0, RULES).map(({ name, flows, bytes }): [string, string] => {
    return [name, `${formatCount(flows)} flows, ${formatBytes(bytes)} of first packets`];
  });
  const rest = hit.length - RULES;
  return rest > 0 ? [...shown, ['others', `${rest} more (--json lists them)`]] : shown;
}

/** `0.4 % of tcp (120)`: how near the end is, first. */
function portUse(table: string, inUse: number, ports: number): string {
  const percent = (100 * inUse) / ports;
  const shown = inUse > 0 && percent < 0.1 ? '<0.1' : percent.toFixed(1).replace('.0', '');
  return `${shown} % of ${table} (${formatCount(inUse)})`;
}

/** `tcp: 120 (100 ESTABLISHED, 20 TIME_WAIT)` */
function byState(states: FlowStates): [string, string][] {
  return Object.entries(states)
    .map(([protocol, by]): [string, number, string] => {
      const total = Object.values(by).reduce((sum, count) => sum + count, 0);
      return [
        protocol,
        total,
        counts(by)
          .map(([state, count]) => `${count} ${state}`)
          .join(', '),
      ];
    })
    .sort(([, a], [, b]) => b - a)
    .map(([protocol, total, by]) => [protocol, `${formatCount(total)} (${by})`]);
}

function rateRows({ out, in: back, flowsStarted, flowsEnded, drops }: Rates): [string, string][] {
  const rate = ({ packets, bits }: Rates['out']) => `${formatBits(bits)}, ${formatCount(packets)} packets/s`;
  const round = (traffic: Rates['out']) => ({ ...traffic, packets: Math.round(traffic.packets) });
  const lost = drops > 0 ? `, ${formatCount(Math.round(drops))} drops/s` : '';
  const flows = `${formatCount(Math.round(flowsStarted))} flows/s begin, ${formatCount(Math.round(flowsEnded))} end`;
  return [['now', `out ${rate(round(out))}; in ${rate(round(back))}; ${flows}${lost}`]];
}

function amount({ packets, bytes }: Traffic): string {
  return `${formatCount(packets)} packets, ${formatBytes(bytes)}`;
}

function counts(named: Record<string, number>): [string, string][] {
  return Object.entries(named)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => [name, formatCount(count)]);
}

function block(heading: string, value: string, rows: [string, string][]): string {
  const head = `${styled(['bold', 'green'], heading)}${value === '' ? ':' : `: ${styled(['green'], value)}`}`;
  return [head, ...rows.map(([key, text]) => `  ${styled(['bold'], key)}: ${text}`)].join('\n');
}

/**
 * Colour on a terminal only; `stream` makes Node honour NO_COLOR and the rest. One format at a time: given a list,
 * Node 20 does not look at the stream.
 */
function styled(formats: readonly ('bold' | 'green')[], text: string): string {
  return formats.reduce((shown, format) => styleText(format, shown, { stream: process.stdout }), text);
}
