/** The group of the control socket. Looked up in /etc/group only, as accounts are (user.ts). */
import { readFileSync } from 'node:fs';
import { NatgateError } from '../../core/errors.ts';

/** Its GID; null: no group is named. Throws NatgateError `group_unknown`. */
export function socketGroup(group: string | null, groupPath = '/etc/group'): number | null {
  if (group === null) return null;
  if (/^\d{1,10}$/.test(group)) return Number(group);
  const found = groups(groupPath).find(([name]) => name === group);
  if (found !== undefined) return found[1];
  throw new NatgateError(
    'group_unknown',
    `control.group: there is no group ${group} in ${groupPath}`,
    `make it with \`groupadd --system ${group}\`, or name another`,
  );
}

/** The name of a GID, or its number. */
export function groupName(gid: number, groupPath = '/etc/group'): string {
  return groups(groupPath).find(([, id]) => id === gid)?.[0] ?? String(gid);
}

function groups(path: string): [string, number][] {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => {
    const [name = '', , gid = ''] = line.split(':');
    return [name, Number(gid)];
  });
}
