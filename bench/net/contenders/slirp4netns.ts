import type { Contender } from '../types.ts';
import { ONE_CLIENT_ONE_FLOW } from '../workloads/index.ts';

/**
 * slirp4netns between the client's namespace and sockets of the gateway's. Twice, because a TAP's MTU decides
 * its throughput: 65520 is what container runtimes set, 1500 what a network has.
 */
function slirp4netns(mtu: number): Contender {
  return {
    name: `slirp4netns-${mtu}`,
    about:
      `slirp4netns with MTU ${mtu} on the client's TAP. Ends connections in sockets of its own instead of ` +
      'translating packets, and uses one link less.',
    needs: [{ command: 'slirp4netns', package: 'slirp4netns' }],
    workloads: ONE_CLIENT_ONE_FLOW,
    limits: 'it serves one client, and holds a socket for each flow',
    async start(topology) {
      await topology.ip(topology.client, 'link delete c0');
      // It pings from an unprivileged ICMP socket, which a new namespace allows to nobody.
      await topology.sysctl(topology.gateway, 'net.ipv4.ping_group_range', '0 2147483647');
      const gateway = topology.start(topology.gateway, 'slirp4netns', [
        '--configure',
        `--mtu=${mtu}`,
        '--disable-host-loopback',
        '--netns-type=path',
        `/var/run/netns/${topology.client}`,
        'tap0',
      ]);
      await topology.clientConfigured(gateway);
      return [gateway];
    },
  };
}

export const slirp4netns65520 = slirp4netns(65520);
export const slirp4netns1500 = slirp4netns(1500);
