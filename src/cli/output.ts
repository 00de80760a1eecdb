/** Long lists to stdout: in pieces, at the pace of whoever reads, and without an outcry when he has had enough (`| head`). */
import { once } from 'node:events';

const PIECE = 65_536;

export async function writeLines(lines: Iterable<string>): Promise<void> {
  const { stdout } = process;
  let isOver = false;
  const over = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    isOver = true;
  };
  stdout.on('error', over);
  let piece = '';
  const send = async () => {
    if (!stdout.write(piece)) await Promise.race([once(stdout, 'drain'), once(stdout, 'close')]);
    piece = '';
  };
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length >= PIECE) await send();
    if (isOver) return;
  }
  if (piece !== '') await send();
}
