/**
 * What natgate changes on the host before any program is attached, for a list of served interfaces. With the same
 * journal come later the filters (`filterStep`), when the programs are loaded, and then the addresses (`addressStep`).
 */
import type { NatConfig } from '../../nat/config.ts';
import { type InterfaceFacts, isOneArmed } from '../interfaces.ts';
import { readIngressQdisc } from '../netlink/tc.ts';
import { clsactStep, tunClsactStep } from './clsact.ts';
import { localPortsStep, type PortRange } from './local-ports.ts';
import { hasLro, lroStep } from './lro.ts';
import { portsToReserve, reservedPortsStep } from './reserved-ports.ts';
import type { Step } from './step.ts';
import { sysctlStep } from './sysctl.ts';
import { privateTunName, type TunStep, tunName, tunStep, tunUpStep } from './tun.ts';
import type { InterfaceReference } from './undo-records.ts';

export interface HostPlanOptions {
  stateRoot: string;
  name: string;
  /** Private interfaces first, the public one last; `tuns` of the plan has the same order. */
  interfaces: readonly InterfaceFacts[];
  ports: PortRange;
  nat: NatConfig;
  /** Packets a TUN holds for the engine. */
  txQueueLength: number;
  /** Queues of each TUN. */
  workers: number;
  /** Those that are open already, by device. */
  queues?: ReadonlyMap<string, readonly number[]> | undefined;
}

export interface HostPlan {
  steps: Step[];
  /** Their descriptors are open once the plan is applied. */
  tuns: TunStep[];
  /** Of these steps those that bring each TUN up; by device. */
  links: Step[][];
  /** Of these steps those that are about no interface. */
  settings: Step[];
}

/** Only looks at the host. Steps that have nothing to do there are left out. */
export function hostPlan(options: HostPlanOptions): HostPlan {
  const { stateRoot, name, interfaces, ports, nat, txQueueLength, workers } = options;
  const outside = interfaces.at(-1)!;
  const tuns = interfaces.map((facts) => {
    const side = facts === outside ? 'public' : 'private';
    const isPrivateOfBoth = side === 'private' && isOneArmed(facts, outside);
    const device = isPrivateOfBoth ? privateTunName(facts.name) : tunName(facts.name);
    return tunStep(facts.name, { count: workers, side, fds: options.queues?.get(device) }, device);
  });
  const isBoth = interfaces.some((facts) => facts !== outside && isOneArmed(facts, outside));
  const devices: InterfaceReference[] = interfaces
    .filter((facts, i) => interfaces.findIndex(({ index }) => index === facts.index) === i)
    .map(({ name: device, index }) => ({ name: device, index }));
  const ups = tuns.map((tun) => tunUpStep(tun.device, txQueueLength));
  const queues = tuns.map((tun) => tunClsactStep(tun.device));
  const reserved = portsToReserve(nat, ports);
  const settings = [
    ...(isBoth ? [noRedirects('all')] : []),
    localPortsStep({ stateRoot, name, ports }),
    ...(reserved.length === 0 ? [] : [reservedPortsStep(reserved)]),
  ];
  return {
    tuns,
    links: ups.map((up, i) => [up, queues[i]!]),
    settings,
    steps: [
      ...tuns,
      ...ups,
      ...devices.filter((device) => hasLro(device.name)).map(lroStep),
      ...(isBoth ? [noRedirects(outside.name)] : []),
      ...settings,
      ...devices.filter((device) => needsClsact(device.index)).map(clsactStep),
      ...queues,
    ],
  };
}

/** What natgate changes on one served interface, all of it: for one that has come back, and to look whether it is still so. */
export function interfaceSteps(device: InterfaceReference, isBoth: boolean): Step[] {
  return [lroStep(device), ...(isBoth ? [noRedirects(device.name)] : []), clsactStep(device)];
}

/**
 * Private hosts of a one-armed gateway reach the router by themselves as well, and a host that forwards tells them so (RFC 1812
 * 5.2.7.2). The kernel does not forward what natgate does; should it be made to, it must not lead them past natgate. A redirect
 * is sent when either setting says so.
 */
function noRedirects(interfaceName: string): Step {
  return sysctlStep(['net', 'ipv4', 'conf', interfaceName, 'send_redirects'], '0');
}

/** A shared block counts as well: the step then says why that will not do. */
function needsClsact(index: number): boolean {
  const present = readIngressQdisc(index);
  return present === null || present.block !== 0;
}
