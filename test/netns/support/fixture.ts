/** The topology with a running gateway and an agent in each namespace, for all tests of a file (or of a describe). */
import { afterAll, beforeAll } from 'vitest';
import { Agent } from './agent.ts';
import { type Gateway, startGateway } from './gateway.ts';
import { createTopology, type Topology } from './topology.ts';

export interface Fixture {
  topology: Topology;
  client: Agent;
  /** Sockets of the gateway's own. */
  host: Agent;
  server: Agent;
  gateway: Gateway;
}

export interface FixtureOptions {
  /** Further arguments of `natgate run`. */
  args?: readonly string[];
  /** Changes the network before the gateway starts. */
  before?: (fixture: Omit<Fixture, 'gateway'>) => Promise<void>;
}

/** Makes it before the tests and removes it after them; the fields are there once tests run. */
export function useGateway(options: FixtureOptions = {}): Fixture {
  const fixture = {} as Fixture;
  beforeAll(async () => {
    fixture.topology = await createTopology();
    const { client, gateway, server } = fixture.topology;
    [fixture.client, fixture.host, fixture.server] = await Promise.all([
      Agent.start(client),
      Agent.start(gateway),
      Agent.start(server),
    ]);
    await options.before?.(fixture);
    fixture.gateway = await startGateway(fixture.topology, options.args);
  });
  afterAll(async () => {
    try {
      await fixture.gateway?.stop();
    } finally {
      await fixture.topology?.destroy();
    }
  });
  return fixture;
}
