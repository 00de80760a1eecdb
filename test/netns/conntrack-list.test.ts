/**
 * `natgate flows -o conntrack` beside the kernel's own `conntrack -L`: the same traffic goes through natgate and, in other namespaces,
 * through netfilter, and both lists are the same line by line, byte by byte; only the seconds that are left may differ by what passed
 * between the two looks. Then what people feed such lists to: the same commands, the same answers.
 *
 * natgate has netfilter's timeouts here; its own are those of the RFCs. It knows no marks, counts no references and does not say which
 * helper reads a flow: `mark=0 use=1` always (docs/observing.md).
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defaultTimeouts } from '../../src/conntrack/timeouts.ts';
import { Agent, type Socket } from './support/agent.ts';
import { type Gateway, Natgate, natgateOnly, startKernel } from './support/gateway.ts';
import { until } from './support/process.ts';
import { CLIENT, createTopology, SERVER, type Topology } from './support/topology.ts';

interface Side {
  topology: Topology;
  gateway: Gateway;
  client: Agent;
  server: Agent;
  list(words?: string): Promise<string>;
}

const ESTABLISHED = 40_001;
const CLOSED = 40_002;
const UNREPLIED = 40_003;
const ASSURED = 40_004;
const TRANSFER = 40_005;
const ANSWERED = 40_006;
const SYN_SENT = 40_007;
const PING_ID = 4242;
/** Seconds that the two lists may be apart. */
const APART = 3;

/** What people do with such a list. */
const SCRIPTS = [
  "awk '{print $1}' | sort | uniq -c",
  `awk '$1 == "tcp" {print $4}' | sort | uniq -c | sort -rn`,
  'grep -c ESTABLISHED',
  'wc -l',
  "grep -o 'src=[^ ]*' | sort | uniq -c | sort -rn | head -5",
  `awk '{for (i = 1; i <= NF; i++) if ($i ~ /^dport=/) {split($i, a, "="); print a[2]; break}}' | sort -n | uniq -c`,
  "sed -n 's/.*src=\\([^ ]*\\) dst=\\([^ ]*\\) .*\\[UNREPLIED\\].*/\\1 \\2/p' | sort",
  "awk '/ASSURED/ {n++} END {print n}'",
  `awk -F'[= ]+' '$1 == "udp" {print $5, $7, $9, $11}' | sort`,
  "grep -oE '(type|code|id)=[0-9]+' | sort",
  "tr ' ' '\\n' | grep '^mark=' | sort | uniq -c",
  `perl -ne 'print "$1:$2 -> $3\\n" if /src=(\\S+) dst=\\S+ sport=(\\d+) dport=(\\d+)/' | sort`,
];

/** Without what is documented to be different. */
function documented(list: string): string {
  return list.replaceAll(/ helper=\S+/g, '').replaceAll(/use=\d+/g, 'use=1');
}

natgateOnly('the list of flows and conntrack -L', () => {
  const sides: Side[] = [];
  let kernel: Side;
  let natgate: Side;
  /** The kernel's list, and natgate's. */
  let plain: { side: Side; list: string }[];

  beforeAll(async () => {
    kernel = await start('kernel');
    natgate = await start('natgate');
    // Side by side: an ASSURED stream takes its time.
    await Promise.all(sides.map(traffic));
    // All at one time: on a slow machine flows end before the last script has run.
    plain = await Promise.all(sides.map(async (side) => ({ side, list: await side.list() })));
  });

  afterAll(async () => {
    for (const { client, server, gateway, topology } of sides) {
      await client.stop();
      await server.stop();
      await gateway.stop();
      topology.destroy();
    }
  });

  async function start(which: 'kernel' | 'natgate'): Promise<Side> {
    const topology = await createTopology();
    const ns = topology.gateway;
    const timeouts = Object.entries(defaultTimeouts).filter(([, seconds]) => seconds > 0);
    const args = timeouts.flatMap(([name, seconds]) => ['--timeout', `${name}=${seconds}`]);
    let gateway: Gateway;
    if (which === 'kernel') {
      // Counters are read in a list of their own.
      await ns.exec('sysctl -qw net.netfilter.nf_conntrack_acct=1');
      await ns.exec('iptables -w -t raw -A PREROUTING -p udp --dport 69 -j CT --helper tftp');
      gateway = await startKernel(ns);
    } else gateway = await Natgate.start(ns, ['--helper', 'tftp', ...args]);
    const side: Side = {
      topology,
      gateway,
      client: await Agent.start(topology.client),
      server: await Agent.start(topology.server),
      list: async (words = '') =>
        which === 'kernel'
          ? (await ns.shell(`conntrack -L${words === '' ? '' : ` -o ${words}`} 2>/dev/null`)).stdout
          : (
              await (gateway as Natgate).cli('flows', [
                '-o',
                words === '' ? 'conntrack,counters' : `${words},counters`,
              ])
            ).stdout,
    };
    sides.push(side);
    return side;
  }

  async function traffic({ topology, client, server }: Side): Promise<void> {
    // What comes to a closed port is not answered: UNREPLIED and SYN_SENT stay so.
    await topology.server.exec('iptables -w -A INPUT -p udp --dport 9 -j DROP');
    await topology.server.exec('iptables -w -A INPUT -p tcp --dport 9 -j DROP');
    await server.tcpEcho(80);
    await server.udpEcho(7);
    const open = await client.connect([SERVER, 80], [CLIENT, ESTABLISHED]);
    expect(await open.echo('hello')).toBe('hello');
    const closed = await client.connect([SERVER, 80], [CLIENT, CLOSED]);
    expect(await closed.echo('bye')).toBe('bye');
    await closed.close();
    const silent = await client.udp([CLIENT, UNREPLIED]);
    await silent.sendTo(Buffer.from('anybody?'), [SERVER, 9]);
    const short = await client.udp([CLIENT, ANSWERED]);
    await roundTrip(short);
    const stream = await client.udp([CLIENT, ASSURED]);
    await roundTrip(stream);
    await client.connect([SERVER, 9], [CLIENT, SYN_SENT], 0.2).catch(() => {});
    await topology.client.exec(`ping -q -c 1 -W 2 -e ${PING_ID} ${SERVER}`);
    // TFTP: the answer to the request comes from another port.
    const listener = await server.udp([SERVER, 69]);
    const request = await client.udp([CLIENT, TRANSFER]);
    await request.sendTo(Buffer.from('\0\x01file\0octet\0'), [SERVER, 69]);
    const [, from] = await listener.receiveFrom();
    const data = await server.udp([SERVER, 40_105]);
    await data.sendTo(Buffer.from('\0\x03\0\x01all of it'), from);
    const [, source] = await request.receiveFrom();
    expect(source).toEqual([SERVER, 40_105]);
    // UDP that goes on for more than two seconds is a stream.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await roundTrip(stream);
  }

  async function roundTrip(socket: Socket): Promise<void> {
    await socket.sendTo(Buffer.from('ping'), [SERVER, 7]);
    expect((await socket.receive()).toString()).toBe('ping');
  }

  /** Both at once, sorted; the seconds that are left cut out. */
  async function both(words = ''): Promise<{ lines: string[]; seconds: number[] }[]> {
    const texts = await Promise.all([kernel.list(words), natgate.list(words)]);
    const skipped = words.includes('extended') ? 3 : 1;
    return texts.map((text) => {
      const rows = text
        .trimEnd()
        .split('\n')
        .map((line) => {
          // The retransmissions of a SYN go on: two lists that are not of one moment count them differently.
          const same = documented(line);
          const shown = line.includes('SYN_SENT') ? same.replace(/ packets=\d+ bytes=\d+/, '') : same;
          const pattern = new RegExp(`^(\\S+ +(?:\\S+ +){${skipped}})(\\d+) `);
          return { line: shown.replace(pattern, '$1N '), seconds: Number(pattern.exec(line)?.[2]) };
        })
        .sort((a, b) => (a.line < b.line ? -1 : 1));
      return { lines: rows.map(({ line }) => line), seconds: rows.map(({ seconds }) => seconds) };
    });
  }

  it('are the same, byte by byte', async () => {
    await until('the closed connection is in TIME_WAIT', async () =>
      (await Promise.all([kernel.list(), natgate.list()])).every((text) => text.includes('TIME_WAIT')),
    );
    for (const words of ['', 'extended']) {
      const [theirs, ours] = await both(words);
      expect(ours!.lines).toEqual(theirs!.lines);
      expect(theirs!.lines).toHaveLength(9);
      for (const [i, seconds] of ours!.seconds.entries()) {
        expect(Math.abs(seconds - theirs!.seconds[i]!), ours!.lines[i]!).toBeLessThanOrEqual(APART);
      }
    }
  });

  it('answer the same to the same filters', async () => {
    const sorted = (text: string) =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => line.split(' src=').slice(1, 2).join(''))
        .sort();
    for (const flags of [
      '-p tcp',
      '-p tcp --state ESTABLISHED',
      `-s ${CLIENT}`,
      `-d ${SERVER}`,
      '-p udp --dport 7',
      '-p udp --sport 40004',
    ]) {
      const { stdout: theirs } = await kernel.topology.gateway.shell(`conntrack -L ${flags} 2>/dev/null`);
      const { stdout: ours } = await (natgate.gateway as Natgate).cli('flows', [
        '-o',
        'conntrack',
        ...flags.split(' '),
      ]);
      const bare = theirs.replaceAll(/ packets=\d+ bytes=\d+/g, '');
      expect(sorted(ours), flags).toEqual(sorted(bare));
      expect(sorted(ours)[0], flags).not.toBe('');
    }
  });

  it.each(SCRIPTS)('%s', async (script) => {
    const [theirs, ours] = await Promise.all(
      plain.map(async ({ side, list }) => {
        const lines = documented(list).replaceAll(/ packets=\d+ bytes=\d+/g, '');
        return (await side.topology.gateway.shell(`{ ${script}\n} <<'END'\n${lines}END\n`)).stdout;
      }),
    );
    expect(ours).toBe(theirs);
    expect(ours!.trim()).not.toBe('');
  });
});
