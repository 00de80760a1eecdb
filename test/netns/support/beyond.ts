/**
 * A fourth namespace, one hop behind the server, which becomes a router:
 *
 *     … gateway ═══ 198.18.0.2 server 203.0.113.1 ═══ 203.0.113.2 beyond
 *                                  s1             b0
 */
import { run } from './process.ts';
import { ip, Namespace, type Topology } from './topology.ts';

export const BEYOND = '203.0.113.2';

/** Adds it to a topology, before which it need not be removed: `destroy` takes it along. */
export async function addBeyond(t: Topology, mtu = 1500): Promise<Namespace> {
  const beyond = new Namespace(`${t.server.name}-beyond`);
  await run(['ip', 'netns', 'add', beyond.name]);
  t.extra.push(beyond);
  await run(`ip link add s1 netns ${t.server.name} type veth peer name b0 netns ${beyond.name}`.split(' '));
  await ip(t.server, 'addr add 203.0.113.1/24 dev s1');
  await ip(t.server, `link set s1 up mtu ${mtu}`);
  await ip(beyond, 'link set lo up');
  await ip(beyond, `addr add ${BEYOND}/24 dev b0`);
  await ip(beyond, `link set b0 up mtu ${mtu}`);
  await ip(beyond, 'route add default via 203.0.113.1');
  await t.server.exec('sysctl -qw net.ipv4.ip_forward=1');
  return beyond;
}
