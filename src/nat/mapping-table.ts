/**
 * The records of mappings: internal endpoint (and, as far as the rule's behaviour depends on it, remote endpoint) →
 * external endpoint. Fixed-stride records in a typed array; a mapping is named by its number.
 *
 *     index   key → mapping (TagIndex): rule, protocol table, internal endpoint, remote endpoint or zeros
 *     chains  the mappings on one external port, the one that came first as the space's `head`; more than one only where
 *             a port is overloaded (RFC 7857)
 *
 * Invariant: a mapping is in the index and in its port's chain exactly while refs > 0.
 * Limits: capacity fixed at creation; running out is an outcome (-1).
 */
import { TagIndex } from '../conntrack/tag-index.ts';
import { type HashKey, hashTuple } from '../conntrack/tuple.ts';

export const NO_MAPPING = -1;

/** Words of a record. */
const WORDS = 8;
const INTERNAL = 0;
/** internal port (wire order) | table << 16 | rule << 18 */
const KEY = 1;
const REMOTE = 2;
/** remote port (wire order) | external port (host order) << 16 */
const PORTS = 3;
const EXTERNAL = 4;
const REFS = 5;
const NEXT = 6;
/** The flow that referred to it last. */
const FLOW = 7;

export class MappingTable {
  readonly capacity: number;
  private readonly words: Int32Array;
  private readonly index: TagIndex;
  private key0: number;
  private key1: number;
  private free = NO_MAPPING;
  private fresh = 0;
  private readonly hashOf: (mapping: number) => number;

  constructor(capacity: number, key: HashKey) {
    this.capacity = capacity;
    this.words = new Int32Array(capacity * WORDS);
    this.index = new TagIndex(new Int32Array(TagIndex.slots(capacity)), capacity);
    this.key0 = key[0];
    this.key1 = key[1];
    this.hashOf = (mapping) => {
      const w = mapping * WORDS;
      const { words } = this;
      return this.hash(words[w]!, words[w + KEY]!, words[w + REMOTE]!, words[w + PORTS]! & 0xffff);
    };
  }

  /** `port`, `remotePort` in wire order; remote values 0 where the mapping does not depend on them. */
  find(
    rule: number,
    table: number,
    address: number,
    port: number,
    remote: number,
    remotePort: number,
  ): number {
    const { words, index } = this;
    const key = port | (table << 16) | (rule << 18);
    const hash = this.hash(address, key, remote, remotePort);
    let slot = index.seek(hash, hash);
    while (slot >= 0) {
      const mapping = index.valueAt(slot);
      const w = mapping * WORDS;
      if (
        words[w] === address &&
        words[w + KEY] === key &&
        words[w + REMOTE] === remote &&
        (words[w + PORTS]! & 0xffff) === remotePort
      ) {
        return mapping;
      }
      slot = index.seek(hash, slot + 1);
    }
    return NO_MAPPING;
  }

  /** Brings into the cache what find() of the same will look at first. */
  touch(
    rule: number,
    table: number,
    address: number,
    port: number,
    remote: number,
    remotePort: number,
  ): number {
    return this.index.touch(this.hash(address, port | (table << 16) | (rule << 18), remote, remotePort));
  }

  /** Makes a mapping with one reference, in no chain yet. NO_MAPPING when the table is full. */
  create(
    rule: number,
    table: number,
    address: number,
    port: number,
    remote: number,
    remotePort: number,
    external: number,
    externalPort: number,
  ): number {
    const { words } = this;
    let mapping = this.free;
    if (mapping >= 0) this.free = words[mapping * WORDS + NEXT]!;
    else if (this.fresh < this.capacity) mapping = this.fresh++;
    else return NO_MAPPING;
    const w = mapping * WORDS;
    words[w] = address;
    words[w + KEY] = port | (table << 16) | (rule << 18);
    words[w + REMOTE] = remote;
    words[w + PORTS] = remotePort | (externalPort << 16);
    words[w + EXTERNAL] = external;
    words[w + REFS] = 1;
    words[w + NEXT] = NO_MAPPING;
    words[w + FLOW] = -1;
    this.index.insert(this.hashOf(mapping), mapping);
    return mapping;
  }

  /** Frees a mapping that is in no chain any more. */
  destroy(mapping: number): void {
    this.index.remove(this.hashOf(mapping), mapping, this.hashOf);
    this.words[mapping * WORDS + NEXT] = this.free;
    this.free = mapping;
  }

  /** The farthest from its home that an entry of the index has landed; over FAR (tag-index.ts) somebody makes them collide. */
  get farthest(): number {
    return this.index.farthest;
  }

  /** Hashes with another key from now on. `alive` is called every so many mappings. */
  rekey(key: HashKey, alive: () => void = () => {}): void {
    const { index, words } = this;
    this.key0 = key[0];
    this.key1 = key[1];
    index.clear();
    for (let mapping = 0; mapping < this.fresh; mapping++) {
      if ((mapping & 0xffff) === 0xffff) alive();
      if (words[mapping * WORDS + REFS]! > 0) index.insert(this.hashOf(mapping), mapping);
    }
  }

  /** The mappings that there are. */
  each(visit: (mapping: number) => void): void {
    for (let mapping = 0; mapping < this.fresh; mapping++) {
      if (this.words[mapping * WORDS + REFS]! > 0) visit(mapping);
    }
  }

  refer(mapping: number): void {
    this.words[mapping * WORDS + REFS]!++;
  }

  /** Returns the references that are left. */
  unrefer(mapping: number): number {
    return --this.words[mapping * WORDS + REFS]!;
  }

  refs(mapping: number): number {
    return this.words[mapping * WORDS + REFS]!;
  }

  internalAddress(mapping: number): number {
    return this.words[mapping * WORDS + INTERNAL]!;
  }

  /** Wire order. */
  internalPort(mapping: number): number {
    return this.words[mapping * WORDS + KEY]! & 0xffff;
  }

  /** Port table (external-addresses.ts). */
  tableOf(mapping: number): number {
    return (this.words[mapping * WORDS + KEY]! >>> 16) & 3;
  }

  ruleOf(mapping: number): number {
    return this.words[mapping * WORDS + KEY]! >>> 18;
  }

  /** 0 for an endpoint-independent mapping. */
  remote(mapping: number): number {
    return this.words[mapping * WORDS + REMOTE]!;
  }

  /** Wire order; 0 for a mapping that does not depend on it. */
  remotePort(mapping: number): number {
    return this.words[mapping * WORDS + PORTS]! & 0xffff;
  }

  /** Number of the external address. */
  external(mapping: number): number {
    return this.words[mapping * WORDS + EXTERNAL]!;
  }

  /** Host order. */
  externalPort(mapping: number): number {
    return this.words[mapping * WORDS + PORTS]! >>> 16;
  }

  next(mapping: number): number {
    return this.words[mapping * WORDS + NEXT]!;
  }

  setNext(mapping: number, next: number): void {
    this.words[mapping * WORDS + NEXT] = next;
  }

  /** The flow that referred to the mapping last; it may have ended. */
  lastFlow(mapping: number): number {
    return this.words[mapping * WORDS + FLOW]!;
  }

  setLastFlow(mapping: number, flow: number): void {
    this.words[mapping * WORDS + FLOW] = flow;
  }

  private hash(address: number, key: number, remote: number, remotePort: number): number {
    return hashTuple(address, remote, (key & 0xffff) | (remotePort << 16), key >>> 16, this.key0, this.key1);
  }
}
