/** One flow as long as it lives: whom it joins, how it is translated, what it moves. */
import { endFlows, type Flow, flowOf, type Tuple } from './api.ts';
import { Chart } from './chart.ts';
import { type Child, el, pairs, section } from './dom.ts';
import { endpoint, problem, stateOf } from './flows.ts';
import { bits, bytes, duration, protocol, whole } from './format.ts';
import type { Context, View } from './view.ts';

/** Kept until the browser's tab is closed. */
const TOKEN = 'natgate-token';

export function flowView(id: string, { every }: Context): View {
  const lines = [
    { name: 'original', colour: '--out' },
    { name: 'reply', colour: '--in' },
  ] as const;
  const chart = new Chart('What the flow moves, bits per second', lines, bits);
  const [facts, tuples] = [el('div'), el('div')];
  const said = el('div', { 'aria-live': 'polite' });
  let last: { flow: Flow; time: number } | null = null;
  const stop = every(1000, async () => {
    const flow = await flowOf(id);
    const time = performance.now();
    if (flow === null) {
      stop();
      end.disabled = true;
      said.replaceChildren(
        el('p', { class: 'bad' }, last === null ? 'There is no such flow.' : 'The flow has ended.'),
      );
      return;
    }
    const seconds = last === null ? 0 : (time - last.time) / 1000;
    if (last !== null && seconds > 0) {
      const rate = (now: number, before: number) => (Math.max(0, now - before) * 8) / seconds;
      chart.add(Date.now() / 1000, [
        rate(flow.originalBytes, last.flow.originalBytes),
        rate(flow.replyBytes, last.flow.replyBytes),
      ]);
    }
    last = { flow, time };
    end.disabled = token.value === '';
    facts.replaceChildren(pairs(factsOf(flow)));
    tuples.replaceChildren(pairs(tuplesOf(flow)));
  });
  const token = el('input', {
    class: 'grow',
    type: 'password',
    value: sessionStorage.getItem(TOKEN) ?? '',
    'aria-label': 'Token',
    placeholder: 'token (metrics.token-file)',
    autocomplete: 'off',
    oninput: () => {
      sessionStorage.setItem(TOKEN, token.value);
      end.disabled = token.value === '' || last === null;
    },
  });
  const end = el('button', { type: 'submit', disabled: true }, 'End this flow');
  const form = el(
    'form',
    {
      onsubmit: async (event) => {
        event.preventDefault();
        if (last === null) return;
        try {
          const { deleted } = await endFlows(filterOf(last.flow), token.value);
          said.replaceChildren(el('p', {}, deleted === 0 ? 'It had ended already.' : 'It was ended.'));
        } catch (error) {
          said.replaceChildren(problem(error));
        }
      },
    },
    token,
    end,
  );
  return {
    title: `Flow ${id}`,
    elements: [
      section(`Flow ${id}`, '', facts, said),
      section('Translation', '', tuples),
      section('Rate', 'all', chart.element),
      section('End', 'all', form),
    ],
    onTheme: () => chart.draw(),
    close() {
      stop();
      chart.close();
    },
  };
}

function factsOf(flow: Flow): [string, Child][] {
  const flags = (['assured', 'unreplied', 'related'] as const).filter((name) => flow[name]);
  return [
    ['Protocol', protocol(flow.protocol)],
    ['State', stateOf(flow)],
    ['Flags', flags.length === 0 ? 'none' : flags.join(', ')],
    ['Begun by', `${flow.side} side`],
    [
      'Private host',
      flow.client === '' ? (flow.side === 'private' ? flow.original.src : flow.reply.src) : flow.client,
    ],
    ['NAT rule', flow.rule],
    ['Original', `${whole(flow.originalPackets)} packets, ${bytes(flow.originalBytes)}`],
    ['Reply', `${whole(flow.replyPackets)} packets, ${bytes(flow.replyBytes)}`],
    ['Age', duration(flow.ageSeconds)],
    ['Idle', duration(flow.idleSeconds)],
    ['Ends in', `${duration(flow.timeoutSeconds)} without a packet`],
  ];
}

function tuplesOf({ original, reply }: Flow): [string, Child][] {
  const arrow = ({ src, sport, dst, dport }: Tuple) => `${endpoint(src, sport)} → ${endpoint(dst, dport)}`;
  const change = (before: string, after: string) =>
    before === after ? `${before}, unchanged` : `${before} ⇒ ${after}`;
  return [
    ['Original', arrow(original)],
    ['Reply', arrow(reply)],
    ['Source', change(endpoint(original.src, original.sport), endpoint(reply.dst, reply.dport))],
    ['Destination', change(endpoint(original.dst, original.dport), endpoint(reply.src, reply.sport))],
  ];
}

/** Of two flows that live at one time no two have this in common. */
function filterOf({ protocol: number, side, original, reply }: Flow): string {
  const ports =
    number === 6 || number === 17 || number === 132 || number === 33 || number === 136
      ? ` and sport ${original.sport} and dport ${original.dport} and reply-sport ${reply.sport} and reply-dport ${reply.dport}`
      : '';
  return `proto ${number} and side ${side} and src ${original.src} and dst ${original.dst} and reply-src ${reply.src} and reply-dst ${reply.dst}${ports}`;
}
