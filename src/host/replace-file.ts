/** A file that is written whole or not at all: a reader sees the old one or the new one, and so does who comes after a crash. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/**
 * Writes `text` beside `path` and renames it into place. Where that fails (a full disk, say) the old file is as it was and nothing is left beside
 * it. `sync`: on disk when it returns. Throws SystemError.
 */
export function replaceFile(path: string, text: string, { mode = 0o644, sync = false } = {}): void {
  const draft = `${path}.new`;
  try {
    const fd = openSync(draft, 'w', mode);
    try {
      writeFileSync(fd, text);
      if (sync) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, path);
  } catch (error) {
    removeDraft(draft);
    throw error;
  }
}

function removeDraft(draft: string): void {
  try {
    rmSync(draft, { force: true });
  } catch {
    // On a file system that is read-only by now.
  }
}
