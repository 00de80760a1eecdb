/** The child of old-kernel.ts: out lists come as JSON on stdin, what was written goes to stdout. */
import { readFileSync } from 'node:fs';
import { COALESCED, SUPER_PACKETS, WRITE_REFUSED } from '../../src/engine/arena.ts';
import { type Entry, OutFiles } from './out-file.ts';

type Text = Omit<Entry, 'packet'> & { packet: string };

const files = new OutFiles();
for (const list of JSON.parse(readFileSync(0, 'utf8')) as Text[][]) {
  files.flush(list.map((entry) => ({ ...entry, packet: Buffer.from(entry.packet, 'hex') })));
}
const { control } = files;
process.stdout.write(
  JSON.stringify({
    written: files.written[0]!.map(({ vnet, packet }) => ({ vnet, packet: packet.toString('hex') })),
    control: {
      superPackets: control[SUPER_PACKETS],
      coalesced: control[COALESCED],
      refused: control[WRITE_REFUSED],
    },
  }),
);
files.close();
