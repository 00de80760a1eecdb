/** Events as messages of IPFIX over UDP (ipfix.ts). What is lost here the collector knows by the sequence numbers of messages. */
import { AT_ONCE, Datagrams } from './datagrams.ts';
import type { GatewayEvent } from './event.ts';
import { IpfixEncoder, type IpfixMessage } from './ipfix.ts';
import { type IpfixSinkOptions, sinkName } from './options.ts';
import { QueuedSink, type SaySink } from './sink.ts';

export class IpfixSink extends QueuedSink<IpfixMessage> {
  readonly #options: IpfixSinkOptions;
  readonly #encoder: IpfixEncoder;
  readonly #datagrams = new Datagrams();

  constructor(options: IpfixSinkOptions, say: SaySink) {
    super(sinkName(options), options.only, say);
    this.#options = options;
    this.#encoder = new IpfixEncoder(options.domain, Date.now, (message) =>
      this.enqueue(message, message.bytes.length, message.records),
    );
  }

  write(event: GatewayEvent): void {
    this.#encoder.write(event);
  }

  override flush(): void {
    this.#encoder.flush();
    super.flush();
  }

  override close(): Promise<void> {
    this.#encoder.flush();
    return super.close();
  }

  protected gap(): null {
    return null;
  }

  protected deliver(messages: readonly IpfixMessage[], from: number): Promise<number> {
    const { host, port } = this.#options;
    const some = messages.slice(from, from + AT_ONCE).map(({ bytes }) => bytes);
    return this.#datagrams.send(some, host, port);
  }

  protected override end(): void {
    this.#datagrams.close();
  }
}
