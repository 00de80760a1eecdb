/**
 * NATs by the names that people know them by (RFC 3489 5), as what they are in RFC 4787's terms:
 *
 *                          mapping                      filtering
 *     full cone            endpoint-independent         endpoint-independent
 *     restricted cone      endpoint-independent         address-dependent
 *     port-restricted cone endpoint-independent         address-and-port-dependent
 *     symmetric            address-and-port-dependent   address-and-port-dependent, random ports
 *     carrier-grade        endpoint-independent         endpoint-independent (RFC 6888 REQ-7), over a pool of addresses:
 *                          paired (REQ-2), ports in blocks (REQ-14), so many a subscriber (REQ-4)
 */
import { masqueradeAll, type NatBehaviour, type NatConfig, type PortRange } from '../nat/config.ts';

/** The name of a kind of NAT. */
export type NatName =
  | 'full cone'
  | 'restricted cone'
  | 'port-restricted cone'
  | 'symmetric'
  | 'carrier-grade';

const cone = { mapping: 'endpoint-independent', overload: 'never' } as const;

/** What each of them does, where it differs from natgate's defaults. */
export const namedNats: Readonly<Record<NatName, Partial<NatBehaviour>>> = {
  'full cone': { ...cone, filtering: 'endpoint-independent' },
  'restricted cone': { ...cone, filtering: 'address-dependent' },
  'port-restricted cone': { ...cone, filtering: 'address-and-port-dependent' },
  symmetric: {
    mapping: 'address-and-port-dependent',
    filtering: 'address-and-port-dependent',
    ports: 'random',
    overload: 'never',
  },
  'carrier-grade': {
    ...cone,
    filtering: 'endpoint-independent',
    pairedPooling: true,
    blockSize: 512,
    portsPerHost: 2048,
  },
};

/**
 * The configuration of such a NAT, with changes. `pool`: the external addresses of a carrier-grade one; the others translate
 * to the address of their public interface.
 */
export function namedNat(
  name: NatName,
  ports: PortRange,
  pool: readonly number[],
  changes: Partial<NatBehaviour> = {},
): NatConfig {
  const config = masqueradeAll(ports, { ...namedNats[name], ...changes });
  if (name !== 'carrier-grade') return config;
  return { ...config, rules: config.rules.map((rule) => ({ ...rule, action: 'pool', addresses: pool })) };
}
