/** A UDP socket of a virtual host. */
import { NatgateError } from '../core/errors.ts';
import { bytesOf, endpoint } from './packets.ts';

/** A datagram that has arrived. */
export interface Message {
  /** `address:port` of the sender, as it is seen from here. */
  from: string;
  /** Its bytes. */
  data: Uint8Array;
  /** Its bytes as text. */
  text: string;
}

/** Is given what arrives at a socket. */
export type UdpListener = (message: Message, socket: UdpSocket) => void;

/** What fits an MTU of 1500: there are no fragments here. */
const MAX_PAYLOAD = 1472;

/** A UDP socket, made by `VirtualHost.udp`. */
export class UdpSocket {
  /** `address:port`, as its host knows it. */
  readonly endpoint: string;
  /** All that has arrived, in order. */
  readonly received: Message[] = [];
  /** Called with what arrives. */
  onMessage: UdpListener | null = null;
  private readonly transmit: (to: string, payload: Uint8Array, ttl: number) => void;
  private readonly unbind: () => void;
  private open = true;

  /** @internal */
  constructor(
    at: string,
    transmit: (to: string, payload: Uint8Array, ttl: number) => void,
    unbind: () => void,
  ) {
    this.endpoint = at;
    this.transmit = transmit;
    this.unbind = unbind;
  }

  /** Sends a datagram. Throws NatgateError `bad_endpoint`, `too_big` or `socket_closed`. */
  send(to: string, data: Uint8Array | string, options: { ttl?: number } = {}): void {
    endpoint(to);
    const payload = bytesOf(data);
    if (!this.open) throw new NatgateError('socket_closed', `${this.endpoint} is closed`, 'open another');
    if (payload.length > MAX_PAYLOAD) {
      const what = `a datagram of ${payload.length} bytes`;
      throw new NatgateError(
        'too_big',
        what,
        `send at most ${MAX_PAYLOAD} bytes: there are no fragments here`,
      );
    }
    this.transmit(to, payload, options.ttl ?? 64);
  }

  /** Frees the port. */
  close(): void {
    this.open = false;
    this.unbind();
  }

  /** @internal A datagram has arrived. */
  deliver(message: Message): void {
    this.received.push(message);
    this.onMessage?.(message, this);
  }
}
