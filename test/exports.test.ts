/**
 * What the package shows to the world, types included. A name that disappears from here breaks somebody; a new one
 * is a promise.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));

/** Its modules; package.json itself is there as well, for who looks for the package's folder. */
const entries = Object.keys(manifest.exports).filter((entry) => entry !== './package.json');

let program: ts.Program;
beforeAll(() => {
  const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  program = ts.createProgram(entries.map(sourceOf), options);
}, 60_000);

/** The source file behind an entry of package.json's `exports`. */
function sourceOf(entry: string): string {
  const { types, default: code } = manifest.exports[entry];
  expect(types.replace(/\.d\.ts$/, '.js')).toBe(code);
  return code.replace(/^\.\/dist\//, `${root}src/`).replace(/\.js$/, '.ts');
}

/** `name: kind` of everything an entry exports. */
function exportsOf(entry: string): string[] {
  const checker = program.getTypeChecker();
  const file = program.getSourceFile(sourceOf(entry))!;
  return checker
    .getExportsOfModule(checker.getSymbolAtLocation(file)!)
    .map((symbol) => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      return `${kindOf(target.flags)} ${symbol.name}`;
    })
    .sort();
}

function kindOf(flags: ts.SymbolFlags): string {
  if (flags & ts.SymbolFlags.Class) return 'class';
  if (flags & ts.SymbolFlags.Function) return 'function';
  if (flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias)) return 'type';
  return flags & ts.SymbolFlags.Variable ? 'const' : 'other';
}

test('entries', () => {
  expect(Object.keys(manifest.exports)).toEqual(['.', './conntrack', './testing', './package.json']);
});

test('natgate', () => {
  expect(exportsOf('.')).toMatchInlineSnapshot(`
    [
      "class NatgateError",
      "function isSystemError",
      "function version",
      "type SystemError",
    ]
  `);
});

test('natgate/conntrack', () => {
  expect(exportsOf('./conntrack')).toMatchInlineSnapshot(`
    [
      "class Conntrack",
      "class NatgateError",
      "const defaultTimeouts",
      "const netfilterTimeouts",
      "const rfcTimeouts",
      "function formatAddress",
      "function formatFlow",
      "function parseAddress",
      "type ConntrackOptions",
      "type ConntrackState",
      "type FlowEvent",
      "type FlowEventType",
      "type FlowFilter",
      "type FlowInfo",
      "type FlowLineOptions",
      "type FlowListener",
      "type FlowTuple",
      "type LineFlow",
      "type RestoreOptions",
      "type TcpOptions",
      "type Timeouts",
      "type TupleLike",
      "type Verdict",
    ]
  `);
});

test('natgate/testing', () => {
  expect(exportsOf('./testing')).toMatchInlineSnapshot(`
    [
      "class MemoryGateway",
      "class NatgateError",
      "class TcpConnection",
      "class UdpSocket",
      "class VirtualHost",
      "class VirtualNat",
      "class VirtualNetwork",
      "const defaultBehaviour",
      "const defaultFirewall",
      "const matchAll",
      "const matchAnything",
      "const namedNats",
      "function describePacket",
      "function echoPacket",
      "function formatAddress",
      "function icmpError",
      "function icmpPacket",
      "function masqueradeAll",
      "function parseAddress",
      "function parsePrefix",
      "function readPacket",
      "function tcpPacket",
      "function udpPacket",
      "function verifyChecksums",
      "type Accept",
      "type AddressRange",
      "type ConnectionLimit",
      "type Criterion",
      "type Dependence",
      "type Direction",
      "type Drop",
      "type EchoFields",
      "type Faults",
      "type FirewallAction",
      "type FirewallConfig",
      "type FirewallMatch",
      "type FirewallRule",
      "type FlowInfo",
      "type FlowTuple",
      "type Forward",
      "type ForwardTarget",
      "type Grouping",
      "type HelperConfig",
      "type HelperName",
      "type IcmpErrorFields",
      "type IcmpFields",
      "type IcmpMatch",
      "type IpFields",
      "type LinkFaults",
      "type MemoryGatewayOptions",
      "type Message",
      "type NatBehaviour",
      "type NatConfig",
      "type NatMatch",
      "type NatName",
      "type NatRule",
      "type OnAddressChange",
      "type Overload",
      "type PacketFields",
      "type Pass",
      "type PlaceOptions",
      "type Policy",
      "type PortChoice",
      "type PortRange",
      "type Prefix",
      "type PrefixPair",
      "type RateLimit",
      "type Reject",
      "type RejectWith",
      "type Return",
      "type RuleCount",
      "type Schedule",
      "type TcpEnd",
      "type TcpFields",
      "type TcpFlagsMatch",
      "type TcpListener",
      "type TcpState",
      "type Timeouts",
      "type ToChain",
      "type UdpFields",
      "type UdpListener",
      "type VirtualNatOptions",
      "type VirtualNetworkOptions",
    ]
  `);
});

test('what is exported as a value is there when it is imported', async () => {
  for (const entry of entries) {
    const module = await import(sourceOf(entry));
    const values = exportsOf(entry)
      .filter((line) => !line.startsWith('type '))
      .map((line) => line.split(' ')[1]);
    expect(Object.keys(module).sort()).toEqual(values.sort());
  }
});
