/**
 * What natgate changes on the host before any program is attached, for a list of served interfaces. With the same
 * journal come later the filters (`filterStep`), when the programs are loaded, and then the addresses (`addressStep`).
 */
import type { NatConfig } from '../../nat/config.ts';
import type { InterfaceFacts } from '../interfaces.ts';
import { readIngressQdisc } from '../netlink/tc.ts';
import { clsactStep, tunClsactStep } from './clsact.ts';
import { localPortsStep, type PortRange } from './local-ports.ts';
import { hasLro, lroStep } from './lro.ts';
import { portsToReserve, reservedPortsStep } from './reserved-ports.ts';
import type { Step } from './step.ts';
import { type TunStep, tunStep, tunUpStep } from './tun.ts';
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
}

export interface HostPlan {
  steps: Step[];
  /** Their descriptors are open once the plan is applied. */
  tuns: TunStep[];
}

/** Only looks at the host. Steps that have nothing to do there are left out. */
export function hostPlan(options: HostPlanOptions): HostPlan {
  const { stateRoot, name, interfaces, ports, nat, txQueueLength, workers } = options;
  const tuns = interfaces.map((facts, i) => {
    const side = i === interfaces.length - 1 ? 'public' : 'private';
    return tunStep(facts.name, { count: workers, side });
  });
  const devices: InterfaceReference[] = interfaces.map(({ name: device, index }) => ({
    name: device,
    index,
  }));
  const reserved = portsToReserve(nat, ports);
  return {
    tuns,
    steps: [
      ...tuns,
      ...tuns.map((tun) => tunUpStep(tun.device, txQueueLength)),
      ...devices.filter((device) => hasLro(device.name)).map(lroStep),
      localPortsStep({ stateRoot, name, ports }),
      ...(reserved.length === 0 ? [] : [reservedPortsStep(reserved)]),
      ...devices.filter((device) => needsClsact(device.index)).map(clsactStep),
      ...tuns.map((tun) => tunClsactStep(tun.device)),
    ],
  };
}

/** A shared block counts as well: the step then says why that will not do. */
function needsClsact(index: number): boolean {
  const present = readIngressQdisc(index);
  return present === null || present.block !== 0;
}
