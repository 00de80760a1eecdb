/** What runs here. */
import type { Status } from './api.ts';
import { el, pairs, section } from './dom.ts';
import { duration } from './format.ts';
import type { View } from './view.ts';

export function about(status: Status): View {
  const interfaces = status.interfaces.map(({ name, side, addresses }): [string, string] => [
    name,
    `${side}: ${addresses.length === 0 ? 'no address' : addresses.join(', ')}`,
  ]);
  return {
    title: 'About',
    elements: [
      section(
        'Gateway',
        '',
        pairs([
          ['Name', status.name],
          ['natgate', status.version],
          ['Process', String(status.pid)],
          ['Started', `${status.started}, ${duration((Date.now() - Date.parse(status.started)) / 1000)} ago`],
          ['Configuration', status.config ?? 'from the command line'],
          ['External address', status.external ?? 'none'],
          ['Ports', `${status.ports.first}–${status.ports.last}`],
          ['Workers', String(status.workers)],
        ]),
      ),
      section('Interfaces', '', pairs(interfaces)),
      section(
        'Elsewhere',
        'all',
        el(
          'p',
          {},
          'Metrics for Prometheus: ',
          el('a', { href: 'metrics' }, '/metrics'),
          '. Routes: ',
          el('a', { href: 'openapi.json' }, '/openapi.json'),
          '.',
        ),
        el('p', { class: 'dim' }, 'Charts are drawn by uPlot, © Leon Sorokin, MIT license.'),
      ),
    ],
  };
}
