/** natgate as the gateway, in this process: the engine that `natgate run` runs, with the kernel gateway's addresses. */
import { H_STATUS, HOT, STATE_MASK, STATE_SHIFT } from '../../src/conntrack/flow-table.ts';
import { tcpStateNames } from '../../src/conntrack/tcp-states.ts';
import { MemoryGateway } from '../../src/testing/memory-gateway.ts';
import { aligned } from './build.ts';
import { FlowStates, type Output } from './output.ts';
import { ICMP, type Side, TCP } from './step.ts';

/** What the engine knew of a packet's flow before the packet came. */
export interface Before {
  /** Handle of the flow in the packet's direction; negative when there is none. */
  handle: number;
  /** 0 original, 1 reply; of packets without a flow by their side. */
  direction: number;
  tcpState: string;
}

/** Milliseconds between sequences: refills the limit on ICMP errors, and is short enough for all timers. */
const PAUSE_MS = 5;

export class NatgateGateway {
  gateway: MemoryGateway;
  private handedBack = 0;

  constructor() {
    this.gateway = this.fresh();
  }

  /** Forgets everything. */
  reset(): void {
    this.gateway = this.fresh();
    this.handedBack = 0;
  }

  pause(): void {
    this.gateway.now += PAUSE_MS;
  }

  send(from: Side, packet: Uint8Array): Output[] {
    const { gateway } = this;
    if (from === 'private') gateway.sendPrivate(packet);
    else gateway.sendPublic(packet);
    const outputs: Output[] = [
      ...gateway.receivePrivate().map((sent) => ({ to: 'private' as const, packet: sent })),
      ...gateway.receivePublic().map((sent) => ({ to: 'public' as const, packet: sent })),
    ];
    const handedBack = gateway.totals()['handed_back']!;
    const own = handedBack - this.handedBack;
    this.handedBack = handedBack;
    // What is handed to the host leaves the gateway unchanged through the device it came from.
    return own === 0 ? outputs : outputs.filter((output) => output.to !== from);
  }

  /** Drops by reason so far, to tell what a single packet ended as. */
  drops(): Record<string, number> {
    return this.gateway.drops();
  }

  /** What the TCP tracker remembers of all flows. */
  get track(): Int32Array {
    return this.gateway.engine.tracker.table.track;
  }

  before(from: Side, packet: Uint8Array): Before {
    const { table } = this.gateway.engine.tracker;
    const { i32, u8, u16 } = aligned(packet);
    const header = (u8[0]! & 15) << 2;
    const protocol = u8[9]!;
    const ports =
      protocol === ICMP
        ? u16[(header + 4) >> 1]! | (u8[header]! << 16) | (u8[header + 1]! << 24)
        : i32[header >> 2]!;
    const handle = table.lookup(i32[3]!, i32[4]!, ports, protocol);
    const status = handle < 0 ? 0 : table.hot[(handle >> 1) * HOT + H_STATUS]!;
    return {
      handle,
      direction: handle < 0 ? (from === 'private' ? 0 : 1) : handle & 1,
      tcpState: protocol === TCP ? tcpStateNames[(status & STATE_MASK) >>> STATE_SHIFT]! : '',
    };
  }

  flows(): FlowStates {
    const flows = new FlowStates();
    for (const { protocol, original, state, assured, unreplied } of this.gateway.flows()) {
      const { src, sport, dst, dport, icmpType, icmpCode } = original;
      const peer = protocol === ICMP ? `${icmpType}/${icmpCode}` : dport;
      flows.add(protocol, src, sport, dst, peer, { state, assured, unreplied });
    }
    return flows;
  }

  private fresh(): MemoryGateway {
    return new MemoryGateway({ private: '10.77.0.1/16', public: '198.18.0.1/24', flows: 16384 });
  }
}
