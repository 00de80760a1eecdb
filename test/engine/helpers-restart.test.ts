/** The engine is killed under an FTP control connection whose numbers a helper has changed: the next one goes on with them. */
import { describe, expect, test } from 'vitest';
import type { HelperJournal } from '../../src/engine/helper-journal.ts';
import { openState } from '../../src/engine/state.ts';
import { OWNED_BYTES } from '../../src/nat/owned.ts';
import { tcpPacket } from '../../src/testing/index.ts';
import { Bed, PRIVATE, PUBLIC, to } from './bed.ts';
import {
  CLIENT,
  Connection,
  type Ends,
  EXTERNAL,
  FTP,
  numbers,
  only,
  payloadOf,
  SERVER,
} from './helpers-bed.ts';

/** The port that it names is not one of natgate's, so the external one is drawn by lot: another engine would draw another. */
const LINE = 'PORT 10,77,0,2,1,2\r\n';
const FIRST_WORD = 2;

class Killed implements Ends {
  bed: Bed;
  readonly lines: string[] = [];
  private sent: ReturnType<Bed['out']> = [];

  constructor(after?: Bed['state'], seed = 1) {
    this.bed = new Bed({
      helpers: [FTP],
      tap: false,
      seed,
      log: (line) => this.lines.push(line),
      ...(after && { after: { state: after, owned: new Uint8Array(OWNED_BYTES), now: 0 } }),
    });
  }

  sendPrivate(packet: Uint8Array): void {
    this.sent = this.bed.out(packet);
  }

  sendPublic(packet: Uint8Array): void {
    this.sent = this.bed.in(packet);
  }

  receivePublic(): Uint8Array[] {
    return to(PUBLIC, this.sent);
  }

  receivePrivate(): Uint8Array[] {
    return to(PRIVATE, this.sent);
  }

  /** Another engine, on what this one has left. */
  restart(seed = 2, helpers = [FTP]): void {
    const { state, owned, now } = this.bed;
    this.bed = new Bed({
      helpers,
      tap: false,
      seed,
      log: (line) => this.lines.push(line),
      after: { state: state.slice(0), owned: owned.slice(), now },
    });
  }
}

function begun(): { gateway: Killed; control: Connection } {
  const gateway = new Killed();
  return { gateway, control: new Connection(gateway, `${CLIENT}:40000`, `${SERVER}:21`) };
}

/** With SACK blocks of `edges`. */
function sackFromServer(edges: number[]): Uint8Array {
  const options = new Uint8Array(2 + 2 + edges.length * 4);
  options.set([1, 1, 5, 2 + edges.length * 4]);
  const view = new DataView(options.buffer);
  for (const [i, edge] of edges.entries()) view.setUint32(4 + i * 4, edge);
  return options;
}

describe('control connection whose numbers have changed', () => {
  test('goes on in both directions, SACK blocks too, and with a second change after the restart', () => {
    const { gateway, control } = begun();
    const first = payloadOf(control.toServer(LINE)).length - LINE.length;
    expect(first).toBeGreaterThan(0);
    control.toClient('200 ok\r\n');
    gateway.restart();
    const sent = 1000 + LINE.length;
    expect(numbers(control.toClient('150 opening\r\n')).ack).toBe(sent);
    expect(numbers(control.toServer('NOOP\r\n')).seq).toBe(sent + first);
    const behind = sent + 6 + first;
    gateway.sendPublic(
      tcpPacket({
        from: `${SERVER}:21`,
        to: `${EXTERNAL}:${control.external}`,
        flags: 'A',
        seq: control.serverNext,
        ack: behind,
        options: sackFromServer([behind + 10, behind + 30]),
      }),
    );
    const sacked = only(gateway.receivePrivate());
    const view = new DataView(sacked.buffer, sacked.byteOffset);
    expect([view.getUint32(28), view.getUint32(44), view.getUint32(48)]).toEqual([
      sent + 6,
      sent + 16,
      sent + 36,
    ]);
    // A command that begins the segment is read at once: where lines begin is known.
    const second = payloadOf(control.toServer('PORT 10,77,0,2,1,3\r\n')).length - LINE.length;
    expect(second).toBeGreaterThan(0);
    gateway.restart(3);
    expect(numbers(control.toServer('LIST\r\n')).seq).toBe(1000 + 2 * LINE.length + 6 + first + second);
    expect(numbers(control.toClient('226 done\r\n')).ack).toBe(control.clientNext);
    expect(gateway.lines).toEqual([]);
    gateway.bed.checkInvariants();
  });

  test('the line that comes again after the restart leaves as it did before', () => {
    const { gateway, control } = begun();
    const first = control.toServer(LINE);
    for (const seed of [2, 3, 4]) {
      gateway.restart(seed);
      const again = control.toServer(LINE, 'PA', 1000);
      expect(payloadOf(again)).toBe(payloadOf(first));
      expect(numbers(again)).toEqual(numbers(first));
    }
    // The data connection is expected again.
    const [high, low] = payloadOf(first).trim().split(',').slice(4).map(Number) as [number, number];
    gateway.sendPublic(
      tcpPacket({ from: `${SERVER}:20`, to: `${EXTERNAL}:${high * 256 + low}`, flags: 'S', seq: 1 }),
    );
    expect(numbers(only(gateway.receivePrivate())).to).toBe(258);
  });

  test('a line that comes again, and cannot be as long as it was, is not sent', () => {
    const { gateway, control } = begun();
    control.toServer(LINE);
    gateway.sendPrivate(
      tcpPacket({
        from: `${CLIENT}:40000`,
        to: `${SERVER}:21`,
        flags: 'PA',
        seq: 1000,
        ack: control.clientSeen,
        payload: Buffer.from('PORT 10,77,0,2,200,20\r\n'),
      }),
    );
    expect(gateway.receivePublic()).toEqual([]);
    expect(gateway.bed.drops).toEqual({ helper_failed: 1 });
  });

  test('a change for which there is no place to write it down is not made', () => {
    const { gateway, control } = begun();
    const { journal } = gateway.bed.engine.helpers as unknown as { journal: HelperJournal };
    journal.hasRoom = () => false;
    expect(() => control.toServer(LINE)).toThrow();
    expect(gateway.bed.drops).toEqual({ helper_failed: 1 });
    expect(payloadOf(control.toServer('NOOP\r\n', 'PA', 1000))).toBe('NOOP\r\n');
  });

  test('goes on when the helper is not configured any more', () => {
    const { gateway, control } = begun();
    const growth = payloadOf(control.toServer(LINE)).length - LINE.length;
    gateway.restart(2, []);
    expect(numbers(control.toServer('LIST\r\n')).seq).toBe(1000 + LINE.length + growth);
  });

  test('a new connection with the number of one that has ended has numbers of its own', () => {
    const { gateway, control } = begun();
    control.toServer(LINE);
    control.toServer('', 'R');
    gateway.bed.pass(242_000);
    expect(gateway.bed.engine.tracker.table.count).toBe(0);
    expect(openState(gateway.bed.state).journal.every((word) => word === 0)).toBe(true);
    const next = new Connection(gateway, `${CLIENT}:40001`, `${SERVER}:21`);
    gateway.restart();
    expect(numbers(next.toServer('LIST\r\n')).seq).toBe(1000);
  });

  test('what is damaged is not believed, and said', () => {
    const { gateway, control } = begun();
    control.toServer(LINE);
    const { journal } = openState(gateway.bed.state);
    const slot = journal.findIndex((word, i) => word !== 0 && i % 32 === 1) - 1;
    journal[slot + FIRST_WORD + 9]! ^= 4;
    gateway.restart();
    expect(gateway.lines).toEqual(['not taken over from the engine before: what a helper knew of 1 flow']);
    expect(numbers(control.toServer('LIST\r\n')).seq).toBe(1000 + LINE.length);
    expect(gateway.bed.totals['flows_lost_at_restart']).toBe(0);
  });
});

describe.each([
  ['first', 0],
  ['second', 1],
])('killed after any store of the %s change', (_, earlier) => {
  test('the line comes again, and what follows it lands where the server waits', () => {
    const { gateway, control } = begun();
    for (let i = 0; i < earlier; i++) control.toServer(`PORT 10,77,0,2,1,${100 + i}\r\n`);
    const { clientNext, serverSeen } = control;
    const stores: [number, number][] = [];
    const base = gateway.bed.state.slice(0);
    watch(gateway.bed, stores);
    const first = control.toServer(LINE);
    const end = gateway.bed.state.slice(0);
    expect(stores.length).toBeGreaterThan(15);
    for (const rest of [base, end]) {
      for (let count = 0; count <= stores.length; count++) {
        const state = rest.slice(0);
        const { journal } = openState(state);
        journal.set(openState(base).journal);
        for (const [at, value] of stores.slice(0, count)) journal[at] = value;
        const next = new Killed(state, 9);
        const killed = Object.assign(Object.create(Connection.prototype) as Connection, control, {
          gateway: next,
          clientNext,
          serverSeen,
        });
        const again = killed.toServer(LINE);
        expect(numbers(again).seq).toBe(numbers(first).seq);
        expect(payloadOf(again)).toMatch(/^PORT 198,18,0,1,\d+,\d+\r\n$/);
        // Then it may have left.
        if (count === stores.length) expect(payloadOf(again)).toBe(payloadOf(first));
        const follows = killed.toServer('LIST\r\n');
        expect(numbers(follows).seq).toBe(numbers(again).seq + payloadOf(again).length);
        expect(numbers(killed.toClient('150 opening\r\n')).ack).toBe(killed.clientNext);
        expect(next.lines).toEqual([]);
      }
    }
  });
});

/** Writes down the stores of the engine to its journal. */
function watch({ engine }: Bed, stores: [number, number][]): void {
  const { helpers } = engine;
  const journal = helpers['journal'];
  const { words } = journal as unknown as { words: Int32Array };
  const proxy = new Proxy(words, {
    set: (_, at, value) => {
      stores.push([Number(at), value]);
      words[Number(at)] = value;
      return true;
    },
    get: (_, name) => Reflect.get(words, name, words),
  });
  Object.defineProperty(journal, 'words', { value: proxy });
  Object.defineProperty(journal['slots'], 'words', { value: proxy });
}
