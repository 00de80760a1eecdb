/** Changes of the file's text: what comes and goes, and that nothing else does. */
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Change, editOf } from '../../../src/gateway/config/change.ts';
import { editText, replaceFile } from '../../../src/gateway/config/edit.ts';

const edited = (text: string, change: Change) => editText(text, editOf(parse(text) ?? {}, change));
const drop = { name: 'x', action: 'drop' } as const;

const OFFICE = `# the office
private:   eth1     # inside
public: 'eth0'

forwards:
  # for the shop
  - name: web       # HTTP
    protocol: tcp
    port: 8080
    to:   "192.168.1.10:80"   # the old server
  # mail, since June
  - tcp:25=192.168.1.11   # Postfix

# who may
firewall:
    rules:
    - {name: no-ssh, action: drop}   # never
    - name: rest
      action: accept
`;

it('adds a forward after the last one, and leaves every other character', () => {
  const forward = { name: 'dns', protocol: 'udp' as const, port: 53, to: '192.168.1.12' };
  expect(edited(OFFICE, { kind: 'add-forward', forward })).toBe(
    OFFICE.replace(
      '# Postfix\n',
      '# Postfix\n  - name: dns\n    protocol: udp\n    port: 53\n    to: 192.168.1.12\n',
    ),
  );
});

it('removes a forward with its lines only', () => {
  expect(edited(OFFICE, { kind: 'remove-forward', name: 'web' })).toBe(
    OFFICE.replace(/ {2}- name: web[\s\S]*?old server\n/, ''),
  );
  expect(edited(OFFICE, { kind: 'remove-forward', name: 'tcp:25' })).toBe(
    OFFICE.replace('  - tcp:25=192.168.1.11   # Postfix\n', ''),
  );
});

it('puts a rule between two', () => {
  const change: Change = { kind: 'add-rule', chain: null, rule: drop, place: { before: 'rest' } };
  expect(edited(OFFICE, change)).toBe(
    OFFICE.replace('    - name: rest', '    - name: x\n      action: drop\n    - name: rest'),
  );
});

it('makes the list where there is none, and keeps the comments', () => {
  const text = '# mine\nprivate:   eth1 # inside\npublic: eth0\nlog: {level: info}\n';
  expect(edited(text, { kind: 'add-forward', forward: 'tcp:80=192.168.1.2' })).toBe(
    `${text}forwards:\n  - tcp:80=192.168.1.2\n`,
  );
  expect(edited(text, { kind: 'add-rule', chain: null, rule: drop, place: {} })).toBe(
    `${text}firewall:\n  rules:\n    - name: x\n      action: drop\n`,
  );
});

it('writes into a list in brackets, and empties one, and leaves what is around it', () => {
  const text = 'private:   eth1\npublic: eth0\nforwards: [ tcp:80=192.168.1.2 ] # all\nlog: {level: info}\n';
  expect(edited(text, { kind: 'add-forward', forward: 'tcp:81=192.168.1.2' })).toBe(
    text.replace('[ tcp:80=192.168.1.2 ]', '[ tcp:80=192.168.1.2, tcp:81=192.168.1.2 ]'),
  );
  const lines = 'private:   eth1\npublic: eth0\nforwards:\n  - tcp:80=192.168.1.2\nlog: {level: info}\n';
  expect(edited(lines, { kind: 'remove-forward', name: 'tcp:80' })).toBe(
    lines.replace('- tcp:80=192.168.1.2', '[]'),
  );
});

it('works where the last line has no end', () => {
  const text = 'private: eth1\npublic: eth0\nforwards:\n- tcp:80=192.168.1.2';
  expect(edited(text, { kind: 'add-forward', forward: 'tcp:81=192.168.1.2' })).toBe(
    `${text}\n- tcp:81=192.168.1.2\n`,
  );
});

it('refuses a list that an alias stands for', () => {
  const text = 'private: eth1\npublic: eth0\nsets: {a: &a [192.0.2.1]}\nforwards: *a\n';
  expect(() => edited(text, { kind: 'add-forward', forward: 'tcp:81=192.168.1.2' })).toThrow(
    expect.objectContaining({ code: 'edit_impossible' }),
  );
});

it('replaces a file with its mode, and not the link to it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'natgate-edit-'));
  const [file, link] = [join(folder, 'real'), join(folder, 'link')];
  writeFileSync(file, 'old');
  chmodSync(file, 0o640);
  symlinkSync(file, link);
  replaceFile(link, 'new');
  expect(readFileSync(file, 'utf8')).toBe('new');
  expect(statSync(file).mode & 0o777).toBe(0o640);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  rmSync(folder, { recursive: true });
  expect(() => replaceFile(link, 'x')).toThrow(expect.objectContaining({ code: 'config_not_written' }));
});
