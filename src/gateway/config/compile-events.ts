/** Where events go, of a document. */
import { isAbsolute } from 'node:path';
import { formatAddress, parseAddress } from '../../wire/address.ts';
import { DEFAULT_KEEP, DEFAULT_ROTATE_SIZE, type SinkOptions } from '../events/options.ts';
import { hostAddress, type OptionText, port, splitOnce } from '../nat-syntax.ts';
import { elements } from './lists.ts';
import type { Path } from './problems.ts';
import type { Reader } from './reader.ts';
import type { ConfigDocument } from './schema.ts';

type Receiver = Extract<Exclude<ConfigDocument['events'], string>, readonly unknown[]>[number];
const MIB = 2 ** 20;

/** What is wrong is the reader's. */
export function eventsOf(value: ConfigDocument['events'], reader: Reader): SinkOptions[] {
  if (value === 'off') return [];
  const sinks = elements<Receiver>(['events'], value).flatMap(({ path, value: receiver }) =>
    sinksOf(receiver, path, reader),
  );
  const files = new Set<string>();
  let hasStdout = false;
  for (const { path, sink } of sinks) {
    if (sink.kind === 'file') {
      if (files.has(sink.path)) reader.error(path, `${sink.path} is named twice`, 'give each file one entry');
      files.add(sink.path);
    } else if (sink.kind === 'stdout') {
      if (hasStdout) reader.error(path, 'standard output is named twice', 'say it once');
      hasStdout = true;
    }
  }
  return sinks.map(({ sink }) => sink);
}

function sinksOf(receiver: Receiver, path: Path, reader: Reader): { path: Path; sink: SinkOptions }[] {
  const { file, stdout, syslog, ipfix, kinds } = receiver;
  const only = kinds ?? null;
  if (only?.length === 0)
    reader.error([...path, 'kinds'], 'no kind is named', 'leave it out for all of them');
  const sinks: { path: Path; sink: SinkOptions }[] = [];
  if (file !== undefined) {
    const isText = typeof file === 'string';
    const at = [...path, 'file', ...(isText ? [] : ['path'])];
    const name = isText ? file : file.path;
    if (!isAbsolute(name) || name.endsWith('/')) {
      reader.error(
        at,
        `${JSON.stringify(name)} is no absolute path of a file`,
        'e.g. /var/log/natgate/events.jsonl',
      );
    }
    const { size, keep } = isText ? { size: DEFAULT_ROTATE_SIZE, keep: DEFAULT_KEEP } : file;
    sinks.push({ path: at, sink: { kind: 'file', path: name, rotateBytes: size * MIB, keep, only } });
  }
  if (stdout) sinks.push({ path: [...path, 'stdout'], sink: { kind: 'stdout', only } });
  if (syslog !== undefined) {
    const isText = typeof syslog === 'string';
    const at = [...path, 'syslog', ...(isText ? [] : ['to'])];
    const to = socketOf(reader, at, isText ? syslog : syslog.to, '192.0.2.9:514');
    const facility = isText ? 'daemon' : syslog.facility;
    if (to !== undefined) sinks.push({ path: at, sink: { kind: 'syslog', ...to, facility, only } });
  }
  if (ipfix !== undefined) {
    const isText = typeof ipfix === 'string';
    const at = [...path, 'ipfix', ...(isText ? [] : ['to'])];
    const to = socketOf(reader, at, isText ? ipfix : ipfix.to, '192.0.2.9:4739');
    const domain = isText ? 0 : ipfix.domain;
    if (to !== undefined) sinks.push({ path: at, sink: { kind: 'ipfix', ...to, domain, only } });
  }
  if (!file && !stdout && !syslog && !ipfix) {
    reader.error(path, 'no receiver is named', 'give file, stdout, syslog or ipfix; or `events: off`');
  }
  return sinks;
}

function socketOf(
  reader: Reader,
  path: Path,
  text: string,
  example: string,
): { host: string; port: number } | undefined {
  return reader.attempt(path, () => {
    const from = reader.text(path, 'events', text, example);
    const [host, number] = splitOnce(text, ':') ?? [text, ''];
    return { host: formatAddress(address(from, host)), port: port(from, number) };
  });
}

/** That of a receiver may be loopback's. */
function address(from: OptionText, text: string): number {
  const found = parseAddress(text);
  return found !== null && (found & 0xff) === 127 ? found : hostAddress(from, text);
}
