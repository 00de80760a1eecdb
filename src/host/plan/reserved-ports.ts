/**
 * Keeps the kernel from giving a forwarded port of the shared address to a connection of the host's own
 * (net.ipv4.ip_local_reserved_ports). Ports of natgate's own range need no reservation (local-ports.ts).
 *
 * Limit: two gateways in one network namespace that forward the same port: it is free again when the first one stops.
 */
import type { NatConfig } from '../../nat/config.ts';
import type { PortRange } from './local-ports.ts';
import type { Step } from './step.ts';
import { readSysctl, writeSysctl } from './sysctl.ts';

const SETTING = 'net/ipv4/ip_local_reserved_ports';

/** Forwarded ports of the shared address outside natgate's own range, ascending. */
export function portsToReserve(nat: NatConfig, own: PortRange): number[] {
  const ports = new Set<number>();
  for (const { address, ports: range } of nat.forwards) {
    if (address !== 0) continue;
    for (let port = range.first; port <= range.last; port++) {
      if (port < own.first || port > own.last) ports.add(port);
    }
  }
  return [...ports].sort((a, b) => a - b);
}

export function reservedPortsStep(ports: readonly number[]): Step {
  const list = formatPorts(ports);
  return {
    name: `reserved ports ${list}`,
    show: `sysctl -w net.ipv4.ip_local_reserved_ports='${formatPorts([...readReserved(), ...ports])}'`,
    prepare() {
      const reserved = new Set(readReserved());
      const added = ports.filter((port) => !reserved.has(port));
      return added.length === 0 ? null : { kind: 'reserved-ports', ports: formatPorts(added) };
    },
    apply: () => writeSysctl(SETTING, formatPorts([...readReserved(), ...ports])),
    check() {
      const reserved = new Set(readReserved());
      const missing = ports.filter((port) => !reserved.has(port));
      return missing.length === 0 ? null : `${SETTING} lacks ${formatPorts(missing)}`;
    },
  };
}

export function undoReservedPorts(list: string): null {
  const ours = new Set(parsePorts(list));
  // The kernel takes an empty line, but not an empty write, for an empty list.
  writeSysctl(SETTING, formatPorts(readReserved().filter((port) => !ours.has(port))) || '\n');
  return null;
}

function readReserved(): number[] {
  return parsePorts(readSysctl(SETTING) ?? '');
}

/** `8080,9000-9010`. */
export function parsePorts(list: string): number[] {
  return list
    .split(',')
    .filter(Boolean)
    .flatMap((word) => {
      const [first = 0, last = first] = word.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

/** In the kernel's form: ascending, neighbours as ranges. */
export function formatPorts(ports: readonly number[]): string {
  const ranges: PortRange[] = [];
  for (const port of [...new Set(ports)].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last?.last === port - 1) last.last = port;
    else ranges.push({ first: port, last: port });
  }
  return ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join();
}
