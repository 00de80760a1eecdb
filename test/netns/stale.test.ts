/** What a killed test run leaves behind does not hinder the next. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { until } from './support/process.ts';
import { Namespace, PREFIX, removeNamespaces, removeStale } from './support/topology.ts';

/** Of a process that has ended. */
const dead = spawnSync('true').pid;
const left = new Namespace(`${PREFIX}${dead}-left`);
const halfMade = new Namespace(`${PREFIX}${dead}-half`);
const ours = new Namespace(`${PREFIX}${process.pid}-ours`);

afterEach(() => removeNamespaces([left.name, halfMade.name, ours.name]));

const hasNamespace = ({ name }: Namespace) => existsSync(`/run/netns/${name}`);

test('namespaces, processes, mounts and state directories of a run that is no more are removed', async () => {
  for (const ns of [left, ours]) execFileSync('ip', ['netns', 'add', ns.name]);
  for (const ns of [left, halfMade, ours]) {
    mkdirSync(ns.stateRoot, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', ns.stateRoot]);
    writeFileSync(join(ns.stateRoot, 'state'), 'left');
  }
  const sleeper = left.spawn('sleep 60');
  await until('it is inside', async () => left.pids().length > 0);
  expect(existsSync(`/proc/${dead}`)).toBe(false);

  removeStale();

  for (const ns of [left, halfMade]) {
    expect(hasNamespace(ns)).toBe(false);
    expect(existsSync(ns.stateRoot)).toBe(false);
  }
  expect(await sleeper.ended).toBe(128 + 9);
  expect(hasNamespace(ours)).toBe(true);
  expect(existsSync(join(ours.stateRoot, 'state'))).toBe(true);
});
