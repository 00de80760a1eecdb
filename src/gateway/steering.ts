/**
 * The steering of a running gateway: which program is on which interface, with which constants.
 *
 *     private interface   privateIngress ──▶ its TUN        its TUN   tunIngress ──▶ private interface, or the host
 *     public interface    publicIngress  ──▶ its TUN        its TUN   tunIngress ──▶ public interface, or the host
 *
 * Programs have addresses and interface numbers baked in, so a change of those means another program in the same
 * place; the kernel swaps them without a packet in between. Routes and owned ports are maps, which programs share.
 */
import { closeSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Route } from '../engine/routes.ts';
import { loadProgram } from '../host/ebpf/load.ts';
import { filterStep, replaceFilter, undoFilter } from '../host/plan/filter.ts';
import type { Step } from '../host/plan/step.ts';
import type { InterfaceReference } from '../host/plan/undo-records.ts';
import { privateIngress } from '../host/steering/private-ingress.ts';
import { publicIngress } from '../host/steering/public-ingress.ts';
import type { RouteMap } from '../host/steering/routes-map.ts';
import { tunIngress } from '../host/steering/tun-ingress.ts';
import type { NatConfig } from '../nat/config.ts';
import type { HostView } from './host-follower.ts';

/** Marks a packet on its way from a TUN to the host (`natg` in ASCII); it is cleared on arrival. */
const HANDBACK_MARK = 0x6e617467;

/** What of the NAT configuration the programs depend on. */
export interface SteeringNeeds {
  /** Some forward is twice NAT: answers come to the gateway's private address. */
  twice: boolean;
  /** Some flows are not translated: answers come to private addresses. */
  exempt: boolean;
}

export function steeringNeeds({ forwards, rules }: NatConfig): SteeringNeeds {
  return {
    twice: forwards.some((forward) => forward.twice),
    exempt: rules.some((rule) => rule.action === 'none'),
  };
}

export interface SteeringMaps {
  routes: RouteMap;
  ownedFd: number;
}

interface Program {
  target: InterfaceReference;
  /** Shown by `tc filter show`. */
  role: 'private' | 'public' | 'tun';
  code: Uint8Array;
}

export class Steering {
  readonly #maps: SteeringMaps;
  readonly #needs: SteeringNeeds;
  readonly #tuns: readonly InterfaceReference[];
  /** Those whose filters are attached. */
  #programs: Program[];

  /** `tuns` by device index, as the interfaces of `view`. */
  constructor(maps: SteeringMaps, needs: SteeringNeeds, tuns: readonly InterfaceReference[], view: HostView) {
    this.#maps = maps;
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
      steps: this.#programs.map(({ target, role }, i) => filterStep(target, fds[i]!, role)),
      close: () => fds.forEach((fd) => void closeSync(fd)),
    };
  }

  /** Replaces the programs whose constants have changed. */
  update(view: HostView): void {
    const programs = this.#build(view);
    programs.forEach((program, i) => {
      if (isDeepStrictEqual(program, this.#programs[i])) return;
      const fd = loadProgram(`natgate_${program.role}`, program.code);
      try {
        replaceFilter(program.target.index, fd, program.role);
      } finally {
        closeSync(fd);
      }
    });
    this.#programs = programs;
  }

  syncRoutes({ interfaces, routes }: { interfaces: HostView['interfaces']; routes: readonly Route[] }): void {
    this.#maps.routes.sync(
      routes,
      interfaces.map(({ index }) => index),
    );
  }

  /** Takes the programs off: from now on the host stack sees every packet. The journal may undo it once more. */
  detach(): void {
    for (const { target } of this.#programs.toReversed()) undoFilter(target);
  }

  #build({ interfaces, devices }: HostView): Program[] {
    const last = interfaces.length - 1;
    const external = interfaces[last]!.address;
    const former = devices[last]!.former ?? [];
    // That of the first private interface, as in the engine (engine/devices.ts).
    const local = this.#needs.twice ? interfaces[0]!.address : 0;
    const { routes, ownedFd } = this.#maps;
    const leave = interfaces.map((facts, i): Program => {
      const mac = Buffer.from(facts.mac.replaceAll(':', ''), 'hex');
      const addresses = i === last ? [external, ...former] : [external, ...former, local];
      const handback = { addresses, mac, mark: HANDBACK_MARK };
      const code = tunIngress({ device: facts.index, routesMapFd: routes.fd, handback });
      return { target: this.#tuns[i]!, role: 'tun', code };
    });
    const enter = interfaces.map(({ name, index }, i): Program => {
      const options = {
        tunIndex: this.#tuns[i]!.index,
        external,
        former,
        routesMapFd: routes.fd,
        ownedMapFd: ownedFd,
        handbackMark: HANDBACK_MARK,
      };
      const target = { name, index };
      return i === last
        ? { target, role: 'public', code: publicIngress({ ...options, privateToTun: this.#needs.exempt }) }
        : { target, role: 'private', code: privateIngress({ ...options, local }) };
    });
    return [...leave, ...enter];
  }
}
