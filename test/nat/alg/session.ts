/** A session for helpers under test: ports are given by rule, and what is asked for is kept. */
import type { AlgSession, Edit, Wanted } from '../../../src/nat/alg/session.ts';
import { applyEdits } from '../../../src/nat/alg/session.ts';
import { parseAddress } from '../../../src/wire/address.ts';

export const CLIENT = '10.0.0.2';
export const EXTERNAL = '198.51.100.1';
export const SERVER = '203.0.113.9';

export class FakeSession implements AlgSession {
  protocol: number;
  direction: 0 | 1;
  source: number;
  sourcePort: number;
  destination: number;
  destinationPort: number;
  newSource: number;
  newSourcePort: number;
  newDestination: number;
  newDestinationPort: number;
  readonly wanted: Wanted[] = [];
  readonly calls: string[] = [];
  /** External port of a port; -1: none is to be had. */
  portFor = (port: number): number => port;
  callIdFor = (id: number): number => id;
  kept = false;

  /** A flow from CLIENT:port, known as EXTERNAL:external, to SERVER:serverPort; a packet of this direction. */
  constructor(direction: 0 | 1, protocol: number, port: number, external: number, serverPort: number) {
    const [client, outer, server] = [CLIENT, EXTERNAL, SERVER].map((text) => parseAddress(text)!) as [
      number,
      number,
      number,
    ];
    this.protocol = protocol;
    this.direction = direction;
    const out = direction === 0;
    this.source = out ? client : server;
    this.sourcePort = out ? port : serverPort;
    this.destination = out ? server : outer;
    this.destinationPort = out ? serverPort : external;
    this.newSource = out ? outer : server;
    this.newSourcePort = out ? external : serverPort;
    this.newDestination = out ? server : client;
    this.newDestinationPort = out ? serverPort : port;
  }

  expect(wanted: Wanted): number {
    const known = this.wanted.find(({ port, kind }) => port === wanted.port && kind === wanted.kind);
    if (known === undefined) this.wanted.push(wanted);
    return this.newSource === this.source ? wanted.port : this.portFor(wanted.port);
  }

  expectPair(wanted: Wanted): number {
    const lower = this.expect(wanted);
    this.expect({ ...wanted, port: wanted.port + 1 });
    return lower;
  }

  portOf(_protocol: number, _address: number, port: number): number {
    return this.wanted.some((one) => one.port === port) ? this.portFor(port) : -1;
  }

  refresh(protocol: number, externalPort: number, kind: number, seconds: number): void {
    this.calls.push(`refresh ${protocol} ${externalPort} ${kind} ${seconds}`);
  }

  forget(kinds: readonly number[]): void {
    this.calls.push(`forget ${kinds.join(' ')}`);
  }

  keep(): void {
    this.kept = true;
  }

  callId(id: number): number {
    return this.callIdFor(id);
  }

  call(own: number, told: number, peer: number): boolean {
    this.calls.push(`call ${own} ${told} ${peer}`);
    return true;
  }

  hangUp(own: number, told: number, peer: number): void {
    this.calls.push(`hang up ${own} ${told} ${peer}`);
  }
}

/** The payload as it leaves; null when it is dropped. */
export function result(text: string, edits: readonly Edit[] | null): string | null {
  return edits === null ? null : applyEdits(text, edits);
}
