/** The receivers of events that are configured: one that stays the same over a reload keeps its queue and its file. */
import { isDeepStrictEqual } from 'node:util';
import { FileSink } from './file-sink.ts';
import { IpfixSink } from './ipfix-sink.ts';
import type { SinkOptions } from './options.ts';
import type { SaySink, Sink } from './sink.ts';
import { StdoutSink } from './stdout-sink.ts';
import { SyslogSink } from './syslog-sink.ts';

export class SinkSet {
  readonly #say: SaySink;
  #sinks: { options: SinkOptions; sink: Sink }[] = [];

  constructor(say: SaySink) {
    this.#say = say;
  }

  get all(): readonly Sink[] {
    return this.#sinks.map(({ sink }) => sink);
  }

  /** These are the receivers from now on. Resolves when those that are no more have delivered what they had. */
  async set(options: readonly SinkOptions[]): Promise<void> {
    const before = this.#sinks;
    this.#sinks = options.map(
      (each) =>
        before.find((known) => isDeepStrictEqual(known.options, each)) ?? {
          options: each,
          sink: newSink(each, this.#say),
        },
    );
    const gone = before.filter((known) => !this.#sinks.includes(known));
    await Promise.all(gone.map(({ sink }) => sink.close()));
  }

  reopen(): void {
    for (const { sink } of this.#sinks) sink.reopen();
  }

  async close(): Promise<void> {
    await Promise.all(this.#sinks.map(({ sink }) => sink.close()));
  }
}

function newSink(options: SinkOptions, say: SaySink): Sink {
  switch (options.kind) {
    case 'file':
      return new FileSink(options, say);
    case 'stdout':
      return new StdoutSink(options, say);
    case 'syslog':
      return new SyslogSink(options, say);
    case 'ipfix':
      return new IpfixSink(options, say);
  }
}
