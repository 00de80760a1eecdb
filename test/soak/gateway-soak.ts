/**
 * A soak of a real gateway: `natgate run` in namespaces, and bench/c/soak-flows.c at both ends. Read, each second: the resident sets of supervisor and
 * engine, and their descriptors. Lost packets are no matter: what is looked at is what remains of them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from '../../bench/net/tools.ts';
import { activeEngine, descriptors, residentMiB } from '../chaos/engines.ts';
import { Natgate, READY } from '../netns/support/natgate.ts';
import { run, sleep, until } from '../netns/support/process.ts';
import { createTopology, GATEWAY_PUBLIC, ip, SERVER, type Topology } from '../netns/support/topology.ts';
import { booksOf, SHORT } from './engine-soak.ts';
import { type Reading, type SoakResult, verdict } from './soak.ts';

const HOSTS = 60;
const FIRST_HOST = 100;
const DESTINATION = '198.18.64.0';
const READING_MS = 1000;
const END_MS = 60_000;
/** A machine may be busy otherwise. */
const START_MS = 100_000;

export async function soakGateway(
  flows: number,
  rate: number,
  args: readonly string[],
  onReading: (reading: Reading) => void,
): Promise<SoakResult> {
  const topology = await createTopology();
  try {
    await prepare(topology);
    const path = join(topology.gateway.stateRoot, 'soak.yaml');
    mkdirSync(topology.gateway.stateRoot, { recursive: true });
    const timeouts = Object.entries(SHORT).map(([name, seconds]) => `${name}: ${seconds}`);
    writeFileSync(
      path,
      `private: g0\npublic: g1\nports: 4096-65535\nnat: {quarantine: 1}\ntimeouts: {${timeouts.join(', ')}}\n`,
    );
    const natgate = Natgate.launch(topology.gateway, ['--config', path, ...args]);
    await natgate.process.shows(READY, START_MS);
    const engine = await activeEngine(natgate.process.pid);
    const result = await measure(topology, natgate, engine, flows, rate, onReading);
    await natgate.stop();
    return result;
  } finally {
    await topology.destroy();
  }
}

/** The hosts are one; their addresses are his neighbours' only for the gateway. The server's network is nobody's. */
async function prepare({ client, gateway, server }: Topology): Promise<void> {
  const mac = await client.mac('c0');
  const entries = Array.from({ length: HOSTS }, (_, i) => `10.77.0.${FIRST_HOST + i}`).map(
    (address) => `neigh replace ${address} lladdr ${mac} dev g0 nud permanent`,
  );
  await run(['ip', '-n', gateway.name, '-batch', '-'], { input: `${entries.join('\n')}\n` });
  // Behind the server, which throws away what is not its own.
  await ip(gateway, `route add 198.18.64.0/18 via ${SERVER}`);
  await server.exec(`ping -c 1 -W 2 ${GATEWAY_PUBLIC}`);
}

async function measure(
  { client, server }: Topology,
  natgate: Natgate,
  engine: number,
  flows: number,
  rate: number,
  onReading: (reading: Reading) => void,
): Promise<SoakResult> {
  const program = await compile('soak-flows');
  const far = server.spawn([program, 'server', 's0']);
  await far.shows(/^ready$/m);
  const source = `10.77.0.${FIRST_HOST}`;
  const near = client.spawn([
    program,
    'client',
    'c0',
    source,
    `${HOSTS}`,
    DESTINATION,
    `${rate}`,
    `${flows}`,
  ]);
  // Its last whole line of JSON.
  const ends = () => JSON.parse(/.*(\{.*\})\n/s.exec(near.stdout)?.[1] ?? '{}');
  const readings: Reading[] = [];
  const begun = performance.now();
  while (near.running) {
    const { pid } = natgate.process;
    const reading = {
      at: (performance.now() - begun) / 1000,
      flows: Number(ends().begun ?? 0),
      values: {
        'engine MiB': residentMiB(engine),
        'supervisor MiB': residentMiB(pid),
        descriptors: descriptors(pid) + descriptors(engine),
      },
    };
    readings.push(reading);
    onReading(reading);
    await Promise.race([near.ended, sleep(READING_MS)]);
  }
  const seconds = (performance.now() - begun) / 1000;
  far.child.stdin!.end();
  await far.ended;
  const status = async () => (await natgate.status())['counters'] as Record<string, number>;
  await until(
    'the end of all flows',
    async () => {
      const { left, ports } = booksOf(await status());
      return left === 0 && ports === 0;
    },
    END_MS,
  ).catch(() => {}); // the verdict says what is left
  return verdict({
    kind: 'gateway',
    flows,
    seconds,
    readings: readings.slice(1, -1),
    over: Number(ends().over),
    books: booksOf(await status()),
  });
}
