/** Addresses of one run of a sequence: fresh ones each time, so that no earlier run is in its way. */
import { parseAddress } from '../../src/wire/address.ts';
import type { View } from './build.ts';
import { type FlowSpec, ICMP, type Side } from './step.ts';

export const EXTERNAL = parseAddress('198.18.0.1')!;
const ROUTERS = { private: parseAddress('10.77.0.9')!, public: parseAddress('192.0.2.9')! };
const STRANGERS = { private: parseAddress('10.77.0.77')!, public: parseAddress('192.0.2.77')! };

/** Runs that have addresses of their own; four clients and four servers each. */
export const RUNS = 16_000;
/** Nothing is ever mapped to it: where packets for a flow go that the gateway has not sent anything of. */
const UNMAPPED = 1;

export class Plan {
  private readonly run: number;
  private readonly flows: readonly FlowSpec[];
  /** By flow: external port, or 0 when none is known. */
  readonly external: number[];

  constructor(run: number, flows: readonly FlowSpec[]) {
    this.run = run % RUNS;
    this.flows = flows;
    this.external = flows.map(() => 0);
  }

  client(flow: number): number {
    const host = 256 + this.run * 4 + this.flows[flow]!.client;
    return 10 | (77 << 8) | ((host >> 8) << 16) | ((host & 0xff) << 24);
  }

  server(flow: number): number {
    const host = 256 + this.run * 4 + this.flows[flow]!.server;
    return 203 | (0 << 8) | ((host >> 8) << 16) | ((host & 0xff) << 24);
  }

  view(side: Side, flow: number): View {
    const spec = this.flows[flow]!;
    const inside = side === 'private';
    return {
      client: inside ? this.client(flow) : EXTERNAL,
      clientPort: inside ? spec.clientPort : this.external[flow] || UNMAPPED,
      server: this.server(flow),
      serverPort: spec.serverPort,
      router: ROUTERS[side],
      stranger: STRANGERS[side],
    };
  }

  /** Learns the external port of a flow from a packet of it that was sent to the public side. */
  learn(flow: number, packet: Uint8Array): void {
    const spec = this.flows[flow]!;
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    const l4 = (packet[0]! & 15) << 2;
    if (packet[9] !== spec.protocol || view.getInt32(12, true) !== EXTERNAL) return;
    if (view.getInt32(16, true) !== this.server(flow) || packet.length < l4 + 8) return;
    if (spec.protocol === ICMP) {
      if ([8, 13, 15, 17].includes(packet[l4]!)) this.note(flow, view.getUint16(l4 + 4));
    } else if (view.getUint16(l4 + 2) === spec.serverPort) {
      this.note(flow, view.getUint16(l4));
    }
  }

  /** The port is another flow's no more: that one has ended, and the gateway given its port away. */
  private note(flow: number, port: number): void {
    const { server, serverPort } = this.flows[flow]!;
    for (const [i, other] of this.flows.entries()) {
      const same = other.server === server && other.serverPort === serverPort;
      if (same && this.external[i] === port) this.external[i] = 0;
    }
    this.external[flow] = port;
  }
}
