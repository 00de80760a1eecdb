/** The recipe's own rules, imported by the command line and run from the file that this makes. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RECIPE_PAGE, RECIPE_SAVED } from '../gateway/iptables/recipe.ts';
import { natgateOnly, READY } from './support/gateway.ts';
import { importRecipe, Natgate } from './support/natgate.ts';
import { CLIENT, createTopology, SERVER, type Topology } from './support/topology.ts';

natgateOnly('a gateway from iptables rules', () => {
  let topology: Topology;
  beforeEach(async () => {
    topology = await createTopology();
  });
  afterEach(() => topology.destroy());

  for (const [spelling, rules] of [
    ['as iptables-save writes them', RECIPE_SAVED],
    ['as web pages spell them', RECIPE_PAGE],
  ] as const) {
    it(`translates, and lets nothing in: ${spelling}`, async () => {
      const { client, gateway, server } = topology;
      const path = importRecipe(gateway, rules);
      const lines = readFileSync(path, 'utf8').split('\n');
      expect(lines.filter((line) => line !== '' && !line.startsWith('#'))).toEqual([
        'private: g0',
        'public: g1',
      ]);
      const natgate = Natgate.launch(gateway, ['--config', path]);
      try {
        await natgate.process.shows(READY, 15_000);
        await client.exec(`ping -c 1 -W 2 ${SERVER}`);
        const { stdout } = await natgate.cli('status', ['--flows']);
        expect(stdout).toMatch(/^icmp .* src=10\.77\.0\.2 .* dst=198\.18\.0\.1 /m);
        await server.exec(`ip route add 10.77.0.0/24 via 198.18.0.1`);
        expect((await server.exec(`ping -c 1 -W 1 ${CLIENT}`, { check: false })).code).not.toBe(0);
      } finally {
        await natgate.process.stop('SIGTERM');
      }
    });
  }

  it('says in its exit status that something was left out', async () => {
    const left = RECIPE_SAVED.replace(
      '-A FORWARD',
      '-A FORWARD -m mac --mac-source 02:00:00:00:00:01 -j DROP\n-A FORWARD',
    );
    expect(() => importRecipe(topology.gateway, left)).toThrow();
    expect(() => importRecipe(topology.gateway, RECIPE_SAVED)).not.toThrow();
  });
});
