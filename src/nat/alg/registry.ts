/** The helpers by name. Each is off unless it is configured, for one protocol and port. */
import { PROTO_TCP, PROTO_UDP } from '../../wire/ipv4.ts';
import { ftp } from './ftp.ts';
import { irc } from './irc.ts';
import { pptp } from './pptp.ts';
import type { Alg } from './session.ts';
import { sip } from './sip.ts';
import { tftp } from './tftp.ts';

/** Names of helpers. */
export type HelperName = 'ftp' | 'tftp' | 'irc' | 'pptp' | 'sip';

/** Flows to `port` (host order) of this protocol are read by the helper. */
export interface HelperConfig {
  /** Which helper. */
  name: HelperName;
  /** PROTO_TCP or PROTO_UDP. */
  protocol: number;
  /** Original destination port of the flows that it reads. */
  port: number;
}

export interface HelperKind {
  run: Alg;
  /** Where the protocol is at home. */
  port: number;
  protocols: readonly number[];
  /** What it remembers of a flow means the same to the next engine: it does not name what dies with this one. */
  outlives: boolean;
}

export const helperKinds: Readonly<Record<HelperName, HelperKind>> = {
  ftp: { run: ftp, port: 21, protocols: [PROTO_TCP], outlives: true },
  tftp: { run: tftp, port: 69, protocols: [PROTO_UDP], outlives: false },
  irc: { run: irc, port: 6667, protocols: [PROTO_TCP], outlives: false },
  pptp: { run: pptp, port: 1723, protocols: [PROTO_TCP], outlives: false },
  sip: { run: sip, port: 5060, protocols: [PROTO_UDP, PROTO_TCP], outlives: false },
};
