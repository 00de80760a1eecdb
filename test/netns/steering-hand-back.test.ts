/** What the stand-in of the engine hands back reaches the host, as received on the interface where it came in. */
import { expect, test } from 'vitest';
import { INTERNET, useStandIn } from './steering-bed.ts';
import { SO_BINDTODEVICE, SOL_SOCKET } from './support/agent.ts';
import { ethernet, ipv4, parseIpv4, udp } from './support/packets.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER } from './support/topology.ts';

const bed = useStandIn();

test('what is handed back reaches a socket bound to the public interface, under strict rp_filter', async () => {
  await bed.net.gateway.exec('sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.g1.rp_filter=1');
  const socket = await bed.host.udp(['0.0.0.0', 4010]);
  await socket.option(SOL_SOCKET, SO_BINDTODEVICE, Buffer.from('g1'));
  const packet = udp({ src: INTERNET, dst: GATEWAY_PUBLIC, sport: 53, dport: 4010 }, Buffer.from('yours'));
  const seen = await bed.reaches(async () => {
    bed.write(1, packet);
    const [data, from] = await socket.receiveFrom();
    expect([data.toString(), from]).toEqual(['yours', [INTERNET, 53]]);
  });
  expect(seen).toEqual([]);
  await socket.close();
});

test('fragments that are handed back are put together by the host', async () => {
  const socket = await bed.host.udp(['0.0.0.0', 4011]);
  const whole = udp(
    { src: SERVER, dst: GATEWAY_PUBLIC, sport: 53, dport: 4011, id: 77 },
    Buffer.alloc(2000, 'fragment '),
  );
  const fragments = split(whole, 1480);
  const seen = await bed.reaches(() =>
    bed.server.inject(
      's0',
      fragments.map((fragment) => ethernet(bed.macs.g1, bed.macs.s0, fragment)),
    ),
  );
  expect(seen.map(({ tun, packet }) => ({ tun, packet }))).toEqual(
    fragments.map((packet) => ({ tun: 1, packet })),
  );
  for (const { packet } of seen) bed.write(1, packet);
  expect((await socket.receive()).equals(whole.subarray(28))).toBe(true);
  await socket.close();
});

test('fragments from a private host to the host’s public address: to the TUN, and back to the host', async () => {
  await bed.net.gateway.exec('sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.g0.rp_filter=1');
  const socket = await bed.host.udp(['0.0.0.0', 4013]);
  await socket.option(SOL_SOCKET, SO_BINDTODEVICE, Buffer.from('g0'));
  const whole = udp(
    { src: CLIENT, dst: GATEWAY_PUBLIC, sport: 53, dport: 4013, id: 78 },
    Buffer.alloc(2000, 'hairpin '),
  );
  const fragments = split(whole, 1480);
  const seen = await bed.reaches(() =>
    bed.client.inject(
      'c0',
      fragments.map((fragment) => ethernet(bed.macs.g0, bed.macs.c0, fragment)),
    ),
  );
  expect(seen.map(({ tun, packet }) => ({ tun, packet }))).toEqual(
    fragments.map((packet) => ({ tun: 0, packet })),
  );
  // They do not come round again.
  const again = await bed.reaches(async () => {
    for (const { packet } of seen) bed.write(0, packet);
    const [data, from] = await socket.receiveFrom();
    expect([data.equals(whole.subarray(28)), from]).toEqual([true, [CLIENT, 53]]);
  });
  expect(again).toEqual([]);
  await socket.close();
});

test('netfilter rules of the host see what is handed back as received on the public interface', async () => {
  const socket = await bed.host.udp(['0.0.0.0', 4012]);
  const packet = udp({ src: SERVER, dst: GATEWAY_PUBLIC, sport: 53, dport: 4012 }, Buffer.from('filtered?'));
  const rule = 'INPUT -i g1 -p udp --dport 4012 -j DROP';
  await bed.net.gateway.exec(`iptables -w -A ${rule}`);
  bed.write(1, packet);
  await expect(socket.receive(0.5)).rejects.toThrow('ETIMEDOUT');
  expect((await bed.net.gateway.exec('iptables -w -L INPUT -v -x -n')).stdout).toMatch(/^ +1 .* g1 /m);
  await bed.net.gateway.exec(`iptables -w -D ${rule}`);
  bed.write(1, packet);
  expect((await socket.receive()).toString()).toBe('filtered?');
  await socket.close();
});

/** Cuts a packet without options into two fragments; `at` bytes of its payload are in the first. */
function split(whole: Buffer, at: number): Buffer[] {
  const { src, dst, protocol, id, payload } = parseIpv4(whole)!;
  return [
    ipv4({ src, dst, protocol, id, mf: true }, payload.subarray(0, at)),
    ipv4({ src, dst, protocol, id, offset: at }, payload.subarray(at)),
  ];
}
