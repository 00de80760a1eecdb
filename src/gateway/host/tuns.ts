/**
 * The TUN devices of a gateway, and what happens when somebody deletes one: it is made anew, with the same name and other descriptors, which
 * only another engine can get. That one takes over the flows; packets wait in the queues meanwhile.
 */
import type { HostPlan } from '../../host/plan/host-plan.ts';
import type { TunStep } from '../../host/plan/tun.ts';
import type { InterfaceReference } from '../../host/plan/undo-records.ts';

export class Tuns {
  readonly #tuns: readonly TunStep[];
  /** What brings each up. */
  readonly #links: HostPlan['links'];

  /** Of a plan that is applied. */
  constructor({ tuns, links }: Pick<HostPlan, 'tuns' | 'links'>) {
    this.#tuns = tuns;
    this.#links = links;
  }

  /** Of each device a queue for each worker, as an engine gets them. */
  get fds(): number[] {
    return this.#tuns.flatMap((tun) => tun.fds);
  }

  get names(): string[] {
    return this.#tuns.map(({ device }) => device);
  }

  /** The same with the names of their devices. */
  get queues(): { device: string; fd: number }[] {
    return this.#tuns.flatMap(({ device, fds }) => fds.map((fd) => ({ device, fd })));
  }

  /** By device. */
  get references(): InterfaceReference[] {
    return this.#tuns.map(({ device, index }) => ({ name: device, index }));
  }

  /** Those that are not there any more. */
  get lost(): { tun: TunStep; problem: string }[] {
    return this.#tuns.flatMap((tun) => {
      const problem = tun.check();
      return problem === null ? [] : [{ tun, problem }];
    });
  }

  /** What brings TUNs up that are there, and keeps them so: MTU, queue, clsact. */
  get links(): HostPlan['links'][number] {
    return this.#links.flat();
  }

  /** Makes one anew: the journal knows it by its name already. Throws NatgateError, SystemError. */
  remake(tun: TunStep): void {
    tun.close();
    tun.apply();
    for (const step of this.#links[this.#tuns.indexOf(tun)]!) step.apply();
  }

  close(): void {
    for (const tun of this.#tuns) tun.close();
  }
}
