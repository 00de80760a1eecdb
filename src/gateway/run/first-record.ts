/** What is written down of a gateway when it starts, for other processes. */
import { thisProcess } from '../../host/process-identity.ts';
import { ruleNames } from '../../policy/firewall/compile.ts';
import type { RunOptions } from '../options.ts';
import { namesByNumber } from '../reload/rule-numbers.ts';
import { packageVersion } from '../version.ts';
import type { RunRecord } from './run-record.ts';

/** `statePath`: of the first worker. */
export function firstRecord(options: RunOptions, statePath: string): RunRecord {
  return {
    version: 1,
    natgate: packageVersion(),
    name: options.name,
    process: thisProcess(),
    private: options.private.map(({ name }) => name),
    public: options.public,
    external: null,
    ports: options.ports,
    config: options.configPath,
    rules: namesByNumber(options.nat.rules),
    firewallRules: ruleNames(options.firewall),
    timeouts: options.timeouts,
    statePath,
    workers: options.workers,
    dns: options.dns !== null,
    control: options.control.socket,
    ...(options.standby && { standby: { state: 'loading', since: null, again: null } }),
    started: new Date().toISOString(),
  };
}
