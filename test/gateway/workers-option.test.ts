import { expect, test } from 'vitest';
import {
  parseWorkers,
  refuseWithWorkers,
  type WorkersOptions,
  workersWarning,
} from '../../src/gateway/workers-option.ts';
import { masqueradeAll, type NatBehaviour } from '../../src/nat/config.ts';

const PORTS = { first: 32768, last: 65535 };
const options = (
  changed: Partial<WorkersOptions>,
  behaviour: Partial<NatBehaviour> = {},
): WorkersOptions => ({
  workers: 4,
  ports: PORTS,
  flows: 262_144,
  nat: masqueradeAll(PORTS, behaviour),
  helpers: [{ name: 'ftp', protocol: 6, port: 21 }],
  ...changed,
});

test('a power of two, 16 at most', () => {
  expect([1, 2, 4, 8, 16].map(parseWorkers)).toEqual([1, 2, 4, 8, 16]);
  for (const value of [0, 3, 6, 32, -1, 1.5, Number.NaN]) {
    expect(() => parseWorkers(value)).toThrow('not a usable number');
  }
});

test('what goes with several workers', () => {
  refuseWithWorkers(options({}));
  refuseWithWorkers(options({}, { blockSize: 128, deterministic: true }));
  refuseWithWorkers(options({ workers: 16, ports: { first: 1024, last: 2047 }, flows: 4096 }));
});

test.each([
  ['few ports', options({ ports: { first: 40000, last: 40254 } }), 'are too few'],
  ['few flows', options({ flows: 1023 }), 'flows are too few'],
  ['pptp', options({ helpers: [{ name: 'pptp', protocol: 6, port: 1723 }] }), '--helper pptp: not with'],
  ['blocks on demand', options({}, { blockSize: 128 }), '--block-size 128: not with'],
  [
    'blocks that do not divide',
    options({}, { blockSize: 100, deterministic: true }),
    'each of 4 workers has its part of a block',
  ],
])('what does not: %s', (_, refused, message) => {
  expect(() => refuseWithWorkers(refused)).toThrow(message);
  refuseWithWorkers({ ...refused, workers: 1 });
});

test('more workers than processors', () => {
  expect(workersWarning(4, 4)).toBeNull();
  expect(workersWarning(4, 2)).toMatch(/^--workers 4: this machine has 2 processors/);
});
