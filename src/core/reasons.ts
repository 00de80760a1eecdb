/**
 * Why a packet was dropped: one small integer, one name, one sentence each. The names are the labels of metrics,
 * the words of logs and the headings of docs; they are permanent, the sentences may improve.
 *
 * Constants are single exports (not members of an object), because hot code compares with them.
 */
const NAMES: string[] = [];
const MEANINGS: string[] = [];

function reason(name: string, meaning: string): number {
  MEANINGS.push(meaning);
  return NAMES.push(name) - 1;
}

/** Not dropped. */
export const OK = reason('ok', 'not dropped');

// The packet is malformed.
export const SHORT_PACKET = reason('short_packet', 'shorter than an IPv4 header');
export const NOT_IPV4 = reason('not_ipv4', 'the version field is not 4');
export const BAD_HEADER_LENGTH = reason('bad_header_length', 'IHL below 5 or beyond the packet');
export const BAD_TOTAL_LENGTH = reason(
  'bad_total_length',
  'total length below the header or beyond what came',
);
export const BAD_HEADER_CHECKSUM = reason('bad_header_checksum', 'wrong IPv4 header checksum');
export const BAD_OPTIONS = reason('bad_options', 'IPv4 options that do not parse');
export const SOURCE_ROUTE = reason('source_route', 'an IPv4 source route option (RFC 7126)');
export const BAD_FRAGMENT = reason('bad_fragment', 'an impossible or overlapping-header fragment (RFC 1858)');
export const BAD_TCP = reason('bad_tcp', 'TCP header truncated or data offset beyond the packet');
export const BAD_TCP_CHECKSUM = reason(
  'bad_tcp_checksum',
  'TCP segment with SYN, FIN or RST and a wrong checksum',
);
export const BAD_UDP = reason('bad_udp', 'UDP header truncated or its length impossible');
export const BAD_ICMP = reason('bad_icmp', 'ICMP message truncated');
export const BAD_ICMP_CHECKSUM = reason(
  'bad_icmp_checksum',
  'ICMP error with a wrong checksum (RFC 5508 REQ-3)',
);
export const BAD_QUOTE = reason('bad_quote', 'ICMP error that quotes no usable packet (RFC 5508 REQ-3)');
export const BAD_OFFLOAD = reason('bad_offload', 'virtio_net_hdr that contradicts its packet');
export const BAD_SCTP = reason('bad_sctp', 'SCTP header truncated');

// The packet has no business here.
export const MARTIAN_SOURCE = reason(
  'martian_source',
  'a source address that cannot be, or not on that side (RFC 1812 5.3.7, 5.3.8)',
);
export const MARTIAN_DESTINATION = reason('martian_destination', 'a destination that is not forwarded');
export const ICMP_TYPE = reason('icmp_type', 'an ICMP type that is not forwarded');
export const SPOOFED_SOURCE = reason(
  'spoofed_source',
  'a source that is not behind that private interface, or reserved and from outside (RFC 2827, RFC 3704)',
);

// Tracking.
export const INVALID_TCP = reason('invalid_tcp', 'INVALID: TCP flags or state do not allow the packet');
export const NO_FLOW = reason('no_flow', 'uninvited: from outside, and no flow expects it');
export const NO_RELATED = reason('no_related', 'ICMP error about no known flow');
export const FRAGMENT_FIRST_MISSING = reason(
  'fragment_first_missing',
  'fragment whose first was dropped, or whose flow has ended',
);
export const TABLE_FULL = reason('table_full', 'the flow table is full');
export const INVALID_WINDOW = reason('invalid_window', 'INVALID: outside the TCP window');
export const INVALID_RST = reason(
  'invalid_rst',
  'INVALID: a RST that acknowledged data rules out (RFC 5961)',
);
export const INVALID_SCTP = reason(
  'invalid_sctp',
  'INVALID: SCTP chunks, state or verification tag do not allow the packet',
);
export const FRAGMENT_OVERLAP = reason(
  'fragment_overlap',
  'fragment of a datagram with overlapping or contradictory fragments (RFC 5722)',
);
export const FRAGMENT_DUPLICATE = reason('fragment_duplicate', 'fragment that has come already');
export const FRAGMENT_LIMIT = reason(
  'fragment_limit',
  'fragment of a datagram that gave way: too many wait for their first ones',
);
export const FRAGMENT_TIMEOUT = reason('fragment_timeout', 'fragment whose first did not come within 30 s');
export const QUOTE_OUT_OF_WINDOW = reason(
  'quote_out_of_window',
  'ICMP error that quotes a TCP segment which is not under way (RFC 5927)',
);

// Translation.
export const NO_EXTERNAL_ADDRESS = reason('no_external_address', 'the public interface has no address');
export const NO_FREE_PORT = reason('no_free_port', 'no external port or query id is free');
export const TUPLE_IN_USE = reason(
  'tuple_in_use',
  'another host talks this protocol with that remote already',
);
export const NO_RULE_MATCHES = reason('no_rule_matches', 'no NAT rule says what becomes of such a flow');
export const HOST_PORT_LIMIT = reason(
  'host_port_limit',
  'the host has as many external ports as it may have',
);
export const HOST_FLOW_LIMIT = reason('host_flow_limit', 'the host has as many flows as it may have');
export const FILTERED = reason(
  'filtered',
  'from outside, to a mapped port whose owner has not sent there (RFC 4787 REQ-8)',
);
export const NO_HAIRPIN = reason(
  'no_hairpin',
  'from inside to an external port, where the rule forbids hairpins',
);

export const HELPER_FAILED = reason(
  'helper_failed',
  'a helper cannot make what the packet announces reachable: no free port, or no room for the change',
);
export const ADDRESS_GONE = reason(
  'address_gone',
  'of a flow that waits for its external address, which the public interface has lost (on-address-change)',
);
export const HOST_SHARE = reason(
  'host_share',
  'the flow table is nearly full, and the host has its share of it (evict: fair)',
);

// The firewall.
export const FIREWALL_DROP = reason('firewall_drop', 'a firewall rule or default drops the flow');
export const FIREWALL_REJECT = reason(
  'firewall_reject',
  'a firewall rule or default refuses the flow (answered with a RST or 3/n)',
);
export const PACKET_RATE = reason('packet_rate', 'above the packet rate of the rule that let the flow in');

// Forwarding.
export const NOT_PUBLIC = reason(
  'not_public',
  'new flow to the host, or to a device that natgate does not serve',
);
export const NO_ROUTE = reason('no_route', 'the host has no route to the destination (answered 3/0)');
export const TTL_EXCEEDED = reason('ttl_exceeded', 'time to live ran out (answered 11/0)');
export const TOO_BIG = reason('too_big', 'larger than the path and may not be fragmented (answered 3/4)');
export const NO_SLOT = reason('no_slot', 'more fragments than the arena has slots');
export const HAND_OFF_FULL = reason(
  'hand_off_full',
  'the ring to the worker whose packet it is was full (--workers)',
);
export const HAND_OFF_LATE = reason(
  'hand_off_late',
  'handed to the worker of a flow that had ended by then (--workers)',
);
export const QUARANTINED = reason('quarantined', 'equal to one that the engine has stumbled over');

// The device.
export const WRITE_REFUSED = reason('write_refused', 'the kernel refused the packet (EINVAL)');
export const WRITE_NO_BUFFER = reason(
  'write_no_buffer',
  'the kernel had no buffer (EAGAIN, ENOBUFS, ENOMEM)',
);
export const WRITE_DOWN = reason('write_down', 'the TUN device is down (EIO)');
export const READ_TRUNCATED = reason('read_truncated', 'larger than a slot');

export const REASON_COUNT = NAMES.length;
export const reasonNames: readonly string[] = NAMES;
export const reasonMeanings: readonly string[] = MEANINGS;
