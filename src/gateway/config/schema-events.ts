/** Where events go: the part of the schema (schema.ts) that says it. */

import { z } from 'zod';
import {
  DEFAULT_KEEP,
  DEFAULT_ROTATE_SIZE,
  EVENT_CLASSES,
  FACILITIES,
  type Facility,
} from '../events/options.ts';
import { flag, list, listed, map, text, whole, word } from './schema-values.ts';

const MAX_SIZE = 1_048_576;
const MAX_KEEP = 1000;
const FACILITY_NAMES = Object.keys(FACILITIES) as [Facility, ...Facility[]];

const receiver = map({
  file: z
    .union([
      text('a path, or a map of path, size and keep'),
      map({
        path: text('a path, e.g. /var/log/natgate/events.jsonl').meta({ description: 'Its path' }),
        size: whole(1, MAX_SIZE)
          .default(DEFAULT_ROTATE_SIZE)
          .meta({ description: 'MiB after which another one is begun' }),
        keep: whole(0, MAX_KEEP)
          .default(DEFAULT_KEEP)
          .meta({ description: 'Full ones that stay: PATH.1 is the newest' }),
      }),
    ])
    .optional()
    .meta({ description: 'A file of JSON lines: a path, or a map' }),
  stdout: flag().default(false).meta({ description: 'JSON lines on standard output' }),
  syslog: z
    .union([
      text('ADDRESS:PORT, e.g. 192.0.2.9:514'),
      map({
        to: text('ADDRESS:PORT, e.g. 192.0.2.9:514').meta({ description: 'ADDRESS:PORT' }),
        facility: word(FACILITY_NAMES)
          .default('daemon')
          .meta({ description: listed(FACILITY_NAMES) }),
      }),
    ])
    .optional()
    .meta({ description: 'A syslog server (RFC 5424 over UDP): ADDRESS:PORT, or a map' }),
  ipfix: z
    .union([
      text('ADDRESS:PORT, e.g. 192.0.2.9:4739'),
      map({
        to: text('ADDRESS:PORT, e.g. 192.0.2.9:4739').meta({ description: 'ADDRESS:PORT' }),
        domain: whole(0, 4_294_967_295).default(0).meta({ description: 'Observation domain id' }),
      }),
    ])
    .optional()
    .meta({ description: 'An IPFIX collector (RFC 7011 and 8158 over UDP): ADDRESS:PORT, or a map' }),
  kinds: list(word(EVENT_CLASSES))
    .optional()
    .meta({ description: `Only these: ${listed(EVENT_CLASSES)}` }),
});

/** `off`, one map of receivers, or a list of such. */
export const events = z.union([
  word(['off'], ', a map of file, stdout, syslog, ipfix, kinds, or a list of such'),
  receiver,
  list(receiver),
]);
