/** Where events go (`events` of the file), checked. */

/** Kinds of events that a sink may be limited to. */
export const EVENT_CLASSES = [
  'flow',
  'mapping',
  'block',
  'exhausted',
  'quota',
  'address',
  'reload',
  'engine',
] as const;
export type EventClass = (typeof EVENT_CLASSES)[number];

/** Facilities of syslog by name (RFC 5424 6.2.1). */
export const FACILITIES = {
  kern: 0,
  user: 1,
  mail: 2,
  daemon: 3,
  auth: 4,
  syslog: 5,
  lpr: 6,
  news: 7,
  uucp: 8,
  cron: 9,
  authpriv: 10,
  ftp: 11,
  local0: 16,
  local1: 17,
  local2: 18,
  local3: 19,
  local4: 20,
  local5: 21,
  local6: 22,
  local7: 23,
} as const;
export type Facility = keyof typeof FACILITIES;

interface Limited {
  /** Null: all. */
  only: readonly EventClass[] | null;
}

export interface FileSinkOptions extends Limited {
  kind: 'file';
  path: string;
  /** Bytes of a file, at most. */
  rotateBytes: number;
  /** Full files that stay, as PATH.1 (the newest) and so on. */
  keep: number;
}

export interface StdoutSinkOptions extends Limited {
  kind: 'stdout';
}

export interface SyslogSinkOptions extends Limited {
  kind: 'syslog';
  host: string;
  port: number;
  facility: Facility;
}

export interface IpfixSinkOptions extends Limited {
  kind: 'ipfix';
  host: string;
  port: number;
  /** Observation domain id (RFC 7011 3.1). */
  domain: number;
}

export type SinkOptions = FileSinkOptions | StdoutSinkOptions | SyslogSinkOptions | IpfixSinkOptions;

/** MiB. */
export const DEFAULT_ROTATE_SIZE = 100;
export const DEFAULT_KEEP = 10;

/** As messages name it. */
export function sinkName(sink: SinkOptions): string {
  switch (sink.kind) {
    case 'file':
      return sink.path;
    case 'stdout':
      return 'stdout';
    case 'syslog':
      return `syslog ${sink.host}:${sink.port}`;
    case 'ipfix':
      return `ipfix ${sink.host}:${sink.port}`;
  }
}
