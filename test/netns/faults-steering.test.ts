/** What other programs do to TUN devices, filters, qdiscs and settings of a gateway that runs: found, put right, said, counted. */
import { expect, it } from 'vitest';
import { repaired, repairs, useFaultBed } from './support/fault-bed.ts';
import { natgateOnly } from './support/gateway.ts';
import { until } from './support/process.ts';
import { hostState } from './support/snapshot.ts';

natgateOnly('another program', () => {
  const bed = useFaultBed();
  const onGateway = (script: string) => bed.topology.gateway.shell(script);

  it('deletes filters and qdiscs, or puts its own in their place: flows go on, and at the end the host is as before', async () => {
    await onGateway('iptables -w -L -n; ping -c 1 -W 2 198.18.0.2');
    const before = await hostState(bed.topology.gateway);
    const gateway = await bed.start();
    const talk = await bed.talk();
    let count = 0;
    for (const act of [
      'tc filter del dev g0 ingress prio 1000',
      'tc qdisc del dev g1 clsact',
      'tc qdisc del dev natgate-g0 clsact',
      // A filter that takes nothing, in the place of natgate's.
      'tc filter del dev g1 ingress prio 1000; tc filter add dev g1 ingress prio 1000 handle 1 protocol all bpf da bytecode "1,6 0 0 4294967295"',
    ]) {
      await onGateway(act);
      await repaired(gateway, 'filter', ++count);
      await talk.goesOn();
    }
    expect(gateway.process.stderr).toMatch(/natgate's filter was deleted from g0: put right$/m);
    const { stdout } = await gateway.cli('status', ['--json']);
    expect(JSON.parse(stdout)['repairs'].filter).toBeGreaterThanOrEqual(count);
    expect(await gateway.process.stop()).toBe(0);
    expect(await hostState(bed.topology.gateway)).toEqual(before);
  });

  it('has a filter before natgate’s: said once, and left', async () => {
    const gateway = await bed.start();
    const talk = await bed.talk();
    await onGateway(
      'tc filter add dev g0 ingress prio 5 protocol arp bpf bytecode "1,6 0 0 4294967295" classid 1:1',
    );
    await gateway.process.shows(/another program.s filter sees packets before natgate does: .* on g0$/m);
    await talk.goesOn();
    await onGateway('tc filter del dev g0 ingress prio 1000');
    await repaired(gateway, 'filter');
    expect(gateway.process.stderr.match(/sees packets before/g)).toHaveLength(1);
    expect((await onGateway('tc filter show dev g0 ingress')).stdout).toContain('pref 5 ');
    await onGateway('tc filter del dev g0 ingress prio 5');
  });

  it('deletes TUN devices: they are made anew, and a new engine goes on with all flows', async () => {
    const gateway = await bed.start();
    const talk = await bed.talk();
    const engine = await gateway.enginePid();
    await onGateway('ip link del natgate-g1');
    await repaired(gateway, 'tun');
    await gateway.process.shows(/the packet engine forwards again$/m);
    expect(await gateway.enginePid()).not.toBe(engine);
    await talk.goesOn();
    await onGateway('ip link del natgate-g0; ip link del natgate-g1');
    await repaired(gateway, 'tun', 3);
    await talk.goesOn();
    await (await bed.talk()).goesOn();
  });

  it('changes what a TUN is set to: it is set back', async () => {
    const gateway = await bed.start();
    const talk = await bed.talk();
    let count = 0;
    for (const act of [
      'ip link set natgate-g0 down',
      'ip link set natgate-g1 mtu 1280',
      'ip link set natgate-g1 txqueuelen 1',
      'tc qdisc replace dev natgate-g0 root pfifo',
    ]) {
      await onGateway(act);
      await repaired(gateway, 'link', ++count);
      await talk.goesOn();
    }
  });

  it('changes settings: they are set back, and undone to what they were', async () => {
    const read = async () =>
      (await onGateway('sysctl -n net.ipv4.ip_local_port_range')).stdout.trim().split(/\s+/);
    const before = await read();
    const gateway = await bed.start('forwards: [{protocol: tcp, port: 8080, to: 10.77.0.2}]\n');
    await onGateway(
      'sysctl -qw net.ipv4.ip_local_port_range="32768 60999" net.ipv4.ip_local_reserved_ports=""',
    );
    await repaired(gateway, 'setting', 2);
    expect(await read()).toEqual(['16384', '32767']);
    expect((await onGateway('sysctl -n net.ipv4.ip_local_reserved_ports')).stdout.trim()).toBe('8080');
    // A range that leaves natgate its ports is the administrator's business.
    await onGateway('sysctl -qw net.ipv4.ip_local_port_range="20000 30000"');
    await until(
      'the next look',
      async () => {
        await onGateway('sysctl -qw net.ipv4.ip_local_reserved_ports=""');
        return ((await repairs(gateway))['setting'] ?? 0) >= 3;
      },
      15_000,
    );
    expect(await read()).toEqual(['20000', '30000']);
    await onGateway('sysctl -qw net.ipv4.ip_local_port_range="16384 32767"');
    expect(await gateway.process.stop()).toBe(0);
    expect(await read()).toEqual(before);
  });
});
