/**
 * The steering of a running gateway: which program is on which interface, with which constants.
 *
 *     private interface   privateIngress ──▶ its TUN        its TUN   tunIngress ──▶ private interface, or the host
 *     public interface    publicIngress  ──▶ its TUN        its TUN   tunIngress ──▶ public interface, or the host
 *     both in one         oneArmedIngress ─▶ either TUN     its TUNs  tunIngress ──▶ the interface, or the host
 *
 * An interface that is gone has no program, and that of its TUN drops what comes; one that is back is another interface, and gets a qdisc and
 * a filter of its own. What others do to the filters is found by `faults`.
 *
 * Programs have addresses and interface numbers baked in, so a change of those means another program in the same
 * place; the kernel swaps them without a packet in between. Routes and owned ports are maps, which programs share.
 */
import { closeSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Route } from '../../engine/routes.ts';
import { loadProgram } from '../../host/ebpf/load.ts';
import { type InterfaceFacts, isOneArmed } from '../../host/interfaces.ts';
import { isBare } from '../../host/netlink/links.ts';
import { applyStep } from '../../host/plan/apply.ts';
import { clsactStep, tunClsactStep } from '../../host/plan/clsact.ts';
import {
  attachedProgram,
  filterFault,
  filterStep,
  filtersBefore,
  undoFilter,
} from '../../host/plan/filter.ts';
import type { Journal } from '../../host/plan/journal.ts';
import type { Step } from '../../host/plan/step.ts';
import type { InterfaceReference } from '../../host/plan/undo-records.ts';
import { oneArmedIngress } from '../../host/steering/one-armed-ingress.ts';
import { privateIngress } from '../../host/steering/private-ingress.ts';
import { publicIngress } from '../../host/steering/public-ingress.ts';
import { PRIVATE_SIDE, type RouteMap } from '../../host/steering/routes-map.ts';
import { tunIngress } from '../../host/steering/tun-ingress.ts';
import type { NatConfig } from '../../nat/config.ts';
import { type HostView, isThere } from './host-follower.ts';

/** Marks a packet on its way from a TUN to the host (`natg` in ASCII); it is cleared on arrival. */
const HANDBACK_MARK = 0x6e617467;

/** What of the NAT configuration the programs depend on. */
export interface SteeringNeeds {
  /** Some forward is twice NAT: answers come to the gateway's private addresses. */
  twice: boolean;
  /** Some flows are not translated: answers come to private addresses. */
  exempt: boolean;
  /** The gateway's private addresses answer DNS. */
  dns: boolean;
}

export function steeringNeeds({ forwards, rules }: NatConfig, dns = false): SteeringNeeds {
  return {
    twice: forwards.some((forward) => forward.twice),
    exempt: rules.some((rule) => rule.action === 'none'),
    dns,
  };
}

export interface SteeringMaps {
  routes: RouteMap;
  ownedFd: number;
  /** Undefined: nobody is metered. */
  meterFd?: number;
}

interface Program {
  target: InterfaceReference;
  /** Shown by `tc filter show`. */
  role: 'private' | 'public' | 'both' | 'tun';
  code: Uint8Array;
  /** The kernel's number of it, once it is attached. */
  id: number;
}

/** A filter that somebody has deleted or replaced. */
export interface SteeringFault {
  /** Of the interface. */
  name: string;
  problem: string;
  /** Puts it back. */
  mend(): void;
}

export class Steering {
  readonly #maps: SteeringMaps;
  readonly #journal: Journal;
  #needs: SteeringNeeds;
  #tuns: readonly InterfaceReference[];
  /** Those whose filters are attached. */
  #programs: Program[];

  /** `tuns` by device index, as the interfaces of `view`. */
  constructor(
    maps: SteeringMaps,
    needs: SteeringNeeds,
    tuns: readonly InterfaceReference[],
    view: HostView,
    journal: Journal,
  ) {
    this.#maps = maps;
    this.#journal = journal;
    this.#needs = needs;
    this.#tuns = tuns;
    this.#programs = this.#build(view);
    this.syncRoutes(view);
  }

  /**
   * The steps that attach the programs: where packets leave before where they come in. Loads the programs; the
   * descriptors are closed by `close`.
   */
  steps(): { steps: Step[]; close(): void } {
    const fds = this.#programs.map(({ role, code }) => loadProgram(`natgate_${role}`, code));
    return {
      steps: this.#programs.map((program, i) => attachStep(program, fds[i]!)),
      close: () => fds.forEach((fd) => void closeSync(fd)),
    };
  }

  /**
   * Replaces the programs whose constants have changed, and attaches those of interfaces and TUNs that are new. Throws when one of them
   * could not be attached; the others are.
   */
  update(view: HostView): void {
    const before = this.#programs;
    this.#programs = this.#build(view);
    const errors: unknown[] = [];
    for (const program of this.#programs) {
      const old = before.find(({ target }) => target.index === program.target.index);
      program.id = old?.id ?? 0;
      if (old !== undefined && isDeepStrictEqual(program, old)) continue;
      try {
        this.#attach(program);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** TUNs were made anew; `update` follows. */
  setTuns(tuns: readonly InterfaceReference[]): void {
    this.#tuns = tuns;
  }

  /** Filters that are not as they were put. */
  faults(): SteeringFault[] {
    return this.#programs.flatMap((program) => {
      const { target, id } = program;
      const problem = filterFault(target, id);
      return problem === null ? [] : [{ name: target.name, problem, mend: () => this.#attach(program) }];
    });
  }

  /** Filters of others that see packets before natgate's do: what they are, as texts. */
  before(): string[] {
    return this.#programs.flatMap(({ target }) =>
      filtersBefore(target.index).map((filter) => `${filter} on ${target.name}`),
    );
  }

  /** With the qdisc, where that is not there. */
  #attach(program: Program): void {
    const { target, role, code } = program;
    const fd = loadProgram(`natgate_${role}`, code);
    try {
      applyStep(role === 'tun' ? tunClsactStep(target.name) : clsactStep(target), this.#journal);
      applyStep(attachStep(program, fd), this.#journal);
    } finally {
      closeSync(fd);
    }
  }

  /** The NAT configuration is another. */
  setNeeds(needs: SteeringNeeds, view: HostView): void {
    this.#needs = needs;
    this.update(view);
  }

  syncRoutes({ interfaces, routes }: { interfaces: HostView['interfaces']; routes: readonly Route[] }): void {
    this.#maps.routes.sync(routes, routeDevices(interfaces));
  }

  /** Takes the programs off: from now on the host stack sees every packet. The journal may undo it once more. */
  detach(): void {
    for (const { target } of this.#programs.toReversed()) undoFilter(target);
  }

  #build({ interfaces, shared }: HostView): Program[] {
    const last = interfaces.length - 1;
    const outside = interfaces[last]!;
    const [external = 0, ...former] = shared;
    const { routes, ownedFd, meterFd } = this.#maps;
    const devices = routeDevices(interfaces);
    // As in the engine (engine/devices.ts): twice NAT takes the address of the interface where a flow leaves, DNS where it comes in.
    const { dns } = this.#needs;
    const isLocalShared = this.#needs.twice || dns;
    const localOf = (i: number) => (isLocalShared && i !== last ? interfaces[i]!.address : 0);
    const leave = interfaces.map((facts, i): Program => {
      const addresses = [...new Set([external, ...former, localOf(i)])];
      const handback = { addresses, mac: macOf(facts), mark: HANDBACK_MARK };
      const device = facts.index;
      const code = tunIngress({ device, routeDevice: devices[i]!, routesMapFd: routes.fd, handback });
      return { target: this.#tuns[i]!, role: 'tun', code, id: 0 };
    });
    const arm = interfaces.findIndex((facts, i) => i < last && isOneArmed(facts, outside));
    const privateToTun = this.#needs.exempt;
    const enter = interfaces.flatMap((facts, i): Program[] => {
      const { name, index } = facts;
      if (i === arm || !isThere(facts)) return [];
      const options = {
        external,
        former,
        routesMapFd: routes.fd,
        ownedMapFd: ownedFd,
        handbackMark: HANDBACK_MARK,
      };
      const tunIndex = this.#tuns[i]!.index;
      const target = { name, index };
      if (i !== last) {
        const local = localOf(i) === external ? 0 : localOf(i);
        return [
          {
            target,
            role: 'private',
            code: privateIngress({ ...options, meterMapFd: meterFd, tunIndex, local, dns }),
            id: 0,
          },
        ];
      }
      if (arm < 0) {
        return [
          { target, role: 'public', code: publicIngress({ ...options, tunIndex, privateToTun }), id: 0 },
        ];
      }
      const tuns = { privateTun: this.#tuns[arm]!.index, publicTun: tunIndex };
      const code = oneArmedIngress({ ...options, ...tuns, device: index, privateToTun, dns });
      return [{ target, role: 'both', code, id: 0 }];
    });
    return [...leave, ...enter];
  }
}

/** What puts a program in its place, and remembers which it is there. */
function attachStep(program: Program, fd: number): Step {
  const { target, role } = program;
  const step = filterStep(target, fd, role);
  return {
    ...step,
    apply() {
      step.apply();
      program.id = attachedProgram(target.index);
    },
  };
}

/** What the route map calls the devices. */
function routeDevices(interfaces: HostView['interfaces']): number[] {
  const outside = interfaces.at(-1)!;
  return interfaces.map((facts, i) => {
    const isArm = i < interfaces.length - 1 && isOneArmed(facts, outside);
    return isArm ? facts.index | PRIVATE_SIDE : facts.index;
  });
}

/** 6 bytes, zero where there is none (PPP); null: packets need no header. */
function macOf(facts: InterfaceFacts): Uint8Array | null {
  if (isBare(facts)) return null;
  const mac = Buffer.alloc(6);
  Buffer.from(facts.mac.replaceAll(':', ''), 'hex').copy(mac);
  return mac;
}
