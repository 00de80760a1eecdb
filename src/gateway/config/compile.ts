/**
 * A document as RunOptions. Pure: the host is not looked at.
 *
 *     document (defaults filled in) ─▶ sets ─▶ nat, firewall, the rest ─▶ RunOptions
 *                                       └── what is wrong: reader ──┘
 */
import type { Timeouts } from '../../conntrack/timeouts.ts';
import { rfcTimeouts } from '../../conntrack/timeouts.ts';
import type { HelperConfig } from '../../nat/alg/registry.ts';
import { hostAddress, port, prefix, splitOnce } from '../nat-syntax.ts';
import {
  type ControlOptions,
  controlSocket,
  DEFAULT_PORTS,
  type DnsOptions,
  type PrivateInterface,
  parseHelpers,
  parseInterface,
  parsePortRange,
  parsePrivate,
  type RunOptions,
} from '../options.ts';
import { parseWorkers, refuseWithWorkers } from '../workers-option.ts';
import { compileSets } from './addresses.ts';
import { eventsOf } from './compile-events.ts';
import { compileFirewall } from './compile-firewall.ts';
import { compileNat } from './compile-nat.ts';
import { elements, listOf } from './lists.ts';
import type { Path } from './problems.ts';
import type { Reader } from './reader.ts';
import type { ConfigDocument } from './schema.ts';

export interface Identity {
  name: string;
  stateRoot: string;
  /** The file; null without one. */
  configPath: string | null;
}

/** What is wrong is the reader's: where it has an error, what is returned must not be used. */
export function compile(document: ConfigDocument, identity: Identity, reader: Reader): RunOptions {
  const insides = privateInterfaces(document.private, reader);
  reader.attempt(['public'], () => parseInterface('public', document.public));
  const ports =
    reader.attempt(['ports'], () => parsePortRange(document.ports)) ?? parsePortRange(DEFAULT_PORTS);
  const sets = compileSets(reader, document.sets);
  const nat = compileNat(document, sets, ports, reader);
  const served = new Set([...insides.map(({ name }) => name), document.public]);
  const helpers = helpersOf(document.helpers, reader);
  const { engine, limits } = document;
  const options: RunOptions = {
    name: identity.name,
    stateRoot: identity.stateRoot,
    configPath: identity.configPath,
    private: insides,
    public: document.public,
    ports,
    nat,
    timeouts: changedTimeouts(document.timeouts),
    flows: limits.flows,
    workers: reader.attempt(['engine', 'workers'], () => parseWorkers(engine.workers)) ?? 1,
    helpers,
    lingerSeconds: engine.linger,
    standby: engine.standby,
    user: engine.user,
    txQueueLength: engine.txqueuelen,
    clampMss: document['clamp-mss'],
    evict: document.evict,
    unsolicited: document.unsolicited,
    firewall: compileFirewall(document.firewall, sets, served, reader),
    dns: dnsOf(document.dns, reader),
    control: controlOf(document.control, identity, reader),
    metrics: metricsOf(document.metrics, reader),
    events: eventsOf(document.events, reader),
    log: document.log,
  };
  // Of what is wrong in itself nothing follows.
  if (!reader.failed) reader.attempt(['engine', 'workers'], () => refuseWithWorkers(options), true);
  return options;
}

function privateInterfaces(value: ConfigDocument['private'], reader: Reader): PrivateInterface[] {
  type Inside = Exclude<ConfigDocument['private'], readonly unknown[]>;
  const names = new Set<string>();
  const list = elements<Inside>(['private'], value);
  if (list.length === 0) reader.error(['private'], 'no interface is named', 'give one at least, e.g. eth1');
  return list.map(({ path, value: inside }) => {
    const isText = typeof inside === 'string';
    // A text may be as the flag takes it, NAME=NETWORK,NETWORK.
    const parsed = isText ? reader.attempt(path, () => parsePrivate(inside)) : undefined;
    if (isText && parsed === undefined) return { name: inside, networks: [] };
    const name = isText ? parsed!.name : inside.interface;
    const at = isText ? path : [...path, 'interface'];
    if (!isText) reader.attempt(at, () => parseInterface('private', name));
    if (names.has(name)) reader.error(at, `${name} is named twice`, 'name every interface once');
    names.add(name);
    const networks = isText
      ? parsed!.networks
      : listOf(reader, [...path, 'networks'], inside.networks, (each, text) =>
          prefix(reader.text(each, 'networks', text, '10.1.0.0/16'), text),
        );
    return { name, networks: networks ?? [] };
  });
}

function changedTimeouts(timeouts: ConfigDocument['timeouts']): Partial<Timeouts> {
  return Object.fromEntries(
    Object.entries(timeouts).filter(([name, seconds]) => rfcTimeouts[name as keyof Timeouts] !== seconds),
  );
}

/** Each is read after those before it, so that a second one for a port is the one at fault. */
function helpersOf(list: ConfigDocument['helpers'], reader: Reader): HelperConfig[] {
  const good: string[] = [];
  list.forEach((helper, i) => {
    const text = typeof helper === 'string' ? helper : withPort(helper);
    const path: Path = ['helpers', i];
    if (reader.attempt(path, () => parseHelpers([...good, text])) !== undefined) good.push(text);
  });
  return parseHelpers(good);
}

function withPort({ name, port: number }: { name: string; port?: number | undefined }): string {
  return number === undefined ? name : `${name}=${number}`;
}

function dnsOf(dns: ConfigDocument['dns'], reader: Reader): DnsOptions | null {
  if (dns === 'off') return null;
  const isMap = typeof dns === 'object' && !Array.isArray(dns);
  const path = isMap ? ['dns', 'upstream'] : ['dns'];
  const value = isMap ? (dns as { upstream: string | string[] }).upstream : (dns as string | string[]);
  const words = elements<string>(path, value);
  const system = words.find((word) => word.value === 'system');
  if (system !== undefined && words.length > 1) {
    reader.error(
      system.path,
      'system stands for all resolvers of /etc/resolv.conf',
      'give it alone, or list addresses',
    );
  }
  if (words.length === 0) reader.error(path, 'no resolver is named', 'list addresses, or give system or off');
  if (system !== undefined) return { upstream: [], system: true };
  const upstream = listOf<string, number>(reader, path, value, (at, text) =>
    hostAddress(reader.text(at, 'dns', text, '192.0.2.53'), text),
  );
  return { upstream: upstream ?? [], system: false };
}

function controlOf(control: ConfigDocument['control'], identity: Identity, reader: Reader): ControlOptions {
  const { socket, mode } = control;
  const at = (key: string) => ['control', key];
  if (!['auto', 'off'].includes(socket) && !socket.startsWith('/')) {
    reader.error(
      at('socket'),
      `${socket} is no absolute path`,
      'give auto, off, or a path that begins with /',
    );
  } else if (Buffer.byteLength(socket) > 107) {
    reader.error(
      at('socket'),
      'the path is longer than the 107 bytes of a unix socket',
      'give a shorter one',
    );
  }
  if (!/^0?[0-7]{3}$/.test(mode)) {
    reader.error(at('mode'), `${mode} is no permissions`, 'give three octal digits in quotes, e.g. "0660"');
  }
  if (control.group !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/.test(control.group)) {
    reader.error(at('group'), `${control.group} is no name of a group`, 'give a name or a GID');
  }
  const path = socket === 'auto' ? controlSocket(identity.stateRoot, identity.name) : socket;
  return {
    socket: socket === 'off' ? null : path,
    group: control.group ?? null,
    mode: Number.parseInt(mode, 8),
  };
}

function metricsOf(value: ConfigDocument['metrics'], reader: Reader): RunOptions['metrics'] {
  if (value === 'off') return null;
  const isText = typeof value === 'string';
  const text = isText ? value : value.listen;
  const path = isText ? ['metrics'] : ['metrics', 'listen'];
  const found = reader.attempt(path, () => {
    const from = reader.text(path, 'metrics', text, '127.0.0.1:9469, or off');
    const [addressText, portText] = splitOnce(text, ':') ?? [text, ''];
    const address = ['127.0.0.1', '0.0.0.0'].includes(addressText)
      ? { '127.0.0.1': 0x0100007f, '0.0.0.0': 0 }[addressText]!
      : hostAddress(from, addressText);
    return { address, port: port(from, portText) };
  });
  const more = isText ? { public: false, page: false } : value;
  const tokenFile = isText ? null : (value['token-file'] ?? null);
  if (more.page && more.public) {
    reader.error(
      ['metrics', 'page'],
      'the page shows who talks with whom, and the world may ask',
      'leave `public` out, and reach the page by ssh -L',
    );
  }
  if (tokenFile !== null && !more.page) {
    reader.error(['metrics', 'token-file'], 'without a page nothing asks for a token', 'add `page: true`');
  }
  return found === undefined ? null : { ...found, public: more.public, page: more.page, tokenFile };
}
