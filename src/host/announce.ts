/**
 * ARP announcements (RFC 5227 2.3): a request for one's own address, to everybody. Neighbours that had the address of
 * somebody else, or of this interface by another MAC, learn the new one at once.
 */
import { addon } from '../link/addon.ts';

const FRAME_BYTES = 42;
const ETH_P_ARP = 0x0806;
const ETH_P_IP = 0x0800;
const ARPHRD_ETHER = 1;
const ARPOP_REQUEST = 1;

/** `mac` as `aa:bb:cc:dd:ee:ff`; `address` in wire order. Throws SystemError. */
export function announce(interfaceIndex: number, mac: string, address: number): void {
  addon().sendFrame(interfaceIndex, announcement(mac, address));
}

export function announcement(mac: string, address: number): Buffer {
  const sender = Buffer.from(mac.replaceAll(':', ''), 'hex');
  const frame = Buffer.alloc(FRAME_BYTES);
  frame.fill(0xff, 0, 6);
  sender.copy(frame, 6);
  frame.writeUInt16BE(ETH_P_ARP, 12);
  frame.writeUInt16BE(ARPHRD_ETHER, 14);
  frame.writeUInt16BE(ETH_P_IP, 16);
  frame[18] = 6;
  frame[19] = 4;
  frame.writeUInt16BE(ARPOP_REQUEST, 20);
  sender.copy(frame, 22);
  frame.writeInt32LE(address, 28);
  // The target's hardware address is not known and not looked at: zero.
  frame.writeInt32LE(address, 38);
  return frame;
}
