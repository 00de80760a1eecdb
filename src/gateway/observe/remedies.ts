/** What a person may do about a drop, by the reason's name (core/reasons.ts). Where nothing is wrong it says so. */
const BROKEN =
  'the packet is broken: look at who sends it (`natgate capture --dropped`), and at the cable or tunnel in between';
const KERNEL = 'the kernel did not take it: `dmesg` and `ip -s link` of the interface say more';

export const REMEDIES: Readonly<Record<string, string>> = {
  short_packet: BROKEN,
  not_ipv4: 'only IPv4 is served here',
  bad_header_length: BROKEN,
  bad_total_length: BROKEN,
  bad_header_checksum: BROKEN,
  bad_options: BROKEN,
  source_route: 'nothing: source routes are refused everywhere',
  bad_fragment: BROKEN,
  bad_tcp: BROKEN,
  bad_tcp_checksum: BROKEN,
  bad_udp: BROKEN,
  bad_icmp: BROKEN,
  bad_icmp_checksum: BROKEN,
  bad_quote: BROKEN,
  bad_offload:
    'the device of the sender claims an offload that does not fit the packet: switch it off there (`ethtool -K`)',
  bad_sctp: BROKEN,
  martian_source:
    'let the sender use an address of its network; a network behind a router needs a route to it on the gateway (`ip route add`)',
  martian_destination: 'nothing: such addresses are not forwarded',
  icmp_type: 'nothing: only echo, timestamp and errors are forwarded',
  spoofed_source:
    'if the source is really there, add a route back by that interface, or its network to the interface in the configuration (`private: {interface, networks}`; outside: `trusted-outside`)',
  invalid_tcp:
    'mostly a connection that is over or was forgotten: let its ends begin anew. If answers go by another way, make both directions pass here',
  no_flow: 'nothing, unless somebody shall be reached from outside: `natgate forward add`',
  quote_out_of_window: 'nothing: the error is about a segment that is not under way: late, or forged',
  no_related: 'nothing: the error is about a flow that is not here (any more)',
  fragment_first_missing: 'see why the first fragment was dropped',
  table_full: 'raise `limits: flows`; `natgate flows` shows who has most',
  invalid_window:
    'a late or forged segment; if there are many, an end or a device in between does not scale windows right',
  invalid_rst: 'a late or forged RST: nothing',
  invalid_sctp: 'mostly an association that is over: let its ends begin anew',
  fragment_overlap: BROKEN,
  fragment_duplicate: 'nothing: it came twice',
  fragment_limit: 'somebody sends many fragments without first ones; `natgate drops` says who',
  fragment_timeout: 'the first fragment was lost before it came here',
  no_external_address: 'give the public interface an address, or name one in `external`',
  no_free_port:
    'more ports (`ports`), more addresses (`external`), a limit per host (`limits: ports-per-host`), or `nat: overload: exhausted`',
  tuple_in_use: 'this protocol has no ports: one private host at a time can talk with that remote',
  no_rule_matches: 'add a rule to `nat-rules` for this source and destination',
  host_port_limit:
    'raise `limits: ports-per-host` (or of the rule), or see what the host opens: `natgate flows --client`',
  host_flow_limit:
    'raise `limits: flows-per-host` (or of the rule), or see what the host opens: `natgate flows --client`',
  host_share: 'raise `limits: flows`; `natgate flows --client` shows what the host opens',
  filtered: 'the port is open to whom its owner has sent to: let it send first, or use `nat: filtering: eim`',
  address_gone:
    'nothing: the flow goes on when the public interface has that address again; `on-address-change: end` or `remap` do not wait',
  no_hairpin: 'allow it: `nat: hairpin: true`',
  helper_failed: 'free ports for what the helper announces, or switch the helper off',
  firewall_drop: 'if it shall pass, put a rule that accepts it before this one (`natgate rule add`)',
  firewall_reject: 'if it shall pass, put a rule that accepts it before this one (`natgate rule add`)',
  packet_rate: 'raise the rule’s `packet-limit`',
  not_public:
    'the destination is the gateway itself, or behind an interface that natgate does not serve: add that one to `private`, or talk to another address',
  no_route: 'add a route on the gateway (`ip route add`)',
  ttl_exceeded: 'nothing for traceroute; else look for a loop of routes',
  too_big: 'the sender is told (3/4): let these ICMP errors through to it',
  no_slot: 'raise the MTU of the way out, or let the sender send less at a time',
  hand_off_full: 'more processors, or fewer `--workers`',
  hand_off_late: 'nothing: its flow had just ended',
  quarantined:
    'please report it with the file that the log of the gateway names: natgate has a bug; the packet is dropped for ten minutes',
  write_refused: KERNEL,
  write_no_buffer: KERNEL,
  write_down: KERNEL,
  read_truncated: BROKEN,
};
