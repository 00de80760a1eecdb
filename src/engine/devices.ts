/**
 * What the engine knows of its devices, by device number: side, own address, MTU, and which next hops behind them do
 * not answer ARP.
 */
import { PRIVATE, PUBLIC } from '../policy/admission.ts';
import type { DeviceConfig } from './config.ts';

export class Devices {
  /** PRIVATE or PUBLIC. */
  readonly side: Int32Array;
  /** Own address, wire order; 0 for none. */
  readonly address: Int32Array;
  /** Bytes. */
  readonly mtu: Int32Array;
  readonly public: number;
  /** Former addresses of the public interface that it still has. */
  former: readonly number[];
  /** Next hops that do not answer, over all devices. */
  failedCount = 0;
  private readonly failed: Set<number>[];

  constructor(devices: readonly DeviceConfig[]) {
    this.side = Int32Array.from(devices, (d) => (d.side === 'private' ? PRIVATE : PUBLIC));
    this.address = Int32Array.from(devices, (d) => d.address);
    this.mtu = Int32Array.from(devices, (d) => d.mtu);
    this.public = this.side.indexOf(PUBLIC);
    this.former = devices[this.public]?.former ?? [];
    this.failed = devices.map(() => new Set<number>());
  }

  /** A device has another address or MTU; the public one perhaps former addresses still. */
  change(index: number, { address, mtu, former }: Pick<DeviceConfig, 'address' | 'mtu' | 'former'>): void {
    this.address[index] = address;
    this.mtu[index] = mtu;
    if (index === this.public) this.former = former ?? [];
  }

  /** The external address of masquerading, 0 when there is none. */
  get external(): number {
    return this.address[this.public]!;
  }

  /** Whether natgate shares this public address with the host: the present one, or a former one. */
  isShared(address: number): boolean {
    if (address === this.external) return address !== 0;
    return this.former.length > 0 && this.former.includes(address);
  }

  /** The addresses of the private side, one for each of its devices, 0 where there is none. */
  get locals(): number[] {
    return [...this.address].filter((_, device) => this.side[device] === PRIVATE);
  }

  /** A next hop stopped, or began, to answer ARP. */
  setNeighbour(device: number, address: number, failed: boolean): void {
    const set = this.failed[device]!;
    if (failed) set.add(address);
    else set.delete(address);
    this.failedCount = this.failed.reduce((sum, { size }) => sum + size, 0);
  }

  isFailed(device: number, address: number): boolean {
    return this.failed[device]!.has(address);
  }
}
