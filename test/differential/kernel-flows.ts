/** The kernel's conntrack table over ctnetlink (linux/netfilter/nfnetlink_conntrack.h): no program, no procfs needed. */
import { tcpStateNames } from '../../src/conntrack/tcp-states.ts';
import { Attributes, message } from '../../src/host/netlink/message.ts';
import { ask, CHANGE, LIST, NETLINK_NETFILTER } from '../../src/host/netlink/request.ts';
import { FlowStates } from './output.ts';
import { ICMP, TCP } from './step.ts';

const GET = (1 << 8) | 1;
const DELETE = (1 << 8) | 2;
/** struct nfgenmsg: AF_INET, version 0, resource 0. */
const FIXED = Buffer.of(2, 0, 0, 0);

const TUPLE_ORIGINAL = 1;
const STATUS = 3;
const PROTOINFO = 4;
const TUPLE_IP = 1;
const TUPLE_PROTO = 2;
const IP_SOURCE = 1;
const IP_DESTINATION = 2;
const PROTO_NUMBER = 1;
const PROTO_SOURCE_PORT = 2;
const PROTO_DESTINATION_PORT = 3;
const PROTO_ICMP_ID = 4;
const PROTO_ICMP_TYPE = 5;
const PROTO_ICMP_CODE = 6;
const PROTOINFO_TCP = 1;
const TCP_STATE = 1;
const SEEN_REPLY = 1 << 1;
const ASSURED = 1 << 2;

/** All entries of the table. */
export function kernelFlows(): FlowStates {
  const flows = new FlowStates();
  for (const { body } of ask(NETLINK_NETFILTER, message(GET, LIST, FIXED))) {
    const entry = new Attributes(body, FIXED.length);
    const tuple = entry.nest(TUPLE_ORIGINAL);
    const addresses = tuple.nest(TUPLE_IP);
    const proto = tuple.nest(TUPLE_PROTO);
    const protocol = proto.u8(PROTO_NUMBER) ?? 0;
    const word = (type: number) => proto.bytes(type)?.readUInt16BE(0) ?? 0;
    const query = protocol === ICMP;
    const status = entry.bytes(STATUS)?.readUInt32BE(0) ?? 0;
    const state = entry.nest(PROTOINFO).nest(PROTOINFO_TCP).u8(TCP_STATE) ?? 0;
    flows.add(
      protocol,
      addresses.address(IP_SOURCE) ?? 0,
      word(query ? PROTO_ICMP_ID : PROTO_SOURCE_PORT),
      addresses.address(IP_DESTINATION) ?? 0,
      query ? `${proto.u8(PROTO_ICMP_TYPE)}/${proto.u8(PROTO_ICMP_CODE)}` : word(PROTO_DESTINATION_PORT),
      {
        state: protocol === TCP ? (tcpStateNames[state] ?? String(state)) : '',
        assured: (status & ASSURED) !== 0,
        unreplied: (status & SEEN_REPLY) === 0,
      },
    );
  }
  return flows;
}

/** Empties the table. */
export function flushKernelFlows(): void {
  ask(NETLINK_NETFILTER, message(DELETE, CHANGE, FIXED));
}
