/**
 * Runs in the gateway's namespace for steering.test.ts: sets up TUNs and steering programs and then stands where
 * the engine would, under remote control. Every IPv4 packet that a TUN gives is a line on stdout; every line on
 * stdin is a packet to write to one.
 *
 *     c0 ── g0 ── TUN 0 ── this process ── TUN 1 ── g1 ── s0        TUN 2: an interface without Ethernet, steered
 *                                                                   as a public one whose address is L3_ADDRESS
 */
import { execFileSync } from 'node:child_process';
import { readSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Route, TO_HOST } from '../../src/engine/routes.ts';
import { loadProgram } from '../../src/host/ebpf/load.ts';
import { type InterfaceFacts, readInterfaces } from '../../src/host/interfaces.ts';
import { addClsact, attachProgram } from '../../src/host/netlink/tc.ts';
import { createOwnedMap } from '../../src/host/steering/owned-map.ts';
import { privateIngress } from '../../src/host/steering/private-ingress.ts';
import { publicIngress } from '../../src/host/steering/public-ingress.ts';
import { RouteMap } from '../../src/host/steering/routes-map.ts';
import { tunIngress } from '../../src/host/steering/tun-ingress.ts';
import { addon } from '../../src/link/addon.ts';
import { OWNED_BYTES, OWNED_TCP, OWNED_UDP, setOwned } from '../../src/nat/owned.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { L3_ADDRESS, OWNED_PORT } from './steering-shared.ts';
import { CLIENT, GATEWAY_PRIVATE, GATEWAY_PUBLIC, SERVER } from './support/topology.ts';

const TUNS = ['natgate-g0', 'natgate-g1', 'natgate-l3'];
const VNET_HEADER = 10;
const HANDBACK_MARK = 0x6e67;

const fds = TUNS.map((name) => {
  const { fd } = addon().tunOpen(name);
  execFileSync('sysctl', ['-qw', `net.ipv6.conf.${name}.disable_ipv6=1`]);
  execFileSync('ip', ['link', 'set', name, 'mtu', '9000', 'up']);
  return fd;
});
const [g0, g1, tun0, tun1, l3] = readInterfaces(['g0', 'g1', ...TUNS]) as FiveInterfaces;
type FiveInterfaces = [InterfaceFacts, InterfaceFacts, InterfaceFacts, InterfaceFacts, InterfaceFacts];

const address = (text: string) => parseAddress(text) as number;
const route = (prefix: string, length: number, device: number, gateway = '0.0.0.0'): Route => {
  return { prefix: address(prefix), length, device, gateway: address(gateway), mtu: 0 };
};

const routes = RouteMap.create();
routes.sync(
  [
    route('0.0.0.0', 0, 1, SERVER),
    route('198.18.0.0', 24, 1),
    route(GATEWAY_PUBLIC, 32, TO_HOST),
    route('10.77.0.0', 24, 0),
    route(GATEWAY_PRIVATE, 32, TO_HOST),
    route('10.88.0.0', 24, 0, CLIENT),
  ],
  [g0.index, g1.index],
);
const owned = createOwnedMap();
const bitmap = new Uint8Array(addon().mmap(owned, OWNED_BYTES, true));
setOwned(bitmap, OWNED_TCP, OWNED_PORT, true);
setOwned(bitmap, OWNED_UDP, OWNED_PORT, true);

const maps = { routesMapFd: routes.fd, ownedMapFd: owned };
const external = address(GATEWAY_PUBLIC);
attach(
  g0,
  'private',
  privateIngress({ ...maps, tunIndex: tun0.index, external, local: 0, handbackMark: HANDBACK_MARK }),
);
attach(
  g1,
  'public',
  publicIngress({
    ...maps,
    tunIndex: tun1.index,
    external,
    privateToTun: false,
    handbackMark: HANDBACK_MARK,
  }),
);
attach(tun0, 'tun0', leave(g0));
attach(tun1, 'tun1', leave(g1));
attach(
  l3,
  'l3',
  publicIngress({
    ...maps,
    tunIndex: tun0.index,
    external: address(L3_ADDRESS),
    privateToTun: false,
    handbackMark: HANDBACK_MARK,
  }),
);

function leave({ index, mac }: InterfaceFacts): Uint8Array {
  const handback = {
    addresses: [external],
    mac: Buffer.from(mac.replaceAll(':', ''), 'hex'),
    mark: HANDBACK_MARK,
  };
  return tunIngress({ device: index, routesMapFd: routes.fd, handback });
}

function attach(device: InterfaceFacts, name: string, program: Uint8Array): void {
  addClsact(device.index);
  attachProgram(
    { interface: device.index, priority: 1, handle: 1 },
    loadProgram(`st_${name}`, program),
    `st_${name}`,
  );
}

const buffer = Buffer.alloc(VNET_HEADER + 65536);
fds.forEach((fd, tun) => {
  addon().watchReadable(fd, () => {
    const length = readSync(fd, buffer);
    if (buffer[VNET_HEADER]! >> 4 !== 4) return;
    const vnet = buffer.toString('hex', 0, VNET_HEADER);
    console.log(JSON.stringify({ tun, vnet, packet: buffer.toString('base64', VNET_HEADER, length) }));
  });
});
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { tun, packet, vnet } = JSON.parse(line) as { tun: number; packet: string; vnet: string };
    writeSync(fds[tun]!, Buffer.concat([Buffer.from(vnet, 'hex'), Buffer.from(packet, 'base64')]));
  })
  .on('close', () => process.exit());
console.log('ready');
