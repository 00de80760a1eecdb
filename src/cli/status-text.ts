/**
 * `natgate status` for people, in the shape of `wg show`: blocks, keys indented below a heading, units that can be
 * read. What is zero and would only be noise (drops, other protocols) is left out.
 */
import { styleText } from 'node:util';
import type { GatewayStatus, Traffic } from '../gateway/status.ts';
import { formatBytes, formatCount, formatDuration } from './units.ts';

const REFUSALS = 10;
const RULES = 20;

export function statusText(status: GatewayStatus, nowMs: number): string {
  const { flows, ports, traffic } = status;
  const { count, capacity, ...byProtocol } = flows;
  const inUse = counts(ports.inUse).map(([protocol, used]) => `${used} ${protocol}`);
  const life = status.lingersUntil
    ? `lingers until ${status.lingersUntil}`
    : `${formatDuration(nowMs - Date.parse(status.started))}, pid ${status.pid}`;
  const blocks = [
    block('gateway', status.name, [
      [status.lingersUntil ? 'stopped' : 'running', life],
      ['private', status.private.join(', ')],
      ['public', `${status.public}, ${status.external ?? 'waiting for an IPv4 address'}`],
      ...(status.workers > 1 ? [['workers', `${status.workers}`] as [string, string]] : []),
      ['ports', `${ports.first}-${ports.last}${inUse.length > 0 ? `, in use: ${inUse.join(', ')}` : ''}`],
    ]),
    block('flows', `${formatCount(count)} of ${formatCount(capacity)}`, counts(byProtocol)),
    block('traffic', '', [
      ['out', amount(traffic.out)],
      ['in', amount(traffic.in)],
    ]),
  ];
  const drops = counts(status.drops);
  if (drops.length > 0) blocks.push(block('drops', '', drops));
  const rules = ruleHits(status);
  if (rules.length > 0) blocks.push(block('firewall', '', rules));
  if (status.refused.length > 0) blocks.push(block('refused', '', refusals(status)));
  return blocks.join('\n\n');
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
