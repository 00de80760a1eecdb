/** Rules to be, in both languages at once: what is asked and what is done, each as iptables and as nft have it. */

export interface Words {
  iptables: string;
  nft: string;
}

export interface ExportRule {
  table: 'raw' | 'mangle' | 'nat' | 'filter';
  chain: string;
  matches: readonly Words[];
  target: Words;
  /** Null: nothing is said. */
  name: string | null;
}

/** A rule, or words about one that is not there. */
export type ExportLine = ExportRule | { table: ExportRule['table']; chain: string; remark: string };

export interface Exported {
  lines: ExportLine[];
  /** User chains of filter. */
  chains: string[];
  forwardPolicy: 'ACCEPT' | 'DROP';
  /** What other rules than these would allow: a line each. */
  notCarried: string[];
}

const HOOKS: Readonly<Record<string, string>> = {
  'raw PREROUTING': 'type filter hook prerouting priority raw',
  'mangle FORWARD': 'type filter hook forward priority mangle',
  'nat PREROUTING': 'type nat hook prerouting priority dstnat',
  'nat POSTROUTING': 'type nat hook postrouting priority srcnat',
  'filter FORWARD': 'type filter hook forward priority filter',
};

export function iptablesText({ lines, chains, forwardPolicy }: Exported, head: readonly string[]): string {
  const text = head.map((line) => `# ${line}`);
  for (const table of ['raw', 'mangle', 'nat', 'filter'] as const) {
    const mine = lines.filter((line) => line.table === table);
    if (mine.length === 0 && table !== 'filter') continue;
    text.push(`*${table}`);
    if (table === 'filter')
      text.push(`:FORWARD ${forwardPolicy} [0:0]`, ...chains.map((name) => `:${name} - [0:0]`));
    for (const line of mine) {
      if ('remark' in line) text.push(`# ${line.remark}`);
      else {
        const comment = line.name === null ? [] : [`-m comment --comment ${JSON.stringify(line.name)}`];
        text.push(
          [
            `-A ${line.chain}`,
            ...line.matches.map(({ iptables }) => iptables),
            ...comment,
            line.target.iptables,
          ]
            .filter(Boolean)
            .join(' '),
        );
      }
    }
    text.push('COMMIT');
  }
  return `${text.join('\n')}\n`;
}

export function nftText({ lines, chains, forwardPolicy }: Exported, head: readonly string[]): string {
  const text = [
    '#!/usr/sbin/nft -f',
    ...head.map((line) => `# ${line}`),
    'table ip natgate',
    'delete table ip natgate',
    'table ip natgate {',
  ];
  const named = (chain: string) => chains.includes(chain);
  for (const chain of chains) text.push(`  chain ${chain} {`, '  }');
  const blocks = new Map<string, ExportLine[]>(Object.keys(HOOKS).map((key) => [key, []]));
  for (const line of lines) {
    const key = `${line.table} ${line.chain}`;
    blocks.set(key, [...(blocks.get(key) ?? []), line]);
  }
  for (const [key, mine] of blocks) {
    const [table = '', chain = ''] = key.split(' ');
    if (mine.length === 0 && key !== 'filter FORWARD') continue;
    text.push(`  chain ${named(chain) ? chain : `${table}-${chain.toLowerCase()}`} {`);
    if (HOOKS[key] !== undefined) {
      text.push(
        `    ${HOOKS[key]}; policy ${key === 'filter FORWARD' ? forwardPolicy.toLowerCase() : 'accept'};`,
      );
    }
    for (const line of mine) {
      if ('remark' in line) text.push(`    # ${line.remark}`);
      else {
        const comment = line.name === null ? '' : ` comment ${JSON.stringify(line.name)}`;
        text.push(
          `    ${[...line.matches.map(({ nft }) => nft), line.target.nft].filter(Boolean).join(' ')}${comment}`,
        );
      }
    }
    text.push('  }');
  }
  text.push('}');
  return `${text.join('\n')}\n`;
}
