/**
 * `natgate/testing`: for tests of what must live behind a NAT. A gateway in memory, packets to feed it, and a whole internet in
 * memory, with hosts behind NATs of every kind. No root, no sockets, no waiting.
 *
 * @module testing
 */
export type { FlowInfo, FlowTuple } from '../conntrack/flow-info.ts';
export type { Timeouts } from '../conntrack/timeouts.ts';
export { NatgateError } from '../core/errors.ts';
export type { RuleCount } from '../engine/rule-counters.ts';
export type { Faults } from '../link/fault-link.ts';
export type { HelperConfig, HelperName } from '../nat/alg/registry.ts';
export {
  type Dependence,
  defaultBehaviour,
  type Forward,
  type ForwardTarget,
  masqueradeAll,
  matchAll,
  type NatBehaviour,
  type NatConfig,
  type NatMatch,
  type NatRule,
  type OnAddressChange,
  type Overload,
  type PortChoice,
  type PortRange,
  type PrefixPair,
} from '../nat/config.ts';
export {
  type Accept,
  type AddressRange,
  type ConnectionLimit,
  type Criterion,
  type Direction,
  type Drop,
  defaultFirewall,
  type FirewallAction,
  type FirewallConfig,
  type FirewallMatch,
  type FirewallRule,
  type Grouping,
  type IcmpMatch,
  matchAnything,
  type Pass,
  type Policy,
  type RateLimit,
  type Reject,
  type RejectWith,
  type Return,
  type Schedule,
  type TcpFlagsMatch,
  type ToChain,
} from '../policy/firewall-config.ts';
export { formatAddress, type Prefix, parseAddress, parsePrefix } from '../wire/address.ts';
export { MemoryGateway, type MemoryGatewayOptions } from './memory-gateway.ts';
export { type NatName, namedNats } from './named-nats.ts';
export {
  describePacket,
  type EchoFields,
  echoPacket,
  type IcmpErrorFields,
  type IcmpFields,
  type IpFields,
  icmpError,
  icmpPacket,
  type TcpFields,
  tcpPacket,
  type UdpFields,
  udpPacket,
  verifyChecksums,
} from './packets.ts';
export { type PacketFields, readPacket } from './read-packet.ts';
export { type Message, type UdpListener, UdpSocket } from './udp-socket.ts';
export { type TcpListener, VirtualHost } from './virtual-host.ts';
export { VirtualNat } from './virtual-nat.ts';
export {
  type LinkFaults,
  type PlaceOptions,
  type VirtualNatOptions,
  VirtualNetwork,
  type VirtualNetworkOptions,
} from './virtual-network.ts';
export { TcpConnection, type TcpEnd, type TcpState } from './virtual-tcp.ts';
