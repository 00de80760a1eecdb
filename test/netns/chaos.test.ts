/**
 * A short chaos run: transfers through a real gateway while engine and supervisor are killed, interfaces and addresses come and go, and
 * floods pass. `npm run chaos` is the long one. The seed is 1; another is taken from NATGATE_SEED.
 */
import { expect, it } from 'vitest';
import { chaos } from '../chaos/chaos.ts';
import { table } from '../chaos/report.ts';
import { natgateOnly } from './support/gateway.ts';

const SEED = Number(process.env['NATGATE_SEED'] ?? 1);
const MIX = [
  'kill-engine',
  'kill-supervisor',
  'reload',
  'restart',
  'public-flap',
  'address-lost',
  'address-change',
  'mtu-change',
  'lossy-wire',
  'syn-flood',
];

natgateOnly('chaos', () => {
  it(`loses nothing that need not be lost (seed ${SEED})`, { timeout: 300_000 }, async () => {
    const said: string[] = [];
    const result = await chaos({
      seed: SEED,
      minutes: 0.75,
      only: MIX,
      transfers: 12,
      stallLimit: 60,
      interval: 1,
      args: [],
      say: (line) => said.push(line),
    });
    const { struck, verdict } = result;
    console.log(table(result));
    expect(verdict.violations, said.join('\n')).toEqual([]);
    expect(struck.length).toBeGreaterThan(0);
    expect(verdict.transfers).toBeGreaterThan(12);
    expect(verdict.queries).toBeGreaterThan(0);
  });
});
