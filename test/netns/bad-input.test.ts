/** What cannot work is refused in one clear line with a remedy, and the host stays as it is. */
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { MAIN } from './support/contender.ts';
import { Natgate, natgateOnly } from './support/gateway.ts';
import { hostState } from './support/snapshot.ts';
import { createTopology, GATEWAY_PRIVATE, ip, type Topology } from './support/topology.ts';

natgateOnly('natgate refuses', () => {
  let topology: Topology;
  let before: Record<string, string[]>;
  const undo: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    topology = await createTopology();
    await topology.gateway.exec('iptables -w -L -n');
  });
  afterAll(() => topology?.destroy());
  beforeEach(async () => {
    before = await hostState(topology.gateway);
  });
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  /** Changes the host for one test. */
  const given = async (make: string, remove: string) => {
    undo.push(() => ip(topology.gateway, remove));
    await ip(topology.gateway, make);
    before = await hostState(topology.gateway);
  };
  /** Runs natgate with a wrapper before its command line. */
  const refused = async (words: string, wrapper: string[] = [], main = MAIN) => {
    const argv = [...wrapper, process.execPath, main, ...words.split(' ').filter(Boolean)];
    if (words !== '') argv.push('--state-root', topology.gateway.stateRoot);
    const result = await topology.gateway.exec(argv, { check: false });
    expect(result.stdout).toBe('');
    // One line that says what is wrong, one that says how to mend it, and no stack trace.
    expect(result.stderr).toMatch(/^natgate: .+\n {2}\S.*\n$/);
    expect(await hostState(topology.gateway)).toEqual(before);
    return { code: result.code, says: result.stderr.split('\n')[0], remedy: result.stderr.split('\n')[1] };
  };
  const NAME = `refused${process.pid}`;
  const RUN = `run --name ${NAME} --private g0 --public g1`;

  it('an interface that does not exist', async () => {
    expect(await refused(`run --name ${NAME} --private g7 --public g1`)).toMatchObject({
      code: 1,
      says: 'natgate: there is no interface g7',
    });
    expect(await refused(`run --name ${NAME} --private g0 --public eth99`)).toMatchObject({
      code: 1,
      says: 'natgate: there is no interface eth99',
    });
  });

  it('a private interface without an address', async () => {
    undo.push(() => ip(topology.gateway, `addr add ${GATEWAY_PRIVATE}/24 dev g0`));
    await ip(topology.gateway, `addr del ${GATEWAY_PRIVATE}/24 dev g0`);
    before = await hostState(topology.gateway);
    expect(await refused(RUN)).toMatchObject({ code: 1, says: 'natgate: g0 has no IPv4 address' });
  });

  it('a public address that is on the private network', async () => {
    await given('link add d7 type veth peer name d8', 'link del d7');
    await given('addr add 10.77.0.200/24 dev d7', 'addr del 10.77.0.200/24 dev d7');
    expect(await refused(`run --name ${NAME} --private g0 --public d7`)).toMatchObject({
      code: 1,
      says: 'natgate: d7 has 10.77.0.200/24, and 10.77.0.0/24 is a private network',
    });
  });

  it('the same interface twice', async () => {
    expect(await refused(`run --name ${NAME} --private g1 --public g1`)).toMatchObject({
      code: 1,
      says: 'natgate: g1 is both private and public, and nothing says which addresses are private',
    });
  });

  it('loopback', async () => {
    expect(await refused(`run --name ${NAME} --private lo --public g1`)).toMatchObject({
      code: 1,
      says: 'natgate: lo is no interface that natgate can serve, it is loopback',
    });
  });

  it('a bridge port', async () => {
    await given('link add br0 type bridge', 'link del br0');
    await given('link set g0 master br0', 'link set g0 nomaster');
    expect(await refused(RUN)).toEqual({
      code: 1,
      says: 'natgate: g0 is a bridge port of br0',
      remedy: '  serve br0 instead',
    });
  });

  it('a bond slave', async (test) => {
    const made = await topology.gateway.exec('ip link add bond7 type bond', { check: false });
    test.skip(made.code !== 0, `this kernel has no bonding driver: ${made.stderr.trim()}`);
    undo.push(() => ip(topology.gateway, 'link del bond7'));
    await given('link add d7 type veth peer name d8', 'link del d7');
    await given('link set d7 master bond7', 'link set d7 nomaster');
    expect(await refused(`run --name ${NAME} --private g0 --public d7`)).toEqual({
      code: 1,
      says: 'natgate: d7 is a bond port of bond7',
      remedy: '  serve bond7 instead',
    });
  });

  it('an MTU over 16000', async () => {
    await given('link set g1 mtu 16001', 'link set g1 mtu 1500');
    expect(await refused(RUN)).toMatchObject({ code: 1, says: 'natgate: g1 has MTU 16001' });
  });

  it('to run without privileges', async () => {
    const noRights = ['setpriv', '--bounding-set=-all', '--inh-caps=-all'];
    const { code, says, remedy } = await refused(RUN, noRights);
    expect(code).toBe(1);
    expect(says).toMatch(/^natgate: missing CAP_NET_ADMIN, /);
    expect(remedy).toContain('as root');
  });

  it('to run without BPF', async () => {
    const noBpf = ['setpriv', '--bounding-set=-bpf,-sys_admin,-perfmon', '--inh-caps=-all'];
    expect(await refused(RUN, noBpf)).toMatchObject({
      code: 1,
      says: 'natgate: missing CAP_BPF, CAP_PERFMON',
    });
  });

  it('to run without /dev/net/tun', async () => {
    // In the mount namespace that `ip netns exec` has made for this command.
    const noTun = ['sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'];
    expect(await refused(RUN, noTun)).toMatchObject({ code: 1, says: 'natgate: there is no /dev/net/tun' });
  });

  it('to run without its addon', async () => {
    const root = fileURLToPath(new URL('../..', import.meta.url));
    const copy = mkdtempSync(join(tmpdir(), 'natgate-no-addon-'));
    undo.push(async () => rmSync(copy, { recursive: true }));
    cpSync(join(root, 'dist'), join(copy, 'dist'), { recursive: true });
    cpSync(join(root, 'package.json'), join(copy, 'package.json'));
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    const { code, says, remedy } = await refused(RUN, [], join(copy, 'dist/cli/main.js'));
    expect(code).toBe(1);
    expect(says).toContain('the native addon is not built for this machine');
    expect(remedy).toContain('npm ci');
  });

  it('a second gateway on the same interfaces, and a second one of the same name', async () => {
    const first = await Natgate.start(topology.gateway);
    undo.push(() => first.stop());
    before = await hostState(topology.gateway);
    expect(await refused(RUN)).toMatchObject({
      code: 1,
      says: `natgate: g0 is served by the gateway ${first.name} (pid ${first.process.pid})`,
    });
    expect(await refused(`run --name ${first.name} --private g0 --public g1`)).toMatchObject({ code: 1 });
    expect((await topology.client.exec('ping -c 1 -W 2 198.18.0.2')).stdout).toContain('1 received');
  });

  it('a port range that sockets of the host hold', async () => {
    const agent = await Agent.start(topology.gateway);
    undo.push(() => agent.stop());
    await Promise.all(Array.from({ length: 64 }, (_, i) => agent.udp(['0.0.0.0', 50_000 + i])));
    expect(await refused(`${RUN} --ports 50000-50063`)).toMatchObject({
      code: 1,
      says: 'natgate: sockets of this host hold every UDP port of 50000-50063',
    });
  });

  it.each([
    ['', 'say what to do'],
    ['run --public g1', 'private'],
    ['run --private g0', 'public'],
    ['run --private g0 --public g1 --ports 5-1', '--ports 5-1: not a usable port range'],
    ['run --private g0 --public g1 --ports many', '--ports many: not a usable port range'],
    ['run --private g0 --public g1 --name a/b', '--name a/b: not a usable name'],
    ['run --private g0 --public g1 --linger -1', 'linger'],
    ['run --private g0 --public g1 --linger soon', 'linger'],
    ['run --private g0 --public g1 --flows 3', 'flows'],
    ['run --private g0 --public a-name-that-is-too-long', 'not an interface name'],
    ['run --private g0 --public g1 --fast', 'fast'],
    ['jog --private g0', 'jog'],
    ['lab --size huge', '--size huge: not a size'],
  ])('`natgate %s`, which is no usable command line', async (words, says) => {
    const result = await refused(words);
    expect(result.code).toBe(2);
    expect(result.says).toContain(says);
  });

  it.each(['status', 'status --flows', 'status --json', 'down'])(
    '`natgate %s` of no gateway',
    async (words) => {
      expect((await refused(`${words} --name nobody`)).code).toBe(3);
    },
  );

  it('nothing, but shows a stack trace, with --debug', async () => {
    const argv = [process.execPath, MAIN, 'run', '--private', 'g7', '--public', 'g1', '--debug'];
    const { code, stderr } = await topology.gateway.exec(argv, { check: false });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^natgate: there is no interface g7\n {2}.*\n.* at /s);
  });
});
