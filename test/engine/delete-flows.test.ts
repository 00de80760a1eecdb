/** Flows that somebody ends: by number and life, each once, with all that belongs to them. */
import { describe, expect, it } from 'vitest';
import { END_DELETED } from '../../src/conntrack/end-reasons.ts';
import { H_SEQUENCE, HOT } from '../../src/conntrack/flow-table.ts';
import { deleteFlows } from '../../src/engine/delete-flows.ts';
import { readPortGauges } from '../../src/engine/port-gauges.ts';
import { openState } from '../../src/engine/state.ts';
import { MemoryGateway, readPacket, udpPacket } from '../../src/testing/index.ts';
import { parseAddress } from '../../src/wire/address.ts';

const REMOTE = '198.51.100.7:53';

function gateway(): MemoryGateway {
  return new MemoryGateway({ private: '10.77.0.1/24', public: '198.18.0.1/24' });
}

/** A flow of this host; returns its external port. */
function begin(g: MemoryGateway, port: number): number {
  g.sendPrivate(udpPacket({ from: `10.77.0.2:${port}`, to: REMOTE }));
  const [sent] = g.receivePublic();
  return Number(readPacket(sent!).from.split(':')[1]);
}

function lives(g: MemoryGateway, ...flows: number[]): Int32Array {
  const { hot } = g.engine.tracker.table;
  return Int32Array.from(flows.flatMap((flow) => [flow, hot[flow * HOT + H_SEQUENCE]!]));
}

describe('deleting flows', () => {
  it('ends those, gives their ports back, and says why', () => {
    const g = gateway();
    begin(g, 5000);
    const external = begin(g, 5001);
    const ended: [number, number][] = [];
    const { onClose } = g.engine.tracker;
    g.engine.tracker.onClose = (flow, why) => {
      ended.push([flow, why]);
      onClose(flow, why);
    };
    expect(deleteFlows(g.engine.tracker, lives(g, 1))).toBe(1);
    expect(ended).toEqual([[1, END_DELETED]]);
    expect(g.flows()).toHaveLength(1);
    g.sendPublic(udpPacket({ from: REMOTE, to: `198.18.0.1:${external}` }));
    expect(g.receivePrivate()).toEqual([]);
    // And it may begin again.
    begin(g, 5001);
    expect(g.flows()).toHaveLength(2);
  });

  it('leaves what is not that flow any more', () => {
    const g = gateway();
    begin(g, 5000);
    const known = lives(g, 0);
    expect(deleteFlows(g.engine.tracker, known)).toBe(1);
    expect(deleteFlows(g.engine.tracker, known)).toBe(0);
    begin(g, 6000);
    expect(deleteFlows(g.engine.tracker, known)).toBe(0);
    expect(deleteFlows(g.engine.tracker, Int32Array.of(-1, 0, 1 << 26, 0, 5))).toBe(0);
    expect(g.flows()).toHaveLength(1);
  });
});

describe('ports in use', () => {
  it('are in the state, by external address', () => {
    const g = gateway();
    const state = openState(g.engine.tracker.table.hot.buffer as ArrayBuffer);
    expect(readPortGauges([state])).toEqual([]);
    begin(g, 5000);
    begin(g, 5001);
    g.advance(600);
    const address = parseAddress('198.18.0.1')!;
    const exhausted = { tcp: 0, udp: 0, icmp: 0 };
    expect(readPortGauges([state])).toEqual([{ address, tcp: 0, udp: 2, icmp: 0, exhausted }]);
    expect(readPortGauges([state, state])).toEqual([{ address, tcp: 0, udp: 4, icmp: 0, exhausted }]);
    deleteFlows(g.engine.tracker, lives(g, 0, 1));
    g.advance(600);
    expect(readPortGauges([state])).toEqual([{ address, tcp: 0, udp: 0, icmp: 0, exhausted }]);
  });
});
