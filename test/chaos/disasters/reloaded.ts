import { until } from '../../netns/support/process.ts';
import type { World } from '../world.ts';

/** Sends SIGHUP, and waits for what the log says of it. */
export async function reloaded({ natgate }: World): Promise<string> {
  const said = () => natgate.process.stderr.match(/^natgate: (not )?reloaded.*$/gm) ?? [];
  const before = said().length;
  natgate.process.child.kill('SIGHUP');
  await until('the reload to be logged', () => said().length > before);
  const line = said().at(-1)!;
  if (line.startsWith('natgate: not')) throw new Error(line);
  return line.slice('natgate: '.length);
}
