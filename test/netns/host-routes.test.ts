/** The flattened routing table, beside what the kernel itself answers (`ip route get`) address by address. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Route, TO_HOST, UNREACHABLE } from '../../src/engine/routes.ts';
import { formatAddress, parseAddress, prefixMask } from '../../src/wire/address.ts';
import { evaluate } from './host-evaluate.ts';
import { createTopology, ip, type Topology } from './support/topology.ts';

let topology: Topology;

beforeAll(async () => {
  topology = await createTopology();
  const gateway = topology.gateway;
  await ip(gateway, 'link add v0 type veth peer name v1');
  for (const device of ['v0', 'v1']) await ip(gateway, `link set ${device} up`);
  await ip(gateway, 'addr add 10.200.0.1/24 dev v0');
});
afterAll(() => topology.destroy());

/** A generator of numbers below 2^32 (xorshift32), so that a failing run can be repeated. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function lookUp(routes: readonly Route[], wanted: number): Route | undefined {
  return routes
    .filter((route) => ((route.prefix ^ wanted) & prefixMask(route.length)) === 0)
    .sort((a, b) => b.length - a.length)[0];
}

async function compare(seed: number): Promise<void> {
  const gateway = topology.gateway;
  const routes = await evaluate<Route[]>(
    gateway,
    `const { linkNamed } = await load('netlink/links');
     print((await load('routes')).readServedRoutes([linkNamed('g0').index, linkNamed('g1').index]))`,
  );
  const next = generator(seed);
  const wanted = Array.from({ length: 150 }, () => {
    // Inside the space of the random routes, at and beside the host's own addresses, and anywhere.
    const text = [
      `172.16.${next(256)}.${next(256)}`,
      `172.16.${next(4)}.${next(8)}`,
      `10.77.0.${next(256)}`,
      `10.200.0.${next(3)}`,
      `198.18.0.${next(256)}`,
      `${1 + next(222)}.${next(256)}.0.1`,
    ][next(6)] as string;
    return parseAddress(text)!;
  }).filter((address) => (address & 0xff) !== 127);
  // One process for all: `ip -batch` stops at what has no route, unless forced.
  const batch = wanted.map((address) => `route get ${formatAddress(address)}\n`).join('');
  const { stdout, stderr } = await gateway.exec('ip -o -force -batch -', { input: batch, check: false });
  const answers = stdout.split('\n').filter(Boolean);
  let refused = stderr.split('\n').filter((line) => line.startsWith('RTNETLINK answers')).length;
  for (const address of wanted) {
    const text = formatAddress(address);
    const route = lookUp(routes, address);
    const where = `${text} (seed ${seed})`;
    const answer = answers.find((line) =>
      new RegExp(`^([a-z]+ )?${text.replaceAll('.', '\\.')} `).test(line),
    );
    if (answer === undefined) {
      expect(route?.device ?? UNREACHABLE, where).toBe(UNREACHABLE);
      refused--;
      continue;
    }
    const device = / dev (\S+)/.exec(answer)?.[1];
    const gatewayText = / via (\S+)/.exec(answer)?.[1];
    const isHost = /^(local|broadcast|multicast) /.test(answer) || !['g0', 'g1'].includes(device ?? '');
    expect(route?.device, `${where}: ${answer}`).toBe(isHost ? TO_HOST : device === 'g0' ? 0 : 1);
    if (!isHost) expect(formatAddress(route!.gateway), where).toBe(gatewayText ?? '0.0.0.0');
    if (!isHost) expect(route!.mtu, where).toBe(Number(/ mtu (?:lock )?(\d+)/.exec(answer)?.[1] ?? 0));
  }
  expect(refused).toBe(0);
}

function randomRoutes(next: (below: number) => number, tables: readonly string[]): string {
  const lines: string[] = [];
  for (let i = 0; i < 40; i++) {
    const length = 16 + next(17);
    const bits = parseAddress(`172.16.${next(4)}.${next(8)}`)! & prefixMask(length);
    const prefix = `${formatAddress(bits)}/${length}`;
    const kind = [
      `${prefix} via 10.77.0.${2 + next(3)} dev g0`,
      `${prefix} via 198.18.0.${2 + next(3)} dev g1 mtu ${1280 + next(3)}`,
      `${prefix} dev g0 scope link`,
      `${prefix} via 10.200.0.${2 + next(3)} dev v0`,
      `unreachable ${prefix}`,
      `throw ${prefix}`,
      `prohibit ${prefix}`,
    ][next(7)];
    lines.push(`route replace ${kind} metric ${next(3)} table ${tables[next(tables.length)]}`);
  }
  return `${lines.join('\n')}\n`;
}

it('agrees while there are only the default rules', async () => {
  const seed = (Date.now() & 0x7fffffff) | 1;
  const gateway = topology.gateway;
  await gateway.exec('ip -force -batch -', { input: randomRoutes(generator(seed), ['main', 'default']) });
  // AnyIP: shorter than the routes of main. The kernel searches both tables as one.
  await ip(gateway, 'route add local 172.16.0.0/14 dev lo');
  await compare(seed);
});

it('agrees with further tables, rules that do not concern it, and suppressed prefixes', async () => {
  const seed = (Date.now() & 0x7fffffff) | 1;
  const gateway = topology.gateway;
  await gateway.exec('ip -force -batch -', { input: randomRoutes(generator(seed), ['main', '100', '200']) });
  await ip(gateway, 'route add default via 198.18.0.9 table 200');
  await gateway.exec('ip -batch -', {
    input: `rule add fwmark 0x1 lookup 100 priority 50
rule add lookup 100 suppress_prefixlength 24 priority 60
rule add lookup main suppress_prefixlength 0 priority 70
rule add not fwmark 0xca6c lookup 200 priority 80
`,
  });
  await compare(seed);
});
