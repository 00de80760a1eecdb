/**
 * Events as messages of syslog (RFC 5424), each a datagram of UDP (RFC 5426). The message is the event as JSON, of ASCII characters only; MSGID is its kind.
 *
 * Limit: datagrams that the network or the receiver loses are not known here.
 */
import { hostname } from 'node:os';
import { AT_ONCE, Datagrams } from './datagrams.ts';
import type { GatewayEvent } from './event.ts';
import { FACILITIES, type Facility, type SyslogSinkOptions, sinkName } from './options.ts';
import { gapEvent, QueuedSink, type SaySink } from './sink.ts';

const WARNING = 4;
const NOTICE = 5;
const INFO = 6;
const SEVERITIES: Readonly<Record<GatewayEvent['event'], number>> = {
  begin: INFO,
  moved: INFO,
  end: INFO,
  mapping_begin: INFO,
  mapping_end: INFO,
  block_begin: INFO,
  block_end: INFO,
  exhausted: WARNING,
  quota: WARNING,
  gap: WARNING,
  address: NOTICE,
  reload: NOTICE,
  engine: NOTICE,
};
/** Of a header's field (RFC 5424 6). */
const HOSTNAME_LENGTH = 255;

export interface SyslogOrigin {
  facility: Facility;
  hostname: string;
  pid: number;
}

/** An event as a message of syslog. `json`: the event. */
export function syslogMessage(event: GatewayEvent, json: string, origin: SyslogOrigin): string {
  const priority = FACILITIES[origin.facility] * 8 + SEVERITIES[event.event];
  const host = origin.hostname.replace(/[^!-~]/g, '').slice(0, HOSTNAME_LENGTH) || '-';
  return `<${priority}>1 ${event.time} ${host} natgate ${origin.pid} ${event.event} - ${ascii(json)}`;
}

/** JSON without other characters than those of ASCII: it means the same. */
function ascii(json: string): string {
  return json.replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export class SyslogSink extends QueuedSink<string> {
  readonly #options: SyslogSinkOptions;
  readonly #origin: SyslogOrigin;
  readonly #datagrams = new Datagrams();

  constructor(options: SyslogSinkOptions, say: SaySink) {
    super(sinkName(options), options.only, say);
    this.#options = options;
    this.#origin = { facility: options.facility, hostname: hostname(), pid: process.pid };
  }

  write(event: GatewayEvent, line: string): void {
    const message = syslogMessage(event, line, this.#origin);
    this.enqueue(message, message.length);
  }

  protected gap(lost: number): { item: string; bytes: number } {
    const event = gapEvent(lost);
    const message = syslogMessage(event, JSON.stringify(event), this.#origin);
    return { item: message, bytes: message.length };
  }

  protected deliver(messages: readonly string[], from: number): Promise<number> {
    const { host, port } = this.#options;
    return this.#datagrams.send(messages.slice(from, from + AT_ONCE), host, port);
  }

  protected override end(): void {
    this.#datagrams.close();
  }
}
