/**
 * The lab's three namespaces:
 *
 *     private (10.77.0.2) c0 ══ g0 (10.77.0.1) gateway (198.18.0.1) g1 ══ s0 (198.18.0.2) internet
 *
 * The internet side has no route to 10.77.0.0/24, so only translated packets come back from it. (The lab gives it
 * one for the break-in: an attacker on the gateway's own link has it as well.)
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Children } from './children.ts';

export const PRIVATE_HOST = '10.77.0.2';
export const PRIVATE_NET = '10.77.0.0/24';
export const GATEWAY_PRIVATE = '10.77.0.1';
export const GATEWAY_PUBLIC = '198.18.0.1';
export const INTERNET_HOST = '198.18.0.2';
/** Of the server on the internet side. */
export const HTTP_PORT = 8000;

export class LabTopology {
  readonly private: string;
  readonly gateway: string;
  readonly internet: string;

  /** `label` keeps the namespaces of labs that run at the same time apart. */
  constructor(label: string) {
    this.private = `${label}-private`;
    this.gateway = `${label}-gateway`;
    this.internet = `${label}-internet`;
  }

  /** The command line that runs `argv` inside a namespace. */
  inside(namespace: string, argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', namespace, ...argv];
  }

  async make(children: Children): Promise<void> {
    const ip = (command: string) => children.run('topology', ['ip', ...command.split(' ')]);
    for (const namespace of [this.private, this.gateway, this.internet]) {
      await ip(`netns add ${namespace}`);
      await ip(`-n ${namespace} link set lo up`);
    }
    await ip(`link add c0 netns ${this.private} type veth peer name g0 netns ${this.gateway}`);
    await ip(`link add s0 netns ${this.internet} type veth peer name g1 netns ${this.gateway}`);
    for (const [namespace, device, address] of [
      [this.private, 'c0', PRIVATE_HOST],
      [this.gateway, 'g0', GATEWAY_PRIVATE],
      [this.gateway, 'g1', GATEWAY_PUBLIC],
      [this.internet, 's0', INTERNET_HOST],
    ] as const) {
      await ip(`-n ${namespace} addr add ${address}/24 dev ${device}`);
      await ip(`-n ${namespace} link set ${device} up`);
    }
    await ip(`-n ${this.private} route add default via ${GATEWAY_PRIVATE}`);
    await ip(`-n ${this.gateway} route add default via ${INTERNET_HOST}`);
  }

  /** Removes what `make` has made, as far as it came. The processes inside have to be gone. */
  remove(): void {
    for (const namespace of [this.private, this.gateway, this.internet]) {
      if (existsSync(`/run/netns/${namespace}`)) execFileSync('ip', ['netns', 'del', namespace]);
    }
  }
}
