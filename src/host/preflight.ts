/**
 * Looks at the host before natgate changes it: `run` stops at the first failure, `doctor` shows everything.
 * Nothing of the host is changed, apart from a TUN device that exists for the moment of the probe.
 */
import { NatgateError } from '../core/errors.ts';
import type { NatConfig } from '../nat/config.ts';
import type { Check } from './checks/check.ts';
import { checkCloud } from './checks/cloud.ts';
import { checkDns, type DnsWish } from './checks/dns.ts';
import { checkInterfaces, type ServedInterfaces } from './checks/interfaces.ts';
import { checkIpv6 } from './checks/ipv6.ts';
import { checkAddon, checkCapabilities, checkDevices, checkKernel } from './checks/machine.ts';
import { checkNat } from './checks/nat.ts';
import { readNatFacts } from './checks/nat-facts.ts';
import { checkClaim, checkLocalPorts, checkPorts } from './checks/ports.ts';
import { checkDefaultRoute, checkForwarding, checkKernelNat, checkRules } from './checks/surroundings.ts';
import type { PortRange } from './plan/local-ports.ts';

export type { Check } from './checks/check.ts';

export interface HostCheckOptions {
  /** Without them only the machine is looked at. */
  interfaces?: ServedInterfaces;
  ports: PortRange;
  nat: NatConfig;
  dns?: DnsWish | null;
  name: string;
  stateRoot: string;
  /** Pid of a gateway that hands its name and interfaces over. */
  from?: number | undefined;
}

/** Every check, failures included. Where the addon is missing, what depends on it is left out. */
export function checkHost({ interfaces, ports, nat, dns, name, stateRoot, from }: HostCheckOptions): Check[] {
  const loaded = checkAddon();
  const checks = [checkKernel(), loaded, checkCapabilities()];
  if (loaded.status === 'fail') return checks;
  checks.push(...checkDevices());
  if (interfaces !== undefined) {
    const names = [...new Set([...interfaces.private, interfaces.public])];
    checks.push(...checkInterfaces(interfaces), ...checkClaim({ stateRoot, name, interfaces: names, from }));
  }
  const portChecks = checkPorts(ports);
  checks.push(...portChecks);
  if (portChecks.every((check) => check.status !== 'fail')) checks.push(...checkLocalPorts(ports));
  if (interfaces !== undefined && checks.every(isInterfaceThere)) {
    const facts = readNatFacts(interfaces);
    checks.push(...checkNat(nat, facts), ...checkDns(dns ?? null, facts));
  }
  checks.push(checkForwarding(), ...checkRules(), ...checkCloud());
  if (interfaces !== undefined) {
    checks.push(...checkDefaultRoute(interfaces.public));
    checks.push(checkKernelNat(interfaces.public), ...checkIpv6(interfaces.private));
  }
  return checks;
}

function isInterfaceThere({ code }: Check): boolean {
  return code !== 'interface_unknown';
}

/** Throws the first failure as a NatgateError; returns the warnings, but for what nobody can see from this host. */
export function requireHost(options: HostCheckOptions): Check[] {
  const checks = checkHost(options);
  const failure = checks.find((check) => check.status === 'fail');
  if (failure !== undefined) throw new NatgateError(failure.code, failure.what, failure.remedy);
  return checks.filter((check) => check.status === 'warn' && check.name !== 'cloud');
}
