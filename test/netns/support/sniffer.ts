/**
 * What crosses an interface, by tcpdump. Its tap lies before tc ingress and after tc egress, so a packet that
 * a steering program takes away still shows on the interface it came in by.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ipv4Packet, parseIpv4 } from './packets.ts';
import { sleep } from './process.ts';
import type { Namespace } from './topology.ts';

const LINKTYPE_ETHERNET = 1;
const LINKTYPE_RAW = 101;

export interface Captured {
  /** The frame as on the wire (without Ethernet header on a TUN). */
  frame: Buffer;
  /** Null for what is not IPv4 (ARP, IPv6). */
  ip: Ipv4Packet | null;
}

export interface Capture {
  /** Ends the capture after what is on its way has come in. Rejects when the kernel dropped packets. */
  stop(): Promise<Captured[]>;
}

export interface SniffOptions {
  /** tcpdump's filter. */
  filter?: string;
  /** Bytes kept of each frame; all by default. */
  snapLength?: number;
  /** `in` or `out` only. */
  direction?: 'in' | 'out';
}

export async function sniff(ns: Namespace, device: string, options: SniffOptions = {}): Promise<Capture> {
  const folder = mkdtempSync(join(tmpdir(), 'natgate-sniff-'));
  const file = join(folder, 'packets.pcap');
  const argv = ['tcpdump', '-i', device, '-p', '-n', '-U', '--immediate-mode', '-B', '65536'];
  argv.push('-s', String(options.snapLength ?? 0), '-w', file, '-Z', 'root');
  if (options.direction) argv.push('-Q', options.direction);
  if (options.filter) argv.push(options.filter);
  const tcpdump = ns.spawn(argv);
  await tcpdump.shows(/listening on/);
  return {
    async stop() {
      await sleep(150);
      await tcpdump.stop('SIGINT');
      const packets = readPcap(readFileSync(file));
      rmSync(folder, { recursive: true });
      if (!/^0 packets dropped by kernel/m.test(tcpdump.stderr)) {
        throw new Error(`the capture on ${device} is not whole: ${tcpdump.stderr}`);
      }
      return packets;
    },
  };
}

/** The classic pcap format, in the byte order of this machine (tcpdump ran here). */
function readPcap(file: Buffer): Captured[] {
  const linkType = file.readUInt32LE(20);
  if (linkType !== LINKTYPE_ETHERNET && linkType !== LINKTYPE_RAW) throw new Error(`link type ${linkType}`);
  const packets: Captured[] = [];
  for (let at = 24; at + 16 <= file.length; ) {
    const captured = file.readUInt32LE(at + 8);
    const frame = file.subarray(at + 16, at + 16 + captured);
    at += 16 + captured;
    const isIp = linkType === LINKTYPE_RAW || frame.readUInt16BE(12) === 0x0800;
    packets.push({
      frame,
      ip: isIp ? parseIpv4(linkType === LINKTYPE_RAW ? frame : frame.subarray(14)) : null,
    });
  }
  return packets;
}
