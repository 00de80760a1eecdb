/** What goes over the control socket, as zod sees it: requests are checked by it, and the OpenAPI document is made from it. */
import { z } from '@hono/zod-openapi';
import { firewallRule } from '../config/schema-firewall.ts';
import { forward } from '../config/schema-nat.ts';

const count = () => z.number().nonnegative();
const traffic = z.object({ packets: count(), bytes: count() });

export const errorBody = z
  .object({
    error: z.object({
      code: z.string(),
      message: z.string(),
      hint: z.string(),
      problems: z
        .array(z.object({ path: z.string(), what: z.string(), remedy: z.string() }))
        .optional()
        .describe('Of a configuration that is wrong'),
    }),
  })
  .openapi('Error');

export const health = z
  .object({ ok: z.literal(true), name: z.string(), version: z.string(), api: z.literal('v1') })
  .openapi('Health');

const ruleCount = z.object({ name: z.string(), flows: count(), bytes: count() });

const byProtocol = z.object({ tcp: count(), udp: count(), icmp: count() });
const externalUse = z.object({
  address: z.string(),
  inUse: byProtocol,
  ports: byProtocol,
  exhausted: byProtocol,
});

export const status = z
  .object({
    name: z.string(),
    pid: z.int(),
    version: z.string(),
    started: z.string(),
    lingersUntil: z.string().optional(),
    private: z.array(z.string()),
    public: z.string(),
    external: z.string().nullable(),
    waiting: z.array(z.string()).describe('Served interfaces that are gone'),
    repairs: z.record(z.string(), count()).describe('What others had undone on the host, and was put right'),
    flood: z
      .object({
        host: z
          .string()
          .nullable()
          .describe('Private host that sends most, while it is cut down to its share'),
        dropped: count().describe('Packets dropped for that since the gateway started'),
      })
      .describe('Private hosts that send more than the packet engine gets done'),
    ports: z.object({
      first: z.int(),
      last: z.int(),
      inUse: byProtocol,
    }),
    flows: z.object({
      count: count(),
      capacity: count(),
      tcp: count(),
      udp: count(),
      icmp: count(),
      other: count(),
    }),
    workers: z.int(),
    engine: z
      .object({
        deaths: z.int(),
        lastDeath: z.string().nullable(),
        failingSince: z.string().nullable().describe('Engines die one after the other; ISO 8601'),
        quarantined: z.int(),
      })
      .describe('How the engines have fared since the gateway started'),
    standby: z
      .object({
        state: z.enum(['ready', 'loading', 'failed', 'off']),
        since: z.string().nullable().describe('Since when it is ready; ISO 8601'),
        again: z.string().nullable().describe('When another one is made after one that failed; ISO 8601'),
      })
      .describe('Whether another engine stands by for the moment in which the one that forwards dies'),
    traffic: z.object({ out: traffic, in: traffic }),
    interfaces: z.array(
      z.object({
        name: z.string(),
        side: z.enum(['private', 'public']),
        addresses: z.array(z.string()).describe('IPv4, with the length of their prefix'),
        in: traffic,
        out: traffic,
      }),
    ),
    externals: z.array(externalUse).describe('External addresses of which a port has been in use'),
    config: z.string().nullable().describe('The file that it was started with'),
    drops: z.record(z.string(), count()),
    refused: z.array(z.object({ host: z.string(), rule: z.string(), reason: z.string(), count: count() })),
    firewall: z.array(ruleCount),
    counters: z.record(z.string(), count()),
  })
  .openapi('Status');

const configuration = z.record(z.string(), z.unknown()).openapi('Configuration', {
  description: 'The configuration with every default, as `natgate config show --json` prints it',
});

export const config = z
  .object({
    file: z.string().nullable().describe('Null: the gateway was started without one'),
    flags: z.record(z.string(), z.unknown()).describe('Of `natgate run`; they are stronger than the file'),
    stronger: z
      .array(z.object({ path: z.string(), flag: z.string() }))
      .describe('Keys of the file that a flag decides instead'),
    config: configuration.describe('What runs: the flags over the file, and every default'),
  })
  .openapi('RunningConfiguration');

export const rules = z
  .object({
    rules: z.array(
      z.object({
        chain: z.string().nullable().describe('Null: the rules that every new flow is asked about first'),
        position: z.int().describe('In its chain, from 1'),
        name: z.string(),
        rule: z.record(z.string(), z.unknown()).describe('As in the file'),
        flows: count().describe('New flows that matched'),
        bytes: count().describe('Of their first packets'),
      }),
    ),
    defaults: z.array(ruleCount).describe('What no rule decided about, by direction'),
  })
  .openapi('Rules');

export const natRules = z
  .object({ rules: z.array(z.object({ name: z.string(), action: z.string() })) })
  .openapi('NatRules');

export const forwards = z
  .object({
    forwards: z.array(
      z.object({
        name: z.string(),
        forward: z
          .union([z.string(), z.record(z.string(), z.unknown())])
          .describe('As in the file: a text or a map'),
      }),
    ),
  })
  .openapi('Forwards');

export const newForward = z.strictObject({ forward }).openapi('NewForward');

export const newRule = z
  .strictObject({
    rule: firewallRule,
    chain: z.string().nullable().optional(),
    position: z.int().min(1).optional().describe('From 1'),
    before: z.string().optional().describe('Name of a rule of the chain'),
    after: z.string().optional().describe('Name of a rule of the chain'),
  })
  .openapi('NewRule');

export const applied = z
  .object({
    flowsEnded: count().nullable().describe('Null: not known'),
    notes: z.array(z.string()),
  })
  .openapi('Applied');

const names = () => z.array(z.string());
const listChange = () => z.object({ added: names(), removed: names(), changed: names() });
const difference = z
  .object({
    rules: listChange().describe('NAT rules'),
    forwards: listChange(),
    pairs: listChange().describe('1:1 NAT'),
    firewall: listChange(),
    addresses: listChange().describe('External addresses that are the gateway’s alone'),
    settings: names().describe('Other keys of the file'),
    restart: names().describe('Keys of the file that a running gateway cannot take over'),
  })
  .openapi('Difference');
const endCause = z.object({
  kind: z.enum(['rule', 'forward', 'pair', 'address', 'firewall', 'anti-spoofing']),
  name: z.string(),
});
const ended = z.array(endCause.extend({ count: count() }));
const tuple = z
  .object({
    src: z.string(),
    dst: z.string(),
    sport: z.int(),
    dport: z.int(),
    icmpType: z.int().optional(),
    icmpCode: z.int().optional(),
  })
  .openapi('Tuple');
export const flow = z
  .object({
    protocol: z.int().describe('6 TCP, 17 UDP, 1 ICMP'),
    state: z.string().describe('Of TCP and SCTP; else empty'),
    original: tuple.describe('As the packets of the side that began it look'),
    reply: tuple.describe('As the packets that answer look'),
    originalPackets: count(),
    originalBytes: count(),
    replyPackets: count(),
    replyBytes: count(),
    timeoutSeconds: z.number().describe('Until it is forgotten when no packet comes'),
    assured: z.boolean(),
    unreplied: z.boolean(),
    related: z.boolean(),
  })
  .openapi('Flow');
const problem = z.object({
  severity: z.enum(['error', 'warning']),
  path: z.string(),
  what: z.string(),
  remedy: z.string(),
  line: z.int().nullable(),
  column: z.int().nullable(),
});

export const text = z
  .strictObject({
    text: z.string().optional().describe('A configuration (YAML); without it, the gateway’s own file'),
  })
  .openapi('Text');

/** How many are there is said, too; there may be a million. */
export const MAX_FLOWS_FORESEEN = 1000;

export const checked = z.object({ usable: z.boolean(), problems: z.array(problem) }).openapi('Checked');
export const planned = z
  .object({
    usable: z.boolean(),
    problems: z.array(problem),
    foreseen: z
      .object({
        changes: difference,
        refused: z
          .object({ what: z.string(), remedy: z.string() })
          .nullable()
          .describe('Why a reload would be refused'),
        host: z.array(z.string()).describe('What would be done to the host'),
        ending: ended.describe('Flows that would end, by cause'),
        flows: z
          .array(z.object({ cause: endCause, flow }))
          .describe(`These flows, the first ${MAX_FLOWS_FORESEEN} of them`),
        kept: count().describe('Flows that would go on'),
      })
      .nullable()
      .describe('Null: it is not usable'),
  })
  .openapi('Plan');
export const reloaded = z
  .object({
    time: z.string(),
    applied: z.boolean(),
    problems: z.array(z.string()).describe('Warnings'),
    remedy: z.string(),
    changes: difference.nullable(),
    ended: ended.describe('Flows that ended, by cause'),
    kept: count(),
    restarted: z.boolean().describe('The engine was started anew meanwhile: what ended is not known'),
    leftovers: z.array(z.string()).describe('What of the host could not be taken back'),
  })
  .openapi('Reloaded');
