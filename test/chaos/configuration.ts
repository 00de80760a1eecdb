/** The configuration of a chaos run's gateway, and what reloads change of it. */

/** What a reload may change. */
export interface Variant {
  /** Forwards besides none. */
  forward: boolean;
  /** A firewall with a rule that none of the transfers matches. */
  firewall: boolean;
  /** Another timeout of UDP, s. */
  udpTimeout: number;
}

export const FIRST_VARIANT: Variant = { forward: false, firewall: false, udpTimeout: 30 };

/**
 * Flows outlive the loss of their address, so that a loss is no reason to end; those of another address end (docs/address-change.md).
 * A private host has a share of ports and flows, so that a flood takes no one else's.
 */
export function configuration({ forward, firewall, udpTimeout }: Variant, linger = 0): string {
  return `private: [g0, g2, g3]
public: g1
nat: {on-address-change: remap}
limits: {flows: 65536, ports-per-host: 3000, flows-per-host: 8000}
timeouts: {udp: ${udpTimeout}}
engine: {linger: ${linger}}
${forward ? 'forwards: [tcp:8080=10.77.0.2:80]\n' : ''}${
  firewall
    ? 'firewall: {rules: [{name: no mail, direction: outbound, protocol: tcp, ports: 25, action: drop}]}\n'
    : ''
}`;
}
