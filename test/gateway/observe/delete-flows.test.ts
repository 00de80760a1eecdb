import { describe, expect, it } from 'vitest';
import { DELETED_AT_ONCE } from '../../../src/gateway/engines/messages.ts';
import { deleteFlows } from '../../../src/gateway/observe/delete-flows.ts';
import { formatFlowId, type ListedFlow } from '../../../src/gateway/observe/flow-list.ts';

function* flows(workers: number, each: number): Generator<ListedFlow> {
  for (let worker = 0; worker < workers; worker++) {
    for (let flow = 0; flow < each; flow++) {
      yield { id: formatFlowId({ worker, flow, life: 2 * flow + 2 }), protocol: flow % 2 } as ListedFlow;
    }
  }
}

describe('deleting flows by a filter', () => {
  it('names them to their worker, some at a time', async () => {
    const asked: [number, number][] = [];
    let now = 0;
    const count = await deleteFlows(
      flows(2, 3000),
      ({ protocol }) => protocol === 1,
      async (worker, pairs) => {
        // The one before has been answered.
        expect(++now).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        now--;
        asked.push([worker, pairs.length / 2]);
        for (let i = 0; i < pairs.length; i += 2) {
          expect(pairs[i]! % 2).toBe(1);
          expect(pairs[i + 1]).toBe(2 * pairs[i]! + 2);
        }
        return pairs.length / 2 - 1;
      },
    );
    const whole = DELETED_AT_ONCE;
    const rest = 1500 - 2 * whole;
    expect(asked).toEqual([0, 1].flatMap((worker) => [whole, whole, rest].map((n) => [worker, n])));
    // One of each lot had gone by itself.
    expect(count).toBe(3000 - 6);
  });

  it('says when there is no engine', async () => {
    const asked = deleteFlows(
      flows(1, 5),
      () => true,
      async () => null,
    );
    await expect(asked).rejects.toThrow('being started again; 0 flows have been deleted');
  });
});
