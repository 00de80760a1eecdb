/** `natgate doctor` sees what `natgate run` would stumble over, and changes nothing. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MAIN } from './support/contender.ts';
import { natgateOnly } from './support/gateway.ts';
import { hostState } from './support/snapshot.ts';
import { createTopology, ip, type Topology } from './support/topology.ts';

interface Check {
  name: string;
  status: 'ok' | 'warn' | 'fail';
  what: string;
  why: string;
  remedy: string;
}

natgateOnly('natgate doctor', () => {
  let topology: Topology;
  beforeAll(async () => {
    topology = await createTopology();
    await topology.gateway.exec('iptables -w -L -n');
  });
  afterAll(() => topology?.destroy());

  const doctor = (words: string, wrapper: string[] = []) =>
    topology.gateway.exec([...wrapper, process.execPath, MAIN, 'doctor', ...words.split(' ')], {
      check: false,
    });
  const checks = async (words: string) => JSON.parse((await doctor(`${words} --json`)).stdout) as Check[];

  it('finds nothing wrong where a gateway can run, and leaves nothing behind', async () => {
    const before = await hostState(topology.gateway);
    const { code, stdout } = await doctor('--private g0 --public g1');
    expect(stdout).toContain('`natgate run` would start');
    expect(code).toBe(0);
    const names = (await checks('--private g0 --public g1')).map((check) => check.name);
    expect(names).toEqual(
      expect.arrayContaining(['kernel', 'addon', 'privileges', 'tun', 'bpf', 'tc', 'ports']),
    );
    expect(names).toEqual(
      expect.arrayContaining(['interface g0', 'interface g1', 'kernel NAT', 'forwarding']),
    );
    expect(await hostState(topology.gateway)).toEqual(before);
  });

  it.each([
    ['--private nope0 --public g1', 'interface nope0'],
    ['--private g1 --public g1', 'interface g1'],
    ['--private lo --public g1', 'interface lo'],
  ])('fails where `run` would: %s', async (words, name) => {
    expect((await doctor(words)).code).toBe(1);
    const failed = (await checks(words)).filter((check) => check.status === 'fail');
    expect(failed.map((check) => check.name)).toContain(name);
    for (const check of failed) {
      expect(check.what).not.toBe('');
      expect(check.why).not.toBe('');
      expect(check.remedy).not.toBe('');
    }
  });

  it('fails without privileges', async () => {
    const { code, stdout } = await doctor('--private g0 --public g1', ['setpriv', '--bounding-set=-all']);
    expect(code).toBe(1);
    expect(stdout).toContain('missing CAP_NET_ADMIN');
    expect(stdout).toContain('`natgate run` would not start');
  });

  it("warns of the kernel's own NAT and forwarding", async () => {
    await topology.gateway.exec('iptables -w -t nat -A POSTROUTING -o g1 -j MASQUERADE');
    await topology.gateway.exec('sysctl -qw net.ipv4.ip_forward=1');
    const found = await checks('--private g0 --public g1');
    expect(found.filter((check) => check.status === 'warn').map((check) => check.name)).toEqual(
      expect.arrayContaining(['kernel NAT', 'forwarding']),
    );
    expect((await doctor('--private g0 --public g1')).code).toBe(0);
    await topology.gateway.exec('iptables -w -t nat -F');
    await topology.gateway.exec('sysctl -qw net.ipv4.ip_forward=0');
  });

  it('warns of an interface that is down or has no address yet', async () => {
    await ip(topology.gateway, 'addr flush dev g1');
    await ip(topology.gateway, 'link set g1 down');
    const warnings = (await checks('--private g0 --public g1')).filter((check) => check.status === 'warn');
    expect(warnings.map((check) => check.what)).toEqual(
      expect.arrayContaining(['g1 has no IPv4 address', 'g1 is down']),
    );
    expect((await doctor('--private g0 --public g1')).code).toBe(0);
  });
});
