/** docs/benchmarks.md: sections that commands write, each between markers of its own, and text kept by hand. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Puts the section `name` into the page in place of the one it has, or at its end. */
export function replaceSection(page: string, name: string, section: string): string {
  const [first, last] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const block = `${first}\n\n${section.trimEnd()}\n\n${last}\n`;
  const begin = page.indexOf(first);
  const end = page.indexOf(last);
  if (begin < 0 || end < begin) return `${page.trimEnd()}\n\n${block}`;
  return page.slice(0, begin) + block + page.slice(end + last.length).replace(/^\n/, '');
}

/** The page and what lies beside it, in the repository at `root`. */
export class Page {
  private readonly path: string;
  private readonly folder: string;

  constructor(root: string) {
    this.path = join(root, 'docs/benchmarks.md');
    this.folder = join(root, 'docs/benchmarks');
  }

  read(): string {
    return existsSync(this.path) ? readFileSync(this.path, 'utf8') : '# Benchmarks\n';
  }

  writeSection(name: string, section: string): void {
    writeFileSync(this.path, replaceSection(this.read(), name, section));
  }

  append(text: string): void {
    writeFileSync(this.path, `${this.read().trimEnd()}\n\n${text}`);
  }

  /** A file of docs/benchmarks/, or undefined. */
  readBeside(file: string): string | undefined {
    const path = join(this.folder, file);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  }

  writeBeside(file: string, content: string): void {
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(join(this.folder, file), content);
  }
}
