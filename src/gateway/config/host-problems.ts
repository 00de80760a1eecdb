/**
 * A configuration against this host: what `run` would refuse here or warn of, with the place in the file. What may be only for now
 * (an interface that is not there, or has no address) is a warning: the file may be for another host or a later moment.
 */

import type { Check } from '../../host/checks/check.ts';
import { checkInterfaces } from '../../host/checks/interfaces.ts';
import { checkAddon } from '../../host/checks/machine.ts';
import { checkNat } from '../../host/checks/nat.ts';
import { type NatFacts, readNatFacts } from '../../host/checks/nat-facts.ts';
import { checkPorts } from '../../host/checks/ports.ts';
import { privateNetworks } from '../../host/interfaces.ts';
import { aggregate, prefixSize } from '../../nat/dedicated.ts';
import type { AddressRange } from '../../policy/firewall-config.ts';
import { OptionText } from '../nat-syntax.ts';
import type { RunOptions } from '../options.ts';
import { workersWarning } from '../workers-option.ts';
import { range } from './addresses.ts';
import { elements } from './lists.ts';
import type { Path, Place, Problem } from './problems.ts';
import { inKeys } from './reader.ts';
import type { ConfigDocument } from './schema.ts';

/** Failures of a check that may be over when the gateway runs. */
const FOR_NOW = ['interface_unknown', 'private_without_address', 'ports_in_use', 'port_in_use'];
/**
 * Ports of each protocol below which a private address is badly off: a browser with a few pages open has as many
 * connections.
 */
const FEW_PORTS = 16;

/** Changes nothing. As another user than root it sees all but who holds raw sockets. */
export function hostProblems(
  options: RunOptions,
  document: ConfigDocument,
  placeOf: (path: Path) => Place | null,
): Problem[] {
  const addon = checkAddon();
  if (addon.status === 'fail') {
    const remedy = addon.remedy;
    return [
      {
        severity: 'warning',
        path: [],
        what: `the host is not looked at: ${addon.what}`,
        remedy,
        place: placeOf([]),
      },
    ];
  }
  const served = { private: options.private.map(({ name }) => name), public: options.public };
  const found = checkInterfaces(served);
  const problems: Problem[] = [];
  const add = (severity: Problem['severity'], path: Path, what: string, remedy: string) =>
    problems.push({ severity, path, what: inKeys(what), remedy: inKeys(remedy), place: placeOf(path) });
  const addChecks = (checks: readonly Check[]) => {
    for (const { name, status, what, remedy, code } of checks) {
      if (status === 'ok') continue;
      const severity = status === 'fail' && !FOR_NOW.includes(code) ? 'error' : 'warning';
      const subject = what.startsWith('it ') ? `${name.split(' ').at(-1)}: ` : '';
      add(severity, pathOf(name, options, document), `${subject}${what}`, remedy);
    }
  };
  addChecks([...found, ...checkPorts(options.ports)]);
  const isThere = found.every(({ code }) => code !== 'interface_unknown');
  if (isThere && found.every(({ code }) => code !== 'same_interface')) {
    const facts = readNatFacts(served);
    addChecks(checkNat(options.nat, facts));
    addTooFewPorts(options, facts, add);
  }
  const tooMany = workersWarning(options.workers);
  if (tooMany !== null) add('warning', ['engine', 'workers'], tooMany.replace(/^--workers /, ''), '');
  return problems;
}

function addTooFewPorts(
  { nat, private: insides }: RunOptions,
  { served }: NatFacts,
  add: (severity: 'warning', path: Path, what: string, remedy: string) => void,
): void {
  const networks = [...privateNetworks(served), ...insides.flatMap((inside) => inside.networks)];
  const hosts = aggregate(networks.filter(({ length }) => length > 0)).reduce(
    (sum, one) => sum + prefixSize(one),
    0,
  );
  const { ports, addresses, action } = nat.rules.at(-1)!;
  const count = (ports.last - ports.first + 1) * Math.max(1, addresses.length);
  if (count >= hosts * FEW_PORTS) return;
  add(
    'warning',
    action === 'pool' ? ['external'] : ['ports'],
    `${count} ports of each protocol for ${hosts} private addresses: ${Math.floor(count / hosts)} each if all are in use`,
    'give more addresses under `external`, or a wider range of `ports`',
  );
}

/** From the name that a check has. */
function pathOf(
  name: string,
  { private: insides, public: outside, nat }: RunOptions,
  document: ConfigDocument,
): Path {
  const [word = '', ...rest] = name.split(' ');
  const subject = rest.join(' ');
  if (word === 'interface') {
    const inside = insides.findIndex((one) => one.name === subject);
    if (inside >= 0 && subject !== outside) return insides.length === 1 ? ['private'] : ['private', inside];
    return ['public'];
  }
  if (word === 'ports') return ['ports'];
  if (word === 'networks') return ['public'];
  if (word === 'deterministic') return ['nat', 'deterministic'];
  if (word === 'external') return externalPath(subject, document);
  if (word === 'forward') {
    const number = nat.forwards.findIndex((forward) => forward.name === subject);
    return number < 0 ? ['forwards'] : ['forwards', numberInFile(nat.forwards, number)];
  }
  return word === 'one-to-one' || word === 'netmap' ? ['one-to-one'] : [];
}

/** Who names this dedicated address, or the first of this prefix. */
function externalPath(text: string, document: ConfigDocument): Path {
  const wanted = rangeOf(text);
  const names = (one: string | undefined) => {
    const own = one === undefined ? null : rangeOf(one);
    return own !== null && wanted !== null && own.first <= wanted.last && wanted.first <= own.last;
  };
  const pools = [
    ...elements<string>(['external'], document.external),
    ...document['nat-rules'].flatMap(({ translate }, i) =>
      elements<string>(['nat-rules', i, 'translate'], translate ?? []),
    ),
    ...document.forwards.map((forward, i) => ({
      path: ['forwards', i],
      value: typeof forward === 'string' ? (/:([\d.]+):/.exec(forward)?.[1] ?? '') : (forward.address ?? ''),
    })),
    ...document['one-to-one'].map((pair, i) => ({
      path: ['one-to-one', i],
      value: typeof pair === 'string' ? pair.split('=')[0]! : pair.external,
    })),
  ];
  return pools.find(({ value }) => names(value))?.path ?? [];
}

/** Null: it is no address, prefix or range. */
function rangeOf(text: string): AddressRange | null {
  try {
    return range(new OptionText('external', text, ''), text);
  } catch {
    return null;
  }
}

/** A forward of both protocols is one in the file, and two here, one after the other. */
function numberInFile(forwards: RunOptions['nat']['forwards'], number: number): number {
  let inFile = -1;
  for (let i = 0; i <= number; i++) {
    const [before, forward] = [forwards[i - 1], forwards[i]!];
    const isSecond = before !== undefined && before.targets === forward.targets;
    if (!isSecond) inFile++;
  }
  return inFile;
}
