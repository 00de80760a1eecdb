/**
 * Whether IPv6 leads round the gateway: natgate translates IPv4 and leaves IPv6 to the kernel. All of it is read from /proc.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Check, warn } from './check.ts';

const NAME = 'IPv6';
const GLOBAL_SCOPE = '00';
/** Of a route (linux/ipv6_route.h): learned from a router advertisement. */
const RTF_ADDRCONF = 0x00040000;
const RTF_REJECT = 0x0200;
const ICMPV6 = '003A';

const WHY = 'natgate translates IPv4 and leaves IPv6 to the kernel: it neither forwards it nor protects it';

/** `proc`: where procfs is. */
export function checkIpv6(privateInterfaces: readonly string[], proc = '/proc'): Check[] {
  const lines = (path: string) => rows(join(proc, path));
  const withAddress = lines('net/if_inet6')
    .filter(([, , , scope]) => scope === GLOBAL_SCOPE)
    .map((fields) => fields[5]!);
  const affected = privateInterfaces.filter((name) => withAddress.includes(name));
  const found: Check[] = [];
  if (affected.length > 0) {
    found.push(
      warn(
        NAME,
        `${affected.join(', ')} has a global IPv6 address`,
        WHY,
        'filter IPv6 forwarding with the kernel (net.ipv6.conf.all.forwarding, ip6tables), as without natgate',
      ),
    );
  }
  const forwarding = ['all', ...privateInterfaces].filter(
    (name) => rows(join(proc, `sys/net/ipv6/conf/${name}/forwarding`))[0]?.[0] === '1',
  );
  if (forwarding.length > 0) {
    found.push(
      warn(
        NAME,
        `the kernel forwards IPv6 (net.ipv6.conf.${forwarding[0]}.forwarding is 1)`,
        `private hosts that have IPv6 addresses reach the internet, and are reached, past natgate's rules. ${WHY}`,
        '`sysctl -w net.ipv6.conf.all.forwarding=0`, unless IPv6 is wanted and filtered by the kernel',
      ),
    );
  }
  const others = new Set(
    lines('net/ipv6_route')
      .filter(isAdvertisedDefault)
      .map((fields) => fields[9]!)
      .filter((name) => privateInterfaces.includes(name)),
  );
  for (const name of others) {
    found.push(
      warn(
        NAME,
        `another router advertises IPv6 on ${name}`,
        'private hosts prefer IPv6, and send it to that router: round the gateway',
        `stop its router advertisements, or block IPv6 on that network; on a host: \`sysctl -w net.ipv6.conf.all.disable_ipv6=1\``,
      ),
    );
  }
  const isAdvertising = lines('net/raw6').some(([, local]) => local?.split(':').at(-1) === ICMPV6);
  if (isAdvertising && affected.length > 0) {
    found.push(
      warn(
        NAME,
        'a program of this host holds an ICMPv6 socket, as those do that send router advertisements',
        'private hosts that hear them send IPv6 to this host, and natgate does not see it',
        'stop radvd, or dnsmasq’s `enable-ra`, unless IPv6 is wanted: `ss -lwp` shows whose the socket is',
      ),
    );
  }
  return found;
}

function isAdvertisedDefault([prefix, length, , , , , , , flags]: readonly string[]): boolean {
  const bits = Number.parseInt(flags ?? '0', 16);
  return (
    length === '00' && /^0+$/.test(prefix ?? '') && (bits & RTF_ADDRCONF) !== 0 && (bits & RTF_REJECT) === 0
  );
}

/** Words of the lines of a file; none where there is no such file. */
export function rows(path: string): string[][] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n');
    return lines.filter((line) => line.trim() !== '').map((line) => line.trim().split(/\s+/));
  } catch {
    return [];
  }
}
