/** What a helper rewrites, as the engine sends it: checksums, offloads, a restart, errors about what came in. */
import { describe, expect, test } from 'vitest';
import {
  describePacket,
  icmpError,
  parseAddress,
  tcpPacket,
  verifyChecksums,
} from '../../src/testing/index.ts';
import { Bed, vnetHeader } from './bed.ts';
import { CLIENT, EXTERNAL, FTP, payloadOf, SERVER } from './helpers-bed.ts';

describe('in the engine', () => {
  const line = 'PORT 10,77,0,2,1,2\r\n';

  /** A bed with a control connection whose next byte is 1000. */
  function connected(): { bed: Bed; packet: (payload: string) => Uint8Array } {
    const bed = new Bed({ helpers: [FTP] });
    const ends = { from: `${CLIENT}:40000`, to: `${SERVER}:21` };
    bed.out(tcpPacket({ ...ends, flags: 'S', seq: 999 }));
    bed.in(tcpPacket({ from: ends.to, to: `${EXTERNAL}:40000`, flags: 'SA', seq: 4999, ack: 1000 }));
    bed.out(tcpPacket({ ...ends, flags: 'A', seq: 1000, ack: 5000 }));
    return {
      bed,
      packet: (payload) => tcpPacket({ ...ends, flags: 'PA', seq: 1000, ack: 5000, payload }),
    };
  }

  /** Replaces the checksum by that of the pseudo-header alone, as a sender with offload does. */
  function partial(packet: Uint8Array): Uint8Array {
    const copy = packet.slice();
    let sum = 6 + copy.length - 20;
    for (let i = 12; i < 20; i += 2) sum += (copy[i]! << 8) | copy[i + 1]!;
    sum = (sum & 0xffff) + (sum >>> 16);
    copy[36] = sum >>> 8;
    copy[37] = sum;
    return copy;
  }

  test('a partial checksum stays one, of the new length', () => {
    const { bed, packet } = connected();
    const vnet = vnetHeader({ flags: 1, csumStart: 20, csumOffset: 16 });
    const [sent] = bed.out(partial(packet(line)), vnet);
    expect(payloadOf(sent!.packet)).toMatch(/^PORT 198,18,0,1,\d+,\d+\r\n$/);
    expect(sent!.vnet).toEqual(vnet);
    expect(sent!.packet).toEqual(partial(sent!.packet));
  });

  test('a super-packet of many lines: only the command changes, and what is beyond the header slot moves along', () => {
    const { bed, packet } = connected();
    const tail = 'NOOP 0123456789\r\n'.repeat(300);
    const vnet = vnetHeader({ flags: 1, gso: 1, hdrLen: 40, gsoSize: 1460, csumStart: 20, csumOffset: 16 });
    const [sent] = bed.out(partial(packet(line + tail)), vnet);
    const text = payloadOf(sent!.packet);
    expect(text.slice(text.indexOf('\n') + 1)).toBe(tail);
    expect(sent!.vnet).toEqual(vnet);
    expect(sent!.packet.length).toBe((sent!.packet[2]! << 8) | sent!.packet[3]!);
    expect(sent!.packet).toEqual(partial(sent!.packet));
  });

  test('a full segment that grows becomes a super-packet of two', () => {
    const { bed, packet } = connected();
    const full = `${line}${'x'.repeat(1460 - line.length - 2)}\r\n`;
    const [sent] = bed.out(packet(full));
    expect(sent!.packet.length).toBeGreaterThan(1500);
    expect(sent!.vnet).toEqual(
      vnetHeader({ flags: 1, gso: 1, hdrLen: 40, gsoSize: 1460, csumStart: 20, csumOffset: 16 }),
    );
    expect(sent!.packet).toEqual(partial(sent!.packet));
  });

  test('a wrong checksum stays wrong', () => {
    const { bed, packet } = connected();
    const wrong = packet(line);
    wrong[36]! ^= 0x55;
    const [sent] = bed.out(wrong);
    expect(payloadOf(sent!.packet)).toContain('198,18,0,1');
    expect(verifyChecksums(sent!.packet)).toBe(false);
  });

  test('a flow that came in lives through a restart, and ends when the address changes', () => {
    const { bed, packet } = connected();
    bed.out(packet('PORT 10,77,0,2,156,65\r\n'));
    bed.in(tcpPacket({ from: `${SERVER}:20`, to: `${EXTERNAL}:40001`, flags: 'S' }));
    const after = new Bed({ after: bed, helpers: [FTP] });
    expect(after.flows()).toHaveLength(2);
    after.checkInvariants();
    const answer = tcpPacket({ from: `${CLIENT}:40001`, to: `${SERVER}:20`, flags: 'SA', ack: 1 });
    expect(describePacket(after.out(answer)[0]!.packet)).toContain(`${EXTERNAL}:40001 > ${SERVER}:20`);
    after.engine.setDevice(1, { address: parseAddress('198.18.0.9')!, mtu: 1500 });
    expect(after.flows()).toEqual([]);
  });

  test('an ICMP error of a private host about a flow that came in has the external address', () => {
    const { bed, packet } = connected();
    bed.out(packet('PORT 10,77,0,2,156,65\r\n'));
    const [syn] = bed.in(tcpPacket({ from: `${SERVER}:20`, to: `${EXTERNAL}:40001`, flags: 'S' }));
    const error = { from: '10.77.0.9', to: SERVER, type: 3, code: 1, packet: syn!.packet };
    expect(describePacket(bed.out(icmpError(error))[0]!.packet)).toContain(
      `icmp 3/1 ${EXTERNAL} > ${SERVER} [tcp S ${SERVER}:20 > ${EXTERNAL}:40001`,
    );
  });
});
