/**
 * The corpus: packets written down as hex by hand and by a script of another language, in the folder of the drop
 * reason that each must be counted under (`ok`: none). A file has a line of explanation, and may say from which
 * side the packet comes (`side: public`) and with which virtio_net_hdr (`vnet: 01 00 ...`).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { hex } from '../wire/hex.ts';

export interface CorpusPacket {
  reason: string;
  name: string;
  about: string;
  side: 'private' | 'public';
  vnet: Uint8Array | undefined;
  packet: Uint8Array;
}

const root = new URL('.', import.meta.url);

export const corpus: CorpusPacket[] = readdirSync(root, { withFileTypes: true })
  // Sequences of packets, and inputs of parsers: test/fuzz/.
  .filter((entry) => entry.isDirectory() && !['crashes', 'parsers'].includes(entry.name))
  .flatMap(({ name: reason }) =>
    readdirSync(new URL(`${reason}/`, root)).map((file) => read(reason, file.replace(/\.hex$/, ''))),
  );

function read(reason: string, name: string): CorpusPacket {
  const lines = readFileSync(new URL(`${reason}/${name}.hex`, root), 'utf8').split('\n');
  const value = (key: string) => lines.find((line) => line.startsWith(`${key}: `))?.slice(key.length + 2);
  const vnet = value('vnet');
  return {
    reason,
    name,
    about: lines[0]!.replace(/^# /, ''),
    side: value('side') === 'public' ? 'public' : 'private',
    vnet: vnet === undefined ? undefined : hex(vnet),
    packet: hex(lines.filter((line) => !line.includes(':')).join('\n')),
  };
}
