/**
 * A one-line script that a private host runs to see whether it has what it needs: POSIX sh, and of programs ip, ping and getent
 * only. It prints a line for each thing that was looked at, and ends with 1 when one of them is wrong.
 */
export interface Expected {
  gateway: string;
  /** Where the gateway leads: an address beyond it that answers pings. */
  outside: string;
  /** A name that can be looked up. */
  name: string;
  /** Bytes of an IPv4 packet that must get through whole. */
  mtu: number;
}

/** IPv4 and ICMP header of a ping. */
const PING_HEADERS = 28;

export function checkScript({ gateway, outside, name, mtu }: Expected): string {
  const steps = [
    step(
      'route',
      `case "$(ip -4 route get ${outside})" in *" via ${gateway} "*) true;; *) false;; esac`,
      `${outside} is reached by ${gateway}`,
      `ip route replace default via ${gateway}`,
    ),
    step(
      'gateway',
      ping(`${gateway}`),
      `${gateway} answers`,
      'is this host in the same network? look at its address and cable',
    ),
    step(
      'DNS',
      `getent ahostsv4 ${name} >/dev/null`,
      `${name} is found`,
      'name a resolver in /etc/resolv.conf: natgate clients says which',
    ),
    step('outside', ping(outside), `${outside} answers`, 'on the gateway: natgate status, natgate doctor'),
    step(
      'MTU',
      ping(`-M do -s ${mtu - PING_HEADERS} ${outside}`),
      `packets of ${mtu} bytes get there whole`,
      'a smaller MTU is in the way: TCP is adapted to it by natgate (clamp-mss), others need ip link set mtu',
    ),
    'case "$(ip -6 route show default)" in "") ;; *) echo "warn IPv6: there is a default route of IPv6, which does not lead through natgate";; esac',
  ];
  return `r=0; ${steps.join('; ')}; (exit $r)`;
}

function ping(words: string): string {
  return `ping -c1 -W2 ${words} >/dev/null 2>&1`;
}

function step(what: string, command: string, good: string, remedy: string): string {
  return `if ${command}; then echo "ok   ${what}: ${good}"; else echo "FAIL ${what}: try: ${remedy}"; r=1; fi`;
}
