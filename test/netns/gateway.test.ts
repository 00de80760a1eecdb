/** The supervisor and its engine process: privileges, sd_notify, changes of the host, and every way to end. */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MAIN } from './support/contender.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { type Background, sleep, until } from './support/process.ts';
import { createTopology, GATEWAY_PUBLIC, ip, SERVER, type Topology } from './support/topology.ts';

/** Prints each datagram that arrives at the abstract or file socket `argv[1]`, one line each. */
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True:
    print(repr(s.recv(4096).decode()), flush=True)
`;

natgateOnly('the processes of a gateway', () => {
  let topology: Topology;
  let folder: string;
  const started: Background[] = [];
  const gateways: Natgate[] = [];

  beforeEach(async () => {
    topology = await createTopology();
    folder = mkdtempSync(join(tmpdir(), 'natgate-test-'));
  });
  afterEach(async () => {
    for (const process of started.splice(0)) if (process.running) await process.stop('SIGKILL');
    for (const gateway of gateways.splice(0)) await gateway.cleanUp();
    await topology.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  const start = async (args: string[] = []) => {
    const gateway = await Natgate.start(topology.gateway, args);
    gateways.push(gateway);
    return gateway;
  };
  const launch = () => {
    const gateway = Natgate.launch(topology.gateway, ['--private', 'g0', '--public', 'g1']);
    gateways.push(gateway);
    return gateway;
  };
  const spawn = (argv: string[], env: Record<string, string> = {}) => {
    const process = topology.gateway.spawn(argv, env);
    started.push(process);
    return process;
  };
  const ping = (to = SERVER) => topology.client.exec(`ping -c 1 -W 2 ${to}`);
  const links = async () => (await topology.gateway.exec('ip -br link')).stdout;
  const traces = () =>
    readdirSync('/dev/shm').filter((file) => gateways.some(({ name }) => file.includes(name)));
  const expectNothingLeft = async (name: string) => {
    expect(await links()).not.toContain('natgate-');
    expect((await topology.gateway.exec('tc qdisc show')).stdout).not.toContain('clsact');
    expect(existsSync(join(topology.gateway.stateRoot, name))).toBe(false);
    expect(traces()).toEqual([]);
  };

  it('runs the engine without any privilege', async () => {
    for (const [args, id] of [
      [[], '65534'],
      [['--user', '4321:4321'], '4321'],
    ] as const) {
      const gateway = await start([...args]);
      const status = readFileSync(`/proc/${await gateway.enginePid()}/status`, 'utf8');
      expect(status).toMatch(new RegExp(`^Uid:(\\t${id}){4}$`, 'm'));
      expect(status).toMatch(new RegExp(`^Gid:(\\t${id}){4}$`, 'm'));
      expect(status).toMatch(/^Groups:\s*$/m);
      expect(status).toMatch(/^CapEff:\t0+$/m);
      expect(status).toMatch(/^CapPrm:\t0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
      await gateway.stop();
    }
  });

  it('works from a folder that the user of the engine cannot read', async () => {
    const root = fileURLToPath(new URL('../..', import.meta.url));
    for (const part of ['dist', 'native', 'package.json'])
      cpSync(join(root, part), join(folder, part), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    expect(statSync(folder).mode & 0o077).toBe(0);
    const main = join(folder, 'dist/cli/main.js');
    const words = ['run', '--private', 'g0', '--public', 'g1', '--state-root', join(folder, 'run')];
    const gateway = spawn([process.execPath, main, ...words]);
    await gateway.shows(READY);
    await ping();
    expect(await gateway.stop()).toBe(0);
  });

  it('keeps its state where only root can read it', async () => {
    const gateway = await start();
    const { statePath } = JSON.parse(
      readFileSync(join(topology.gateway.stateRoot, gateway.name, 'run.json'), 'utf8'),
    );
    const { mode, uid, blocks, size } = statSync(statePath);
    expect(mode & 0o777).toBe(0o600);
    expect(uid).toBe(0);
    // Preallocated: a file system that fills up later takes nothing away from it.
    expect(blocks * 512).toBeGreaterThanOrEqual(size);
    await gateway.stop();
    expect(existsSync(statePath)).toBe(false);
  });

  it('speaks sd_notify, and feeds the watchdog, while somebody has stopped the engine, too', async () => {
    const socket = join(folder, 'notify');
    const listener = spawn(['python3', '-c', LISTENER, socket]);
    await listener.shows(/bound/);
    const env = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '600000' };
    const words = ['run', '--private', 'g0', '--public', 'g1', '--state-root', join(folder, 'run')];
    const gateway = spawn([process.execPath, MAIN, ...words], env);
    await listener.shows(/READY=1\\nSTATUS=ready private=g0 public=g1/, 30_000);
    await listener.shows(/WATCHDOG=1/);

    const children = readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'utf8');
    // The first one: another may stand by.
    const engine = Number(children.split(' ')[0]);
    const fed = () => listener.stdout.split('WATCHDOG=1').length;
    process.kill(engine, 'SIGSTOP');
    // Whoever stops it, with a debugger say, is not answered with a restart (docs/watchdog.md).
    await gateway.shows(/the packet engine has been stopped: nothing is forwarded/);
    const before = fed();
    await until('the watchdog is fed', () => fed() > before + 3);
    process.kill(engine, 'SIGCONT');
    await gateway.shows(/the packet engine goes on/);
    expect(await gateway.stop()).toBe(0);
    await listener.shows(/STOPPING=1/);
  });

  it('is up for the service manager while it waits for an address', async () => {
    await ip(topology.gateway, `addr del ${GATEWAY_PUBLIC}/24 dev g1`);
    const listener = spawn(['python3', '-c', LISTENER, join(folder, 'notify')]);
    await listener.shows(/bound/);
    const words = ['run', '--private', 'g0', '--public', 'g1', '--state-root', join(folder, 'run')];
    const gateway = spawn([process.execPath, MAIN, ...words], { NOTIFY_SOCKET: join(folder, 'notify') });
    await listener.shows(/READY=1\\nSTATUS=waiting for an IPv4 address on g1/, 30_000);
    await ip(topology.gateway, `addr add ${GATEWAY_PUBLIC}/24 dev g1`);
    await listener.shows(/STATUS=ready private=g0 public=g1 external=198.18.0.1/);
    expect(await gateway.stop()).toBe(0);
  });

  it('follows the address of the public interface', async () => {
    const gateway = await start();
    await ping();
    await ip(topology.gateway, `addr del ${GATEWAY_PUBLIC}/24 dev g1`);
    await gateway.process.shows(/^natgate: waiting for an IPv4 address on g1$/m);
    expect(await gateway.status()).toMatchObject({ external: null });
    await ip(topology.gateway, 'addr add 198.18.0.77/24 dev g1');
    await gateway.process.shows(/^natgate: the external address is 198\.18\.0\.77 now$/m);
    expect(await gateway.status()).toMatchObject({ external: '198.18.0.77' });
    await ping();
    const { stdout } = await gateway.cli('status', ['--flows']);
    expect(stdout).toMatch(/^icmp .* dst=198\.18\.0\.77 type=0 /m);
    await gateway.stop();
  });

  it('has no use for a public address that is on the private network, too', async () => {
    const gateway = await start();
    await ip(topology.gateway, `addr del ${GATEWAY_PUBLIC}/24 dev g1`);
    await gateway.process.shows(/^natgate: waiting for an IPv4 address on g1$/m);
    await ip(topology.gateway, 'addr add 10.77.0.200/24 dev g1');
    await gateway.process.shows(
      /^natgate: waiting for another address on g1: it is on the private network 10\.77\.0\.0\/24 as well$/m,
    );
    expect(await gateway.status()).toMatchObject({ external: null });
    await ip(topology.gateway, 'addr del 10.77.0.200/24 dev g1');
    await ip(topology.gateway, `addr add ${GATEWAY_PUBLIC}/24 dev g1`);
    await gateway.process.shows(/^natgate: the external address is 198\.18\.0\.1 now$/m);
    await ping();
    await gateway.stop();
  });

  it('forgets its flows when the engine keeps dying, and goes on', async () => {
    const gateway = await start();
    await ping();
    let last = 0;
    for (let death = 1; death <= 5; death++) {
      last = await until('another engine runs', async () => {
        const pid = await gateway.enginePid().catch(() => last);
        return pid === last ? null : pid;
      });
      process.kill(last, 'SIGKILL');
      await gateway.process.shows(new RegExp(`(died \\(killed by SIGKILL\\)[^]*){${death}}`));
    }
    await gateway.process.shows(/died 5 times in a row; flows are forgotten/);
    await gateway.process.shows(/^natgate: the packet engine forwards again$/m);
    await until(
      'packets flow',
      async () => (await topology.client.exec(`ping -c 1 -W 1 ${SERVER}`, { check: false })).code === 0,
    );
    await gateway.stop();
  });

  it('is not disturbed by more signals while it undoes', async () => {
    const gateway = await start();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.kill(gateway.process.pid, signal);
      await sleep(5);
    }
    expect(await gateway.process.ended).toBe(0);
    await expectNothingLeft(gateway.name);
  });

  it('leaves nothing, at whatever moment of its start a signal comes', async () => {
    for (let delay = 60; delay <= 600; delay += 90) {
      const gateway = launch();
      await sleep(delay);
      // 143 before the command line has been read.
      expect([0, 143]).toContain(await gateway.process.stop('SIGTERM'));
      await expectNothingLeft(gateway.name);
    }
  });

  it('is not taken down by `down` while it runs', async () => {
    const gateway = await start();
    const { code, stderr } = await gateway.cli('down', [], { check: false });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`^natgate: the gateway ${gateway.name} is running \\(pid ${gateway.process.pid}\\)\n  `),
    );
    await ping();
    await gateway.stop();
  });
});
