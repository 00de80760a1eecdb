import type { Argv } from 'yargs';
import { packageVersion } from '../gateway/version.ts';

export const command = 'version';
export const describe = 'Print the versions of natgate, Node and the kernel';

export function builder(argv: Argv): Argv {
  return argv;
}

export async function handler(): Promise<void> {
  const { release } = await import('node:os');
  process.stdout.write(
    `natgate ${packageVersion()}\nnode    ${process.versions.node}\nlinux   ${release()}\n`,
  );
}
