/** natgate's engine in memory, a new one for each configuration. */
import { examine } from '../../src/gateway/config/load.ts';
import { MemoryGateway } from '../../src/testing/memory-gateway.ts';
import type { Output } from '../differential/output.ts';
import type { Natgate, Sent } from './natgate.ts';

const MS_PER_PACKET = 20;

export class MemoryNatgate implements Natgate {
  readonly devices = { private: 'private', public: 'public' };
  #gateway: MemoryGateway | null = null;
  #handedBack = 0;

  async load(text: string): Promise<void> {
    const { options, problems } = examine({
      name: 'x',
      stateRoot: '/run/x',
      flags: {},
      file: { path: 'natgate.yaml', text },
    });
    if (options === null) throw new Error(`${text}\n${problems.map(({ what }) => what).join('\n')}`);
    this.#gateway = new MemoryGateway({
      private: '10.77.0.1/16',
      public: '198.18.0.1/24',
      ports: options.ports,
      nat: options.nat,
      firewall: options.firewall,
      wallClock: Date.now(),
    });
    this.#handedBack = 0;
  }

  async send(packets: readonly Sent[]): Promise<Output[]> {
    return packets.flatMap((packet) => this.#pass(packet));
  }

  #pass({ side, packet }: Sent): Output[] {
    const gateway = this.#gateway!;
    gateway.now += MS_PER_PACKET;
    if (side === 'private') gateway.sendPrivate(packet);
    else gateway.sendPublic(packet);
    const outputs: Output[] = [
      ...gateway.receivePrivate().map((sent) => ({ to: 'private' as const, packet: sent })),
      ...gateway.receivePublic().map((sent) => ({ to: 'public' as const, packet: sent })),
    ];
    // What is the host's comes back to the side that it came from.
    const handedBack = gateway.totals()['handed_back']!;
    const own = handedBack - this.#handedBack;
    this.#handedBack = handedBack;
    return own === 0 ? outputs : outputs.filter(({ to }) => to !== side);
  }

  async close(): Promise<void> {}
}
