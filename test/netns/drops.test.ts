/** `natgate drops` of a running gateway: which packets, why, whose, for want of what; by filter, as JSON, followed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { Drop } from '../../src/gateway/observe/drops.ts';
import { MAIN } from './support/contender.ts';
import { useGateway } from './support/fixture.ts';
import { natgateOnly } from './support/gateway.ts';
import type { Natgate } from './support/natgate.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER } from './support/topology.ts';

const folder = mkdtempSync(join(tmpdir(), 'ngtest-drops-'));
const file = join(folder, 'natgate.yaml');
writeFileSync(
  file,
  `
private: g0
public: g1
limits: {ports-per-host: 3}
firewall:
  rules: [{name: no mail, action: drop, protocol: tcp, ports: [25]}]
`,
);
afterAll(() => rmSync(folder, { recursive: true }));

natgateOnly('dropped packets', () => {
  const net = useGateway({ args: ['--config', file] });
  const natgate = () => net.gateway as Natgate;
  const drops = async (...args: string[]): Promise<Drop[]> => {
    const { stdout } = await natgate().cli('drops', ['--json', ...args]);
    return stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  };

  it('says why, whose and for want of what', async () => {
    const sockets = [];
    for (let i = 0; i < 4; i++) {
      const socket = await net.client.udp();
      await socket.sendTo(Buffer.from('x'), [SERVER, 5000]).catch(() => {});
      sockets.push(socket);
    }
    await net.client.connect([SERVER, 25], undefined, 0.3).catch(() => {});
    const outside = await net.server.udp();
    await outside.sendTo(Buffer.from('x'), [GATEWAY_PUBLIC, 60_000]);
    await expect.poll(async () => (await drops('reason', 'no_flow')).length).toBeGreaterThan(0);

    const [quota] = await drops('--reason', 'host_port_limit');
    expect(quota).toMatchObject({
      interface: 'g0',
      side: 'private',
      client: CLIENT,
      rule: 'masquerade',
      resource: `${CLIENT} has 3 external ports, as many as it may have (rule masquerade)`,
    });
    expect(quota!.packet).toMatch(new RegExp(`^udp ${CLIENT}:\\d+ > ${SERVER}:5000 length 1 ttl 64$`));
    expect(Math.abs(Date.parse(quota!.time) - Date.now())).toBeLessThan(60_000);
    const [mail] = await drops('dport 25 and src', CLIENT);
    expect(mail).toMatchObject({ reason: 'firewall_drop', resource: 'firewall no mail', client: CLIENT });
    const [uninvited] = await drops('--side', 'public');
    expect(uninvited).toMatchObject({ reason: 'no_flow', interface: 'g1', client: null });
    for (const socket of sockets) await socket.close();
  });

  it('shows as many as asked for, in words', async () => {
    const { stdout } = await natgate().cli('drops', ['-n', '1', '--reason', 'no_flow']);
    expect(stdout).toMatch(/^\S+ \S+ no_flow: udp 198\.18\.0\.2:\d+ > 198\.18\.0\.1:60000 length 1 ttl 64\n/);
    expect(stdout).toContain('uninvited: from outside, and no flow expects it');
    expect((await drops('-n', '2')).length).toBe(2);
    const wrong = await natgate().cli('drops', ['dport x'], { check: false });
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('column 7')]);
  });

  it('goes on with those that come, and ends when nobody reads', async () => {
    const which = ['--name', natgate().name, '--state-root', natgate().ns.stateRoot];
    const follower = natgate().ns.spawn([process.execPath, MAIN, 'drops', ...which, '-f', 'port 60001']);
    const outside = await net.server.udp();
    await expect
      .poll(
        async () => {
          await outside.sendTo(Buffer.from('x'), [GATEWAY_PUBLIC, 60_001]);
          return follower.stdout;
        },
        { timeout: 10_000 },
      )
      .toContain('60001');
    expect(await follower.stop('SIGINT')).toBe(0);
    const piped = await natgate().ns.shell(
      `${process.execPath} ${MAIN} drops ${which.join(' ')} --json -n 0 | head -1`,
    );
    expect(JSON.parse(piped.stdout)).toHaveProperty('reason');
  });

  it('outlives an engine', async () => {
    process.kill(await natgate().enginePid(), 'SIGKILL');
    await natgate().process.shows(/forwards again/, 10_000);
    const outside = await net.server.udp();
    await outside.sendTo(Buffer.from('x'), [GATEWAY_PUBLIC, 60_002]);
    const before = await drops('port 60000');
    expect(before.length).toBeGreaterThan(0);
    await expect.poll(() => drops('port 60002')).toMatchObject([{ reason: 'no_flow' }]);
    expect(await drops('port 60000')).toEqual(before);
  });
});
