/**
 * The change that a null forwarder makes to a packet: one fixed address for another, one hop less, and the sums kept right. All
 * in the byte order of the machine, which one's complement sums do not mind.
 */
import { NEEDS_CSUM, VNET_HEADER } from '../../../../src/wire/vnet.ts';

const TCP = 6;
const UDP = 17;

/**
 * Returns a function (offset of the IPv4 header, device): what came from device 0, the private side, gets `external` as its
 * source, what came from device 1 gets `client` as its destination. Offsets are multiples of 4; in front of the packet is its
 * virtio_net_hdr. Addresses in wire order.
 */
export function nullSwap(
  memory: ArrayBuffer,
  client: number,
  external: number,
): (packet: number, device: number) => void {
  const bytes = new Uint8Array(memory);
  const halves = new Uint16Array(memory);
  const words = new Int32Array(memory);
  const outDelta = fold(halfSum(~client) + halfSum(external));
  const inDelta = fold(halfSum(~external) + halfSum(client));
  // The TTL is the first byte of its half in memory, so the low one on all machines that natgate runs on.
  const hop = 0xfffe;

  return (packet, device) => {
    const delta = device === 0 ? outDelta : inDelta;
    words[(packet + (device === 0 ? 12 : 16)) >> 2] = device === 0 ? external : client;
    bytes[packet + 8]!--;
    const header = (packet + 10) >> 1;
    halves[header] = ~fold((halves[header]! ^ 0xffff) + delta + hop);
    const protocol = bytes[packet + 9]!;
    if (protocol !== TCP && protocol !== UDP) return;
    // No first fragment.
    if (((bytes[packet + 6]! & 0x1f) | bytes[packet + 7]!) !== 0) return;
    const at = (packet + (bytes[packet]! & 15) * 4 + (protocol === TCP ? 16 : 6)) >> 1;
    const sum = halves[at]!;
    if ((bytes[packet - VNET_HEADER]! & NEEDS_CSUM) !== 0) halves[at] = fold(sum + delta);
    else if (protocol === TCP) halves[at] = ~fold((sum ^ 0xffff) + delta);
    else if (sum !== 0) {
      const updated = fold((sum ^ 0xffff) + delta) ^ 0xffff;
      halves[at] = updated === 0 ? 0xffff : updated;
    }
  };
}

function halfSum(word: number): number {
  return (word & 0xffff) + (word >>> 16);
}

function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}
