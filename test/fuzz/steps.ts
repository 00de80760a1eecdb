/**
 * What happens to a gateway, as values: what the fuzzer does while it records, what a crash file holds, what the minimiser
 * takes away. Times are absolute, so that a step keeps its meaning when others go.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';

export interface Arrival {
  device: number;
  /** 10 bytes of virtio_net_hdr. */
  vnet: Uint8Array;
  packet: Uint8Array;
}

export type Step =
  | { kind: 'batch'; now: number; arrivals: Arrival[] }
  /** Housekeeping only. */
  | { kind: 'tick'; now: number }
  | { kind: 'routes'; variant: number }
  | { kind: 'device'; device: number; address: number; mtu: number }
  | { kind: 'held'; protocol: 6 | 17; ports: number[] }
  | { kind: 'neighbour'; device: number; address: number; failed: boolean }
  /** The process dies; another takes the state over. */
  | { kind: 'kill'; now: number };

/** A sequence that once broke something, or might. */
export interface Crash {
  about: string;
  /** Name of one of configurations.ts. */
  configuration: string;
  steps: Step[];
}

type Written = Record<string, unknown> & { kind: Step['kind'] };

function write(step: Step): Written {
  if (step.kind === 'batch') {
    const arrivals = step.arrivals.map(({ device, vnet, packet }) => ({
      device,
      ...(vnet.some((byte) => byte !== 0) && { vnet: Buffer.from(vnet).toString('hex') }),
      packet: Buffer.from(packet).toString('hex'),
    }));
    return { ...step, arrivals };
  }
  return 'address' in step ? { ...step, address: formatAddress(step.address) } : { ...step };
}

function read(written: Written): Step {
  if (written.kind === 'batch') {
    const arrivals = (written['arrivals'] as { device: number; vnet?: string; packet: string }[]).map(
      ({ device, vnet, packet }) => ({
        device,
        vnet: bytes(vnet ?? '00'.repeat(10)),
        packet: bytes(packet),
      }),
    );
    return { kind: 'batch', now: Number(written['now']), arrivals };
  }
  if (!('address' in written)) return written as unknown as Step;
  return { ...written, address: parseAddress(String(written['address']))! } as Step;
}

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

export function writeCrash(path: string | URL, crash: Crash): void {
  writeFileSync(path, `${JSON.stringify({ ...crash, steps: crash.steps.map(write) }, null, 1)}\n`);
}

export function readCrash(path: string | URL): Crash {
  const crash = JSON.parse(readFileSync(path, 'utf8'));
  return { ...crash, steps: crash.steps.map(read) };
}

export const CRASHES = new URL('../corpus/crashes/', import.meta.url);

export function crashFiles(): string[] {
  return readdirSync(CRASHES).filter((name) => name.endsWith('.json'));
}
