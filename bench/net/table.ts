/** A table of strings, for the terminal and for Markdown. The first column is text, the others are figures. */

export interface Table {
  title: string;
  head: string[];
  rows: string[][];
}

export function renderText(table: Table): string {
  const lines = [table.head, ...table.rows];
  const widths = table.head.map((_, column) => Math.max(...lines.map((line) => [...line[column]!].length)));
  const render = (line: string[]) =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [table.title, '', render(table.head), rule, ...table.rows.map(render), ''].join('\n');
}

export function renderMarkdown(table: Table): string {
  const render = (line: string[]) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = `|${table.head.map((_, column) => (column === 0 ? '---' : '---:')).join('|')}|`;
  return [`### ${table.title}`, '', render(table.head), rule, ...table.rows.map(render), ''].join('\n');
}
