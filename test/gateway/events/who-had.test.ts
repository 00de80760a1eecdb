/** Who had an external port, by the lines of a log; and which events a filter means. */
import { describe, expect, test } from 'vitest';
import type { GatewayEvent } from '../../../src/gateway/events/event.ts';
import { eventMatcher } from '../../../src/gateway/events/matching.ts';
import { type Question, WhoHad } from '../../../src/gateway/events/who-had.ts';
import { parseFilter } from '../../../src/gateway/observe/filter-parse.ts';
import { BEGIN, BLOCK, END, ENGINE, EXHAUSTED, GAP, MAPPING, MAPPING_END } from './sample.ts';

const at = (second: number) => new Date(Date.UTC(2026, 0, 2, 3, 4, second)).toISOString();
const begin = (second: number, host: string, externalPort = 40_000): GatewayEvent => ({
  ...MAPPING,
  time: at(second),
  host,
  externalPort,
});
const end = (second: number, host: string, began: number): GatewayEvent => ({
  ...MAPPING_END,
  time: at(second),
  began: at(began),
  host,
});

function ask(question: Partial<Question>, events: readonly GatewayEvent[]) {
  const who = new WhoHad({ port: 40_000, protocol: null, external: null, time: null, ...question });
  for (const event of events) who.line(JSON.stringify(event));
  for (const line of ['half a li', 'null', '7']) who.line(line);
  return who;
}

const LOG = [
  begin(1, '10.0.0.2'),
  begin(2, '10.0.0.9', 40_001),
  end(5, '10.0.0.2', 1),
  begin(10, '10.0.0.3'),
];

describe('who had a port', () => {
  test('by time: whose mapping it was then', () => {
    const who = (second: number) =>
      ask({ time: Date.parse(at(second)) }, LOG)
        .holders()
        .map(({ host }) => host);
    expect([who(0), who(3), who(7), who(20)]).toEqual([[], ['10.0.0.2'], [], ['10.0.0.3']]);
    expect(ask({}, LOG).holders()).toMatchObject([
      { host: '10.0.0.2', from: at(1), until: at(5), by: 'mapping', protocol: 'udp' },
      { host: '10.0.0.3', from: at(10), until: null },
    ]);
  });

  test('by protocol and address', () => {
    expect(ask({ protocol: 6 }, LOG).holders()).toEqual([]);
    expect(ask({ external: '198.18.0.2' }, LOG).holders()).toEqual([]);
    expect(ask({ external: '198.18.0.1', protocol: 17 }, LOG).holders()).toHaveLength(2);
  });

  test('an end whose begin is in no file any more says since when; a gap is counted', () => {
    const who = ask({}, [GAP, end(5, '10.0.0.2', 1)]);
    expect(who.holders()).toMatchObject([{ host: '10.0.0.2', from: at(1), until: at(5) }]);
    expect(who.missing).toBe(7);
  });

  test('a gateway that starts anew has ended what was open; one that takes over has not', () => {
    const started = { ...ENGINE, time: at(7) } as GatewayEvent;
    expect(ask({}, [begin(1, '10.0.0.2'), started]).holders()).toMatchObject([{ until: at(7) }]);
    const adopted = { ...started, adopted: true } as GatewayEvent;
    expect(ask({}, [begin(1, '10.0.0.2'), adopted]).holders()).toMatchObject([{ until: null }]);
  });

  test('a block; a flow where nothing else says it; a flow that moves', () => {
    expect(ask({}, [BLOCK]).holders()).toMatchObject([{ host: '10.0.0.4', by: 'block', protocol: null }]);
    const flow: GatewayEvent = { ...BEGIN, reply: { ...BEGIN.reply, dport: 40_000 } };
    expect(ask({}, [flow]).holders()).toMatchObject([
      { host: '10.0.0.5', client: 'laptop', by: 'flow', until: null },
    ]);
    const same = { ...BLOCK, host: '10.0.0.5' };
    expect(ask({}, [same, flow]).holders()).toMatchObject([{ by: 'block' }]);
    const moved: GatewayEvent = {
      ...flow,
      event: 'moved',
      time: at(9),
      reply: { ...flow.reply, dst: '198.18.0.9' },
    };
    expect(ask({ external: '198.18.0.1' }, [flow, moved]).holders()).toMatchObject([{ until: at(9) }]);
    expect(ask({ external: '198.18.0.9' }, [flow, moved]).holders()).toMatchObject([{ until: null }]);
  });
});

test.each<[string, GatewayEvent, boolean]>([
  ['', ENGINE, true],
  ['tcp', ENGINE, false],
  ['tcp', GAP, true],
  ['tcp and dport 443 and ext 198.18.0.1 and client laptop', BEGIN, true],
  ['udp', BEGIN, false],
  ['reason timeout', END, true],
  ['reason timeout', BEGIN, false],
  ['src 10.0.0.2 and extport 40000', MAPPING, true],
  ['src 10.0.0.3', MAPPING, false],
  ['client 10.0.0.4 and ext 198.18.0.1', BLOCK, true],
  ['reason no_free_port and rule cgn', EXHAUSTED, true],
  ['reason host_port_limit', EXHAUSTED, false],
])('the filter %j', (text, event, isMeant) => {
  expect(eventMatcher(parseFilter(text))(event)).toBe(isMeant);
});
