/**
 * What a run has exercised, counted by the state natgate was in before each packet: cells of the TCP state table, window
 * and RST rules, ICMP errors by type and quote, fragments by shape. All cells are known before the run, so that a
 * forgotten one shows as zero.
 */
import { cell, type Group, hit, newGroup } from './coverage-group.ts';
import type { Before, NatgateGateway } from './natgate.ts';
import type { QuoteClass, Step } from './step.ts';
import { TcpCoverage } from './tcp-coverage.ts';

const ERROR_TYPES = ['3', '4', '5', '11', '12', 'other'];
const QUOTES: readonly QuoteClass[] = [
  'none',
  'cut-header',
  'header',
  'header+4',
  'header+7',
  'header+8',
  'transport',
  'options',
  'full',
  'rfc4884',
];
const SHAPES = [
  'in order',
  'reversed',
  'shuffled',
  'first last',
  'tiny',
  'overlapping',
  'duplicate',
  'missing',
  'interleaved',
];
const SIDES = ['private', 'public'];

export class Coverage {
  private readonly tcp = new TcpCoverage();
  private readonly errors = newGroup('ICMP errors by type and quote', ERROR_TYPES, QUOTES);
  private readonly codes = newGroup(
    'destination unreachable by code',
    SIDES,
    Array.from({ length: 16 }, (_, code) => String(code)),
  );
  private readonly shapes = newGroup('fragments by shape', SIDES, SHAPES);

  count(step: Step, before: Before, natgate: NatgateGateway): void {
    const { packet, cut, from } = step;
    if (cut !== undefined) hit(this.shapes, from, cut.shape);
    if (packet.kind === 'error') {
      const type = String(packet.type);
      hit(this.errors, ERROR_TYPES.includes(type) ? type : 'other', packet.quote);
      if (packet.type === 3) hit(this.codes, from, String(packet.code));
    } else if (packet.kind === 'tcp' && packet.offset === undefined) {
      this.tcp.count(packet, before, natgate.track);
    }
  }

  get groups(): readonly Group[] {
    return [...this.tcp.groups, this.errors, this.codes, this.shapes];
  }

  /** Reachable cells that nothing has hit, as readable names. */
  missed(): string[] {
    return this.groups.flatMap(({ title, rows, columns, counts, unreachable }) =>
      rows.flatMap((row) =>
        columns
          .filter((column) => !counts.has(cell(row, column)) && !unreachable.has(cell(row, column)))
          .map((column) => `${title}: ${row}, ${column}`),
      ),
    );
  }
}
