/** Queues that the service manager kept, as a process finds them. */
import { expect, it } from 'vitest';
import { queueNames, takeKeptQueues } from '../../src/gateway/kept-queues.ts';

it('takes no kept queues that are another process’s, and forgets what it was told', () => {
  const others = { LISTEN_FDS: '2', LISTEN_PID: String(process.pid + 1), LISTEN_FDNAMES: 'natgate.0.a:b' };
  expect(takeKeptQueues(others, 1)).toEqual({ queues: null, names: [] });
  expect(others).toEqual({});
  expect(takeKeptQueues({}, 1)).toEqual({ queues: null, names: [] });
});

it('names each queue of a device by its worker', () => {
  const queues = [
    { device: 'natgate-a', fd: 5 },
    { device: 'natgate-a', fd: 6 },
    { device: 'natgate-b', fd: 7 },
  ];
  expect(queueNames(queues)).toEqual([
    { name: 'natgate.0.natgate-a', fd: 5 },
    { name: 'natgate.1.natgate-a', fd: 6 },
    { name: 'natgate.0.natgate-b', fd: 7 },
  ]);
});
