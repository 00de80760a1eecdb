/** `--config FILE`, and where the configuration is when nobody says so. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { NatgateError } from '../core/errors.ts';

/** Where `run` looks when it is told nothing. */
export const DEFAULT_CONFIG_PATH = '/etc/natgate/natgate.yaml';

export const CONFIG_OPTION = {
  type: 'string',
  requiresArg: true,
  defaultDescription: `${DEFAULT_CONFIG_PATH}, where neither --private nor --public is given`,
  describe: 'Configuration file; flags are stronger than what it says',
} as const;

interface Words {
  config?: string | undefined;
  private?: readonly string[] | undefined;
  public?: string | undefined;
}

/** The file to read; null: the flags say all. Throws NatgateError `usage` when neither does. */
export function configPath({ config, private: inside, public: outside }: Words): string | null {
  if (config !== undefined) return resolve(config);
  const missing = [
    ...((inside ?? []).length > 0 ? [] : ['private']),
    ...(outside === undefined ? ['public'] : []),
  ];
  if (missing.length === 0) return null;
  if (missing.length === 2 && existsSync(DEFAULT_CONFIG_PATH)) return DEFAULT_CONFIG_PATH;
  throw new NatgateError(
    'usage',
    `Missing required arguments: ${missing.join(', ')}`,
    `give --private and --public, or --config FILE (there is no ${DEFAULT_CONFIG_PATH})`,
  );
}

/** A file that is named or is where it should be. Throws NatgateError `usage` when there is none. */
export function configFile(file: string | undefined): string {
  if (file !== undefined) return resolve(file);
  if (existsSync(DEFAULT_CONFIG_PATH)) return DEFAULT_CONFIG_PATH;
  throw new NatgateError('usage', `there is no ${DEFAULT_CONFIG_PATH}`, 'give the path of a configuration');
}
