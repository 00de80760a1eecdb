import type { Workload } from '../types.ts';
import { idleCpu } from './idle-cpu.ts';
import { newConnections } from './new-connections.ts';
import { newFlows } from './new-flows.ts';
import { rttBulk, rttHalf, rttIdle } from './rtt.ts';
import { tcpBoth, tcpIn, tcpOut, tcpOut8, tcpOut64, tcpSmall } from './tcp.ts';
import { udp18, udp18Flows, udp1400, udp1400Flows } from './udp.ts';
import { udpLossFree18, udpLossFree18Flows, udpLossFree1400, udpLossFree1400Flows } from './udp-loss-free.ts';

/** In the order of the table, which is that of a round: what leaves flows behind comes last. */
export const workloads: readonly Workload[] = [
  tcpOut,
  tcpIn,
  tcpBoth,
  tcpOut8,
  tcpOut64,
  tcpSmall,
  idleCpu,
  rttIdle,
  rttBulk,
  udp18,
  udp1400,
  udpLossFree18,
  udpLossFree1400,
  rttHalf,
  udp18Flows,
  udp1400Flows,
  udpLossFree18Flows,
  udpLossFree1400Flows,
  newConnections,
  newFlows,
];

/** For contenders that open a socket of their own for each flow, or know one client only. */
export const ONE_CLIENT_ONE_FLOW: readonly string[] = [
  tcpOut,
  tcpIn,
  tcpBoth,
  tcpOut8,
  tcpSmall,
  idleCpu,
  rttIdle,
  rttBulk,
  udp18,
  udp1400,
  udpLossFree18,
  udpLossFree1400,
  rttHalf,
].map((workload) => workload.name);
