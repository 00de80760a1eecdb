/** natgate as a comparison sees it, in memory or running. */
import type { Output } from '../differential/output.ts';
import type { Side } from '../differential/step.ts';

export interface Sent {
  side: Side;
  packet: Uint8Array;
}

export interface Natgate {
  /** Names of its interfaces. */
  readonly devices: { private: string; public: string };
  /** Another configuration holds from now on. `anew`: flows of those before are to end. */
  load(text: string, anew: boolean): Promise<void>;
  /** Sends packets in, in this order within each side, and returns all that came out. */
  send(packets: readonly Sent[]): Promise<Output[]>;
  close(): Promise<void>;
}
