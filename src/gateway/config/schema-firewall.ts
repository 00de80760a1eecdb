/** The part of the file that is about what may cross. */
import { z } from 'zod';
import { REJECTS } from '../../policy/firewall/packet.ts';
import {
  addresses,
  flag,
  label,
  list,
  listed,
  map,
  named,
  ports,
  protocols,
  some,
  text,
  whole,
  word,
} from './schema-values.ts';

export const ACTIONS = ['accept', 'drop', 'reject', 'log', 'count', 'return'] as const;
export const DIRECTIONS = ['outbound', 'inbound', 'between'] as const;
const STATES = ['new', 'related', 'dnat', 'snat'] as const;
export const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const PER = ['rule', 'source', 'destination', 'source-and-destination'] as const;

const grouping = {
  per: word(PER)
    .default('rule')
    .meta({ description: `Over what it is kept: ${listed(PER)}` }),
  prefix: whole(0, 32)
    .default(32)
    .meta({ description: 'Addresses that have so many bits in common count as one' }),
};

const rate = {
  rate: text('a rate: 10/second, 5/minute, 100/hour, 20/day').meta({
    description: 'How many: N/second, N/minute, N/hour or N/day',
  }),
  burst: whole(1, 1_000_000).default(5).meta({ description: 'So many at once before the rate holds' }),
  ...grouping,
};
const shortRate = () => text('a rate (10/second, 5/minute …) or a map with rate, burst, per, prefix');

const interfaces = () => some(text('an interface name, e.g. eth1, or a list of such'));
const icmp = () =>
  some(z.union([text('an ICMP type: echo-request, 8, 3/4, or a list of such'), whole(0, 255)]));
const states = () => some(word(STATES));
const flags = () => text('syn, or MASK SET as iptables has it, e.g. "FIN,SYN,RST,ACK SYN"');
const chain = () => label('the name of a chain');

export const firewallRule = map({
  name: label('a name').optional().meta({ description: 'For people and counters; unique in its chain' }),
  action: word(ACTIONS)
    .optional()
    .meta({
      description: `What becomes of a new flow that matches: ${listed(ACTIONS)}; log and count go on to the next rule, return goes back to where the chain was entered`,
    }),
  jump: chain().optional().meta({ description: 'Goes through this chain, and comes back' }),
  goto: chain().optional().meta({ description: 'Goes through this chain, and does not come back here' }),
  'reject-with': word(REJECTS).optional().meta({
    description: 'How a refused sender is told; without it: port-unreachable',
  }),
  log: z.string({ error: 'a text' }).max(64, { error: 'a text of up to 64 characters' }).optional().meta({
    description: 'A line is logged for each match, with this before it',
  }),
  direction: some(word(DIRECTIONS)).optional().meta({
    description:
      'outbound (private to public), inbound (public to private), between (one private network to another, and hairpins)',
  }),
  in: interfaces().optional().meta({ description: 'Interfaces where the flow comes in' }),
  'not-in': interfaces().optional().meta({ description: 'Any interface but these' }),
  out: interfaces().optional().meta({ description: 'Interfaces where the flow goes out' }),
  'not-out': interfaces().optional().meta({ description: 'Any interface but these' }),
  from: addresses().optional().meta({ description: 'Sources; of private hosts, their private addresses' }),
  'not-from': addresses().optional().meta({ description: 'Any source but these' }),
  to: addresses().optional().meta({ description: 'Destinations, after a forward has translated them' }),
  'not-to': addresses().optional().meta({ description: 'Any destination but these' }),
  protocol: protocols().optional().meta({ description: 'IP protocols' }),
  'not-protocol': protocols().optional().meta({ description: 'Any protocol but these' }),
  'source-ports': ports().optional().meta({ description: 'Source ports of TCP, UDP and SCTP' }),
  'not-source-ports': ports().optional().meta({ description: 'Any source port but these' }),
  ports: ports().optional().meta({ description: 'Destination ports, after a forward has translated them' }),
  'not-ports': ports().optional().meta({ description: 'Any destination port but these' }),
  icmp: icmp().optional().meta({ description: 'ICMP types, TYPE or TYPE/CODE, numbers or names' }),
  'not-icmp': icmp().optional().meta({ description: 'Any ICMP type but these' }),
  state: states().optional().meta({
    description:
      'new (nothing announced the flow), related (a helper expected it), dnat (a forward, 1:1 or mapping chose its destination), snat (its source will be translated)',
  }),
  'not-state': states().optional().meta({ description: 'None of these states' }),
  'tcp-flags': flags().optional().meta({
    description: 'TCP flags of the first packet: syn, or those looked at and those set',
  }),
  'not-tcp-flags': flags().optional().meta({ description: 'Any other TCP flags' }),
  limit: z
    .union([
      shortRate(),
      map({
        ...rate,
        above: flag().default(false).meta({
          description: 'The rule matches what is above the rate, not what is within',
        }),
      }),
    ])
    .optional()
    .meta({ description: 'New flows that match, at most so many' }),
  'packet-limit': z
    .union([shortRate(), map(rate)])
    .optional()
    .meta({
      description:
        'Packets, both ways, of the flows that this rule accepts: those above the rate are dropped',
    }),
  connections: map({
    count: whole(0, 16_777_216).meta({ description: 'Flows at a time, the new one counted' }),
    per: grouping.per
      .unwrap()
      .default('source')
      .meta({ description: `Over what it is kept: ${listed(PER)}` }),
    prefix: grouping.prefix,
    above: flag().default(true).meta({
      description: 'The rule matches when there are more; false: while there are at most so many',
    }),
  })
    .optional()
    .meta({ description: 'Live flows at a time' }),
  time: map({
    days: some(word(DAYS)).optional().meta({ description: 'Days of the week: mon, tue …; without it, all' }),
    from: text('a time of day, e.g. "09:00"').optional().meta({ description: 'HH:MM or HH:MM:SS' }),
    to: text('a time of day, e.g. "17:00"').optional().meta({
      description: 'HH:MM or HH:MM:SS, excluded; earlier than `from`: over midnight',
    }),
    zone: text('a time zone, e.g. Europe/Berlin').default('UTC').meta({ description: 'IANA time zone' }),
    'not-before': text('a date with its zone, e.g. 2026-12-24T00:00Z').optional().meta({
      description: 'The rule is off before this moment (ISO 8601 with a zone)',
    }),
    'not-after': text('a date with its zone, e.g. 2026-12-24T00:00Z').optional().meta({
      description: 'The rule is off from this moment on',
    }),
  })
    .optional()
    .meta({ description: 'When the rule is on' }),
});

const policy = word(['accept', 'drop', 'reject']);
const policies = {
  outbound: policy.default('accept').meta({ description: 'Flows from private hosts to the public side' }),
  inbound: policy.default('accept').meta({
    description: 'Flows from the public side that a forward, a 1:1 address or a mapping lets in',
  }),
  between: policy.default('accept').meta({ description: 'Flows between private networks' }),
};

export const firewall = map({
  'anti-spoofing': flag().default(true).meta({
    description:
      'Private sources only from the interface their network is behind; no private or reserved sources from outside',
  }),
  'trusted-outside': some(text('a prefix, e.g. 100.64.0.0/10, or a list of such')).default([]).meta({
    description: 'Reserved sources that are taken from outside nevertheless',
  }),
  default: z
    .union([word(['accept', 'drop', 'reject'], ', or a map of outbound, inbound and between'), map(policies)])
    .prefault({})
    .meta({
      description:
        'What becomes of flows that no rule decides about: accept, drop, reject (ICMP port unreachable), or one for each of outbound, inbound, between',
    }),
  chains: named(list(firewallRule), 'a map of names and lists of rules').default({}).meta({
    description: 'Lists of rules that `jump` and `goto` lead to, by name',
  }),
  rules: list(firewallRule).default([]).meta({ description: 'The first that matches decides' }),
});
