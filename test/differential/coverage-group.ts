/** A table of cells and how often each was hit. */
export interface Group {
  title: string;
  rows: readonly string[];
  columns: readonly string[];
  counts: Map<string, number>;
  /** Cells that no packet can reach, as `row|column`, each with the reason. */
  unreachable: ReadonlyMap<string, string>;
}

export const cell = (row: string, column: string): string => `${row}|${column}`;

export function newGroup(
  title: string,
  rows: readonly string[],
  columns: readonly string[],
  unreachable: ReadonlyMap<string, string> = new Map(),
): Group {
  return { title, rows, columns, counts: new Map(), unreachable };
}

export function hit(group: Group, row: string, column: string): void {
  const name = cell(row, column);
  group.counts.set(name, (group.counts.get(name) ?? 0) + 1);
}
