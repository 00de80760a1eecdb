/**
 * Whether a private host has what it needs of its gateway: looked at from that host, with what every account may do. Only /proc and
 * /sys are read; the rest are questions to the network (ping, a look-up).
 *
 *     default route ─▶ gateway answers ─▶ DNS answers ─▶ an address beyond it answers, through it ─▶ whole packets get there
 */
import { execFile } from 'node:child_process';
import { getServers, Resolver } from 'node:dns/promises';
import { join } from 'node:path';
import { formatAddress } from '../../wire/address.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { rows } from './ipv6.ts';

export interface ClientQuestions {
  /** Address of natgate in this network, as text; undefined: whatever the default route says. */
  gateway: string | undefined;
  /** An address beyond it that answers pings. */
  outside: string;
  /** A name that can be looked up. */
  name: string;
}

/** How the network is asked; replaced in tests. */
export interface ClientProbes {
  /** Output and exit status of ping with these words; null: there is no ping. */
  ping(words: readonly string[]): Promise<{ code: number; text: string } | null>;
  /** Addresses of a name, by the resolvers of this host; rejects with what went wrong. */
  lookUp(name: string): Promise<string[]>;
  resolvers(): string[];
  proc: string;
  /** /sys/class/net */
  interfaces: string;
}

interface DefaultRoute {
  device: string;
  gateway: string;
}

const PING_MS = 5000;
/** IPv4 and ICMP header. */
const PING_HEADERS = 28;

export const clientProbes: ClientProbes = {
  ping: (words) =>
    new Promise((resolve) => {
      const options = { env: { ...process.env, LC_ALL: 'C' }, timeout: PING_MS };
      execFile('ping', ['-n', '-c1', '-W2', ...words], options, (error, stdout, stderr) => {
        if (error !== null && (error as NodeJS.ErrnoException).code === 'ENOENT') resolve(null);
        else resolve({ code: error === null ? 0 : 1, text: stdout + stderr });
      });
    }),
  lookUp: (name) => new Resolver({ timeout: 2000, tries: 2 }).resolve4(name),
  resolvers: getServers,
  proc: '/proc',
  interfaces: '/sys/class/net',
};

/** In the order in which they depend on each other: what cannot work is not asked any more. */
export async function checkFromClient(
  questions: ClientQuestions,
  probes: ClientProbes = clientProbes,
): Promise<Check[]> {
  const route = defaultRoute(probes.proc);
  const checks = [checkRoute(route, questions.gateway)];
  if (route !== null) {
    const reached = await checkGateway(route, probes);
    checks.push(reached);
    checks.push(await checkDns(questions.name, route, probes));
    const beyond = await checkOutside(questions.outside, route, probes);
    checks.push(...beyond);
    if (beyond.every(({ status }) => status !== 'fail')) {
      checks.push(await checkMtu(questions.outside, route, probes));
    }
  }
  return [...checks, ...checkIpv6Route(probes.proc)];
}

/** The one of the lowest metric. */
export function defaultRoute(proc: string): DefaultRoute | null {
  const routes = rows(join(proc, 'net/route'))
    .slice(1)
    .filter(([, destination, , flags, , , , mask]) => {
      const isUp = (Number.parseInt(flags ?? '0', 16) & 1) !== 0;
      return isUp && destination === '00000000' && mask === '00000000';
    })
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  const best = routes[0];
  if (best === undefined) return null;
  // The kernel prints the four bytes as one number of this machine's order.
  return { device: best[0]!, gateway: formatAddress(Number.parseInt(best[2]!, 16) | 0) };
}

function checkRoute(route: DefaultRoute | null, wanted: string | undefined): Check {
  const name = 'default route';
  const remedy = `\`ip route replace default via ${wanted ?? 'GATEWAY'}\`; to keep it: \`natgate clients\` on the gateway says how`;
  const why = 'what is for the internet goes where the default route leads';
  if (route === null) return fail(name, 'no_default_route', 'there is none', why, remedy);
  if (wanted !== undefined && route.gateway !== wanted) {
    return fail(name, 'other_gateway', `it leads to ${route.gateway}, not to ${wanted}`, why, remedy);
  }
  return ok(name, `to ${route.gateway} on ${route.device}`);
}

async function checkGateway({ gateway, device }: DefaultRoute, probes: ClientProbes): Promise<Check> {
  const name = 'gateway';
  const answer = await probes.ping([gateway]);
  if (answer === null) return noPing(name);
  if (answer.code === 0) return ok(name, `${gateway} answers`);
  const neighbour = rows(join(probes.proc, 'net/arp')).find((fields) => fields[0] === gateway);
  const isKnown = neighbour !== undefined && neighbour[3] !== '00:00:00:00:00:00';
  if (isKnown) {
    return warn(
      name,
      `${gateway} does not answer pings, but ARP`,
      'it is there; a firewall of its own may refuse pings',
      'nothing needs to be done if the rest is well',
    );
  }
  return fail(
    name,
    'gateway_silent',
    `${gateway} does not answer`,
    'packets to the internet are given to it',
    `is it on, and in the same network as ${device}? compare \`ip -br addr\` here and there`,
  );
}

async function checkDns(name: string, { gateway }: DefaultRoute, probes: ClientProbes): Promise<Check> {
  const servers = probes.resolvers();
  const asked = servers.length === 0 ? 'no resolver' : servers.join(', ');
  try {
    const [address] = await probes.lookUp(name);
    return ok('DNS', `${name} is ${address} (asked: ${asked})`);
  } catch (error) {
    return fail(
      'DNS',
      'dns_silent',
      `${name} was not found: ${(error as Error).message} (asked: ${asked})`,
      'without names hardly anything works',
      servers.includes(gateway)
        ? 'on the gateway: is `dns` on in its configuration, and do its resolvers answer? `natgate check`, `natgate status`'
        : 'name a resolver that can be reached in /etc/resolv.conf: `natgate clients` on the gateway says which',
    );
  }
}

async function checkOutside(
  outside: string,
  { gateway }: DefaultRoute,
  probes: ClientProbes,
): Promise<Check[]> {
  const name = 'outside';
  const answer = await probes.ping([outside]);
  if (answer === null) return [noPing(name)];
  // With one hop to live it ends at the first router, who says so.
  const first = /^From (\d+\.\d+\.\d+\.\d+).*Time to live exceeded/m.exec(
    (await probes.ping(['-t1', outside]))?.text ?? '',
  )?.[1];
  if (answer.code !== 0) {
    return [
      fail(
        name,
        'outside_silent',
        `${outside} does not answer${first === undefined ? '' : `; packets get as far as ${first}`}`,
        'the gateway leads there, or nowhere',
        'on the gateway: `natgate status` (does it run? what is dropped?), `natgate doctor`, `ping` to the same address',
      ),
    ];
  }
  if (first !== undefined && first !== gateway) {
    return [
      warn(
        name,
        `${outside} answers, but the first router on the way is ${first}`,
        `the default route says ${gateway}`,
        `\`ip route get ${outside}\` shows the way`,
      ),
    ];
  }
  return [ok(name, `${outside} answers${first === undefined ? '' : `, through ${first}`}`)];
}

async function checkMtu(outside: string, { device }: DefaultRoute, probes: ClientProbes): Promise<Check> {
  const name = 'MTU';
  const mtu = Number(rows(join(probes.interfaces, device, 'mtu'))[0]?.[0] ?? 1500);
  const answer = await probes.ping(['-M', 'do', '-s', `${mtu - PING_HEADERS}`, outside]);
  if (answer === null) return noPing(name);
  if (answer.code === 0) return ok(name, `packets of ${mtu} bytes get there whole`);
  const told = /mtu ?= ?(\d+)/.exec(answer.text)?.[1];
  if (told !== undefined) {
    return ok(name, `${told} bytes on the way; routers say so, and senders adapt`);
  }
  return warn(
    name,
    `packets of ${mtu} bytes do not get to ${outside}, and nobody says why`,
    'connections that send much at once would hang',
    `\`ip link set dev ${device} mtu 1400\` tells whether it is that; routers on the way must not filter ICMP`,
  );
}

function checkIpv6Route(proc: string): Check[] {
  const route = rows(join(proc, 'net/ipv6_route')).find(
    ([prefix, length, , , , , , , flags, device]) =>
      /^0+$/.test(prefix ?? '') &&
      length === '00' &&
      device !== 'lo' &&
      (Number.parseInt(flags ?? '0', 16) & 0x200) === 0,
  );
  if (route === undefined) return [];
  return [
    warn(
      'IPv6',
      `there is a default route of IPv6, on ${route[9]}`,
      'natgate translates IPv4: what goes by IPv6 goes round it',
      'if that is not wanted: `sysctl -w net.ipv6.conf.all.disable_ipv6=1`, or stop the router that advertises it',
    ),
  ];
}

function noPing(name: string): Check {
  return warn(name, 'not looked at: there is no `ping`', 'it is asked by pings', 'install iputils-ping');
}
