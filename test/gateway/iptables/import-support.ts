/** Texts of rules imported, and what comes of them read as the gateway reads it. */
import { expect } from 'vitest';
import { parse } from 'yaml';
import { examine } from '../../../src/gateway/config/load.ts';
import { type ImportOptions, importRules } from '../../../src/gateway/iptables/import.ts';

export const SIDES = { private: ['eth1'], public: 'eth0' };

export function imported(text: string, options: Partial<ImportOptions> = {}) {
  const result = importRules(text, {
    file: 'rules.v4',
    ...SIDES,
    addresses: () => [],
    sets: null,
    ...options,
  });
  const { options: run, problems } = examine({
    name: 'x',
    stateRoot: '/run/x',
    flags: {},
    file: { path: 'natgate.yaml', text: result.text },
  });
  expect(
    problems.filter(({ severity }) => severity === 'error'),
    result.text,
  ).toEqual([]);
  expect(run).not.toBeNull();
  return { ...result, file: parse(result.text) as Record<string, unknown> };
}

/** FORWARD rules behind what accepts answers. */
export function forward(rules: string, policy = 'DROP') {
  return imported(
    `*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n*filter\n:FORWARD ${policy} [0:0]\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n${rules}\nCOMMIT\n`,
  );
}

export function nat(rules: string, options: Partial<ImportOptions> = {}) {
  return imported(`*nat\n${rules}\nCOMMIT\n`, options);
}
