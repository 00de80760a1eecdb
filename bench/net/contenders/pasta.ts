import { CLIENT_ADDRESS, GATEWAY_PRIVATE_ADDRESS, SERVER_ADDRESS } from '../topology.ts';
import type { Contender } from '../types.ts';
import { ONE_CLIENT_ONE_FLOW } from '../workloads/index.ts';

/** pasta between the client's namespace and sockets of the gateway's. */
export const pasta: Contender = {
  name: 'pasta',
  about:
    "pasta with its own defaults for the client's TAP. Ends connections in sockets of its own instead of " +
    'translating packets, and uses one link less.',
  needs: [{ command: 'pasta', package: 'passt' }],
  workloads: ONE_CLIENT_ONE_FLOW,
  limits: 'it serves one client, and holds a socket for each flow',
  async start(topology) {
    await topology.ip(topology.client, 'link delete c0');
    // It takes the client's configuration from the interface with a default route.
    await topology.ip(topology.gateway, `route add default via ${SERVER_ADDRESS}`);
    await topology.sysctl(topology.gateway, 'net.ipv4.ping_group_range', '0 2147483647');
    const line =
      `-f --ipv4-only --runas 0 -i g1 --config-net -a ${CLIENT_ADDRESS} -g ${GATEWAY_PRIVATE_ADDRESS} -n 24 ` +
      `-t none -u none -T none -U none --netns /var/run/netns/${topology.client}`;
    const gateway = topology.start(topology.gateway, 'pasta', line.split(' '));
    await topology.clientConfigured(gateway);
    return [gateway];
  },
};
