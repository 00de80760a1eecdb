import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The path of another script of this folder, compiled or not as this one is. */
export function script(name: string): string {
  return fileURLToPath(new URL(`./${name}${extname(import.meta.url)}`, import.meta.url));
}

/** The command line that runs a script with this Node. */
export function node(path: string, ...args: string[]): string[] {
  return [process.execPath, path, ...args];
}
