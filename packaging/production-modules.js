/**
 * The installed packages that natgate runs with, from npm's lock file: one path (node_modules/…) a line, without those
 * that lie within another; with `--copyright` what debian/copyright says of each. Called as `node production-modules.js ROOT [--copyright]`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [root = '.', format] = process.argv.slice(2);
const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
// An optional peer that is not there was not wanted.
const paths = Object.keys(packages).filter(
  (path) => path !== '' && !packages[path].dev && !packages[path].devOptional && existsSync(join(root, path)),
);

for (const path of paths) {
  if (format === '--copyright') console.log(paragraph(path));
  else if (path.lastIndexOf('node_modules/') === 0) console.log(path);
}

/** In the machine-readable format; the text of a licence is indented by a blank, an empty line is a dot. */
function paragraph(path) {
  const { license = 'unknown', author } = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8'));
  const file = readdirSync(join(root, path)).find((name) => /^licen[cs]e/i.test(name));
  const whole = file === undefined ? '' : readFileSync(join(root, path, file), 'utf8').trim();
  // Its text is on every Debian.
  const text = license === 'Apache-2.0' ? '' : whole;
  const who =
    /^.*copyright .*\d{4}.*$/im.exec(whole)?.[0].trim() ??
    (typeof author === 'string' ? author : author?.name);
  const lines = text.split(/\r?\n/).map((line) => ` ${line.trim() || '.'}`);
  const files = `Files: usr/lib/natgate/${path}/*\nCopyright: ${who ?? 'its authors'}`;
  const said = text === '' ? '' : `\n${lines.join('\n')}`;
  return `\n${files}\nLicense: ${license}${said}`;
}
