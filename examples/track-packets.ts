/**
 * Connection tracking as a library: bytes in, verdict and state out. No network, no root, and the clock is yours.
 *
 *     npm run build && npx tsx examples/track-packets.ts
 */
import { Conntrack, type FlowTuple, formatAddress, type Verdict } from 'natgate/conntrack';

const SECOND = 1000;
const DAY = 86_400 * SECOND;

// Whole IPv4 packets, as a capture would give them: IPv4 header, then TCP or UDP.
const SYN = hex('450000280001400040066a6c0a4d0002c6120002 9c40005000000001000000005002ffff42ee0000');
const SYN_ACK = hex('450000280001400040066a6cc61200020a4d0002 00509c4000000001000000025012ffff42dc0000');
const ACK = hex('450000280001400040066a6c0a4d0002c6120002 9c40005000000002000000025010ffff42dd0000');
const QUERY = hex('4500001e0001400040116a6b0a4d0002c6120002 9c400035000a2a98 6869');
/** Of a connection that never began. */
const STRAY = hex('450000280001400040066a6cc61200020a4d0002 0050ea6000000001000000015012fffff4bc0000');

const conntrack = new Conntrack({ now: 0 });

track('SYN', SYN, 0);
track('SYN, ACK', SYN_ACK, 20);
track('ACK', ACK, 40);
track('DNS query', QUERY, SECOND);
track('stray', STRAY, SECOND);
track('four bytes', SYN.subarray(0, 4), SECOND);

show('after a second', SECOND);
show('after a day', DAY);
show('after six days', 6 * DAY);

function track(what: string, packet: Uint8Array, now: number): void {
  const verdict = conntrack.track(packet, now);
  console.log(`${what.padEnd(10)}  ${verdict.state.padEnd(11)}  ${explain(verdict)}`);
}

function explain({ flow, direction, reason }: Verdict): string {
  if (flow === null) return `because: ${reason}`;
  const state = flow.state === '' ? '' : `, ${flow.state}`;
  return `${direction}${state}, forgotten in ${flow.timeoutSeconds} s`;
}

function show(when: string, now: number): void {
  conntrack.expire(now);
  console.log(`\n${when}: ${conntrack.size} flow(s)`);
  for (const { original, state, assured, timeoutSeconds } of conntrack.flows(now)) {
    const words = [endpoints(original), state, assured ? '[ASSURED]' : '', `${timeoutSeconds} s left`];
    console.log(`  ${words.filter((word) => word !== '').join('  ')}`);
  }
}

function endpoints({ src, sport, dst, dport }: FlowTuple): string {
  return `${formatAddress(src)}:${sport} > ${formatAddress(dst)}:${dport}`;
}

function hex(digits: string): Uint8Array {
  return Uint8Array.from(digits.replaceAll(' ', '').match(/../g)!, (byte) => Number.parseInt(byte, 16));
}
