/** `natgate/testing`: a gateway in memory, and packets to feed it. */
export type { FlowInfo, FlowTuple } from '../conntrack/flow-info.ts';
export type { Timeouts } from '../conntrack/timeouts.ts';
export type { HelperConfig } from '../nat/alg/registry.ts';
export { formatAddress, parseAddress } from '../wire/address.ts';
export { MemoryGateway, type MemoryGatewayOptions } from './memory-gateway.ts';
export {
  describePacket,
  type EchoFields,
  echoPacket,
  type IpFields,
  icmpError,
  icmpPacket,
  type TcpFields,
  tcpPacket,
  type UdpFields,
  udpPacket,
  verifyChecksums,
} from './packets.ts';
