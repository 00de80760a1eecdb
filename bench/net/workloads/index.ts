import type { Workload } from '../types.ts';
import { ping } from './ping.ts';
import { tcpIn, tcpOut, tcpOut8 } from './tcp.ts';
import { udpPps } from './udp-pps.ts';

/** In the order of the table. */
export const workloads: readonly Workload[] = [tcpOut, tcpIn, tcpOut8, udpPps, ping];
