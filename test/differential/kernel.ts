/**
 * The kernel as the gateway: two TUN devices in the network namespace that this process runs in, netfilter's recipe
 * between them. A packet written into a TUN arrives from that side; what is read from one was sent to that side.
 *
 *     private 10.77.0.1/16 p0 ══ ip_forward, MASQUERADE, conntrack ══ w0 198.18.0.1/24 public, default route
 *
 * Forwarding happens within write(), so the answer is there when it returns; where one is missing that natgate gave,
 * a second look waits a moment, so that a busy machine makes no difference. TUNs have no neighbours to resolve.
 *
 * What is set apart from the recipe: the host takes nothing for itself (INPUT drops: natgate hands such packets back
 * to the host, which is no part of the comparison), errors are not rationed, IPv6 and redirects are off.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Output } from './output.ts';
import type { Side } from './step.ts';
import { TunLink } from './tun-link.ts';

const SECOND_LOOK_MS = 20;

const SYSCTLS: readonly (readonly [string, string])[] = [
  ['net/ipv4/ip_forward', '1'],
  ['net/ipv4/conf/all/rp_filter', '0'],
  ['net/ipv4/conf/default/rp_filter', '0'],
  ['net/ipv4/conf/all/send_redirects', '0'],
  ['net/ipv4/conf/default/send_redirects', '0'],
  // Datagrams that never become whole would be reported long after their sequence.
  ['net/ipv4/ipfrag_time', '86400'],
  ['net/ipv4/ipfrag_high_thresh', String(1 << 28)],
  ['net/ipv4/icmp_ratelimit', '0'],
  ['net/ipv4/icmp_ratemask', '0'],
  ['net/ipv6/conf/all/disable_ipv6', '1'],
  ['net/ipv6/conf/default/disable_ipv6', '1'],
];

/** As test/netns/support/gateway.ts has it, with the names of these devices. */
const RECIPE: readonly string[] = [
  '-t nat -A POSTROUTING -o w0 -j MASQUERADE',
  '-A FORWARD -i p0 -o w0 -j ACCEPT',
  '-A FORWARD -i w0 -o p0 -m state --state RELATED,ESTABLISHED -j ACCEPT',
  '-P FORWARD DROP',
  '-P INPUT DROP',
];

export class KernelGateway {
  private readonly link: TunLink;

  constructor() {
    for (const [name, value] of SYSCTLS) writeFileSync(`/proc/sys/${name}`, value);
    this.link = new TunLink(['p0', 'w0']);
    ip('link set lo up');
    ip('addr add 10.77.0.1/16 dev p0');
    ip('addr add 198.18.0.1/24 dev w0');
    for (const name of ['p0', 'w0']) ip(`link set ${name} up mtu 1500 txqueuelen 1000`);
    ip('route add default dev w0');
    for (const rule of RECIPE) execFileSync('iptables', ['-w', ...rule.split(' ')]);
  }

  /** Sends a packet in and returns what came out of it. */
  send(from: Side, packet: Uint8Array): Output[] {
    return this.link.send(from, packet);
  }

  /** What came later than expected. */
  lookAgain(): Output[] {
    return this.link.receive(SECOND_LOOK_MS);
  }
}

function ip(command: string): void {
  execFileSync('ip', command.split(' '));
}
