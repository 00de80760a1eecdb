import { formatBytes } from '../units.ts';

/** A line of download.ts. */
export interface DownloadProgress {
  bytes: number;
  seconds: number;
  /** On the last line. */
  done?: true;
  sha256?: string;
}

const BAR = 30;

export function gigabitsPerSecond({ bytes, seconds }: DownloadProgress): number {
  return (bytes * 8) / seconds / 1e9;
}

/** A bar that is drawn over itself, on a terminal only. */
export class ProgressBar {
  private readonly terminal: boolean;

  constructor() {
    this.terminal = process.stderr.isTTY === true;
  }

  draw(label: string, progress: DownloadProgress, size: number): void {
    if (!this.terminal) return;
    const part = progress.bytes / size;
    const bar = '█'.repeat(Math.round(part * BAR)).padEnd(BAR, '░');
    const percent = `${Math.floor(part * 100)} %`.padStart(5);
    const speed = `${gigabitsPerSecond(progress).toFixed(1)} Gb/s`;
    process.stderr.write(`\r\x1b[K${label} ${bar} ${percent}  ${formatBytes(progress.bytes)}  ${speed}`);
  }

  clear(): void {
    if (this.terminal) process.stderr.write('\r\x1b[K');
  }
}
