/** What a command that makes a network of its own must not leave behind. */
import { readdirSync } from 'node:fs';
import { run } from './process.ts';

/** Namespaces and processes of `natgate COMMAND`, and run directories of its gateways. */
export async function remainsOf(command: 'bench' | 'lab'): Promise<string[]> {
  const { stdout: processes } = await run(['ps', '-eo', 'args']);
  let directories: string[] = [];
  try {
    directories = readdirSync('/run/natgate');
  } catch {
    // never was any
  }
  return [
    ...(await namespacesOf(command)),
    ...processes.split('\n').filter((line) => new RegExp(`cli/${command}/|--name ${command}-`).test(line)),
    ...directories.filter((name) => name.startsWith(`${command}-`)),
  ];
}

export async function namespacesOf(command: 'bench' | 'lab'): Promise<string[]> {
  const { stdout } = await run(['ip', 'netns', 'list']);
  return stdout.split('\n').filter((line) => line.startsWith(`natgate-${command}-`));
}
