/** Whether the port range can be natgate's. */
import { type ClaimOptions, findConflict } from '../plan/claim.ts';
import { type PortRange, rangeFor } from '../plan/local-ports.ts';
import { heldPorts, servicePorts } from '../sockets.ts';
import { type Check, fail, ok, warn } from './check.ts';

const SHOWN = 8;

export function checkPorts({ first, last }: PortRange): Check[] {
  const name = 'ports';
  const range = `${first}-${last}`;
  if (!Number.isInteger(first) || !Number.isInteger(last) || first < 1024 || last > 65_535 || first > last) {
    return [
      fail(
        name,
        'ports_invalid',
        `${range} is no port range`,
        'natgate translates to ports of this range on the public address',
        'give --ports FIRST-LAST within 1024-65535, e.g. 32768-65535',
      ),
    ];
  }
  const held = heldPorts(first, last);
  const services = servicePorts(first, last);
  const size = last - first + 1;
  const full = [held.tcp.length === size ? 'TCP' : '', held.udp.length === size ? 'UDP' : ''].filter(Boolean);
  if (full.length > 0) {
    return [
      fail(
        name,
        'ports_in_use',
        `sockets of this host hold every ${full.join(' and ')} port of ${range}`,
        'a port that a socket holds cannot be given to a private host',
        'give --ports another range, or a larger one',
      ),
    ];
  }
  const listed = [...services.tcp.map((port) => `${port}/tcp`), ...services.udp.map((port) => `${port}/udp`)];
  if (listed.length > 0) {
    const more = listed.length > SHOWN ? ` and ${listed.length - SHOWN} more` : '';
    return [
      warn(
        name,
        `services of this host hold ${listed.slice(0, SHOWN).join(', ')}${more}, within ${range}`,
        'they go on working; natgate leaves their ports alone',
        'nothing needs to be done; `ss -tulpn` shows whose they are',
      ),
    ];
  }
  const count = held.tcp.length + held.udp.length;
  return [
    ok(name, `${range}${count === 0 ? '' : `, of which connections of this host hold ${count} for now`}`),
  ];
}

export function checkLocalPorts(range: PortRange): Check[] {
  try {
    rangeFor({ first: 0, last: 0 }, [range]);
    return [];
  } catch (error) {
    const { code, message, hint } = error as { code: string; message: string; hint: string };
    return [fail('ports', code, message, 'the host and natgate share one public address', hint)];
  }
}

/** Whether name and interfaces are free. */
export function checkClaim(options: ClaimOptions): Check[] {
  const conflict = findConflict(options);
  if (conflict === null) return [];
  return [
    fail(
      'gateway',
      conflict.code,
      conflict.message,
      'one gateway per name, and one per interface',
      conflict.hint,
    ),
  ];
}
