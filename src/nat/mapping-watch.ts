/** Who is told of mappings and blocks of ports as they come and go. Protocols without ports have none. */
export interface MappingWatch {
  /** A mapping has been made: its number. */
  mapped(mapping: number): void;
  /** The mapping is about to go. */
  unmapped(mapping: number): void;
  /** A host has a block of ports of external address number `external`. Ports in host order. */
  blockGiven(rule: number, host: number, external: number, first: number, size: number): void;
  /** It has given it back. */
  blockReturned(external: number, first: number): void;
}
