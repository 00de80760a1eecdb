/** Served interfaces that are deleted, renamed and set down under a gateway, and come back: it waits for them, and its flows live on. */
import { expect, it } from 'vitest';
import { indexOf, journalled, makePrivate, makePublic, useFaultBed } from './support/fault-bed.ts';
import { natgateOnly } from './support/gateway.ts';
import { until } from './support/process.ts';
import { GATEWAY_PUBLIC, ip } from './support/topology.ts';

const KEEP = 'nat: {on-address-change: keep}\n';

natgateOnly('an interface', () => {
  const bed = useFaultBed();

  /** The journal has what was made on these interfaces, and nothing of others. */
  const expectJournalled = async () => {
    const { topology, gateway } = bed;
    const indexes = [await indexOf(topology, 'g0'), await indexOf(topology, 'g1')];
    expect(journalled(gateway)).toEqual(indexes.sort((a, b) => a - b));
  };

  it('private, is deleted and made again: the gateway waits, and all flows go on', async () => {
    const gateway = await bed.start();
    const talk = await bed.talk();
    await ip(bed.topology.gateway, 'link del g0');
    await gateway.process.shows(/g0 was deleted or renamed$/m);
    await gateway.process.shows(/waiting for g0 to come back$/m);
    await until('the status says so', async () => String((await gateway.status())['waiting']) === 'g0');
    expect((await gateway.cli('status')).stdout).toMatch(/waiting: for g0 to come back/);
    await makePrivate(bed.topology);
    await gateway.process.shows(/g0 is back$/m);
    await talk.goesOn();
    await (await bed.talk()).goesOn();
    expect((await gateway.status())['waiting']).toEqual([]);
    await expectJournalled();
  });

  it('public, is deleted and made again, with its dedicated address; flows that are kept go on', async () => {
    const gateway = await bed.start(
      'nat: {on-address-change: keep}\none-to-one: [{internal: 10.77.0.9, external: 198.18.0.50}]\n',
    );
    const talk = await bed.talk();
    await ip(bed.topology.gateway, 'link del g1');
    await gateway.process.shows(/waiting for g1 to come back$/m);
    expect((await gateway.status())['external']).toBe(null);
    await makePublic(bed.topology);
    await gateway.process.shows(
      new RegExp(`the external address is ${GATEWAY_PUBLIC.replaceAll('.', '\\.')} now$`, 'm'),
    );
    await until('the dedicated address is there', async () =>
      (await ip(bed.topology.gateway, 'addr show dev g1')).stdout.includes('198.18.0.50/32'),
    );
    await talk.goesOn();
    await expectJournalled();
  });

  it('both are deleted, and come back in another order with another MTU', async () => {
    const gateway = await bed.start(KEEP);
    const talk = await bed.talk();
    await ip(bed.topology.gateway, 'link del g0');
    await ip(bed.topology.gateway, 'link del g1');
    await gateway.process.shows(/waiting for g0 and g1 to come back$/m);
    await makePublic(bed.topology);
    await gateway.process.shows(/waiting for g0 to come back$/m);
    await makePrivate(bed.topology);
    await ip(bed.topology.gateway, 'link set g0 mtu 1400');
    await gateway.process.shows(/g0 is back$/m);
    await talk.goesOn();
    await expectJournalled();
  });

  it('gets another name, is left as it was, and is served again under the old one', async () => {
    const gateway = await bed.start(KEEP);
    const talk = await bed.talk();
    await ip(bed.topology.gateway, 'link set g1 down');
    await ip(bed.topology.gateway, 'link set g1 name other');
    await gateway.process.shows(/waiting for g1 to come back$/m);
    await until('nothing is left on it', async () => {
      const { stdout } = await bed.topology.gateway.shell(
        'tc filter show dev other ingress; tc qdisc show dev other',
      );
      return !/natgate|clsact/.test(stdout);
    });
    await ip(bed.topology.gateway, 'link set other name g1');
    await ip(bed.topology.gateway, 'link set g1 up');
    await ip(bed.topology.gateway, `route add default via 198.18.0.2`);
    await gateway.process.shows(/g1 is back$/m);
    // Whether that was before it came up, or after, nobody knows.
    await until('it has its address', async () => {
      const { stdout } = await gateway.cli('status', ['--json']);
      return JSON.parse(stdout).external === '198.18.0.1';
    });
    await talk.goesOn();
    await expectJournalled();
  });

  it('is gone when the gateway stops: all else is undone', async () => {
    const gateway = await bed.start();
    await ip(bed.topology.gateway, 'link del g0');
    await gateway.process.shows(/waiting for g0 to come back$/m);
    expect(await gateway.process.stop()).toBe(0);
    const { stdout } = await bed.topology.gateway.shell('ip -br link; tc qdisc show dev g1');
    expect(stdout).not.toMatch(/natgate|clsact/);
  });

  it('that is not there at the start is an error', async () => {
    await ip(bed.topology.gateway, 'link del g0');
    await expect(bed.start()).rejects.toThrow(/there is no interface g0/);
  });

  it('private, goes down and up under flows: they go on', async () => {
    await bed.start();
    const talk = await bed.talk();
    for (let round = 0; round < 3; round++) {
      await ip(bed.topology.gateway, 'link set g0 down');
      await ip(bed.topology.gateway, 'link set g0 up');
      await talk.goesOn();
    }
  });

  it('public, goes down and up, takes its routes along and gets them back: flows that are kept go on', async () => {
    const gateway = await bed.start(KEEP);
    const talk = await bed.talk();
    await ip(bed.topology.gateway, 'link set g1 down');
    await gateway.process.shows(/waiting for g1 to come up$/m);
    expect((await ip(bed.topology.gateway, 'route show default')).stdout).toBe('');
    await ip(bed.topology.gateway, 'link set g1 up');
    await ip(bed.topology.gateway, `route add default via 198.18.0.2`);
    await gateway.process.shows(/the external address is \S+ now$/m);
    await talk.goesOn();
  });

  it.each([
    [
      'is down',
      ['link set g1 down'],
      ['link set g1 up', 'route add default via 198.18.0.2'],
      'g1 to come up',
    ],
    [
      'has lost its address',
      [`addr del ${GATEWAY_PUBLIC}/24 dev g1`],
      [`addr add ${GATEWAY_PUBLIC}/24 dev g1`, 'route add default via 198.18.0.2'],
      'an IPv4 address on g1',
    ],
  ])(
    'public, %s: when it is well again the host answers for none of natgate’s ports, before natgate knows',
    async (_, breaks, mends, waitsFor) => {
      const gateway = await bed.start(KEEP);
      const talk = await bed.talk();
      for (const command of breaks) await ip(bed.topology.gateway, command);
      await gateway.process.shows(new RegExp(`waiting for ${waitsFor}$`, 'm'));
      gateway.process.child.kill('SIGSTOP');
      for (const command of mends) await ip(bed.topology.gateway, command);
      // The host itself is there, and would refuse.
      await bed.topology.server.exec(`ping -c 1 -W 3 ${GATEWAY_PUBLIC}`);
      const { code } = await bed.topology.server.exec(`curl -sS -m 1 http://${GATEWAY_PUBLIC}:40000/`, {
        check: false,
      });
      gateway.process.child.kill('SIGCONT');
      expect(code, '28: nobody answered; 7: refused').toBe(28);
      await talk.goesOn();
    },
  );
});
