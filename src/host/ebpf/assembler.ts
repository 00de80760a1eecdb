/**
 * An assembler for eBPF, so that a program can be built at run time with its constants baked in, without clang.
 *
 * One method call is one instruction (two slots for the 64-bit loads). Statements read as C does:
 * `a.alu(r1, '+=', 14)`, `a.jumpIf(r1, '==', 6, 'tcp')`. Jumps name labels, which may come later; `assemble()`
 * turns them into offsets. A mistake in a program is a mistake of ours, so it is a plain Error.
 *
 * Encoding: RFC 9669 (BPF instruction set), little-endian: opcode, registers (source << 4 | destination),
 * int16 offset, int32 immediate.
 */

export interface Register {
  readonly register: number;
}

const register = (number: number): Register => Object.freeze({ register: number });

/** Return value of a call and of the program. */
export const r0 = register(0);
/** Arguments of a call, which destroys all five. r1 is the context when a program begins. */
export const r1 = register(1);
export const r2 = register(2);
export const r3 = register(3);
export const r4 = register(4);
export const r5 = register(5);
/** Kept across calls. */
export const r6 = register(6);
export const r7 = register(7);
export const r8 = register(8);
export const r9 = register(9);
/** Frame pointer, read only: 512 bytes of stack end here. */
export const fp = register(10);

type Operand = Register | number;

// Instruction classes and the bits that go with them.
const LD = 0x00;
const LDX = 0x01;
const ST = 0x02;
const STX = 0x03;
const ALU32 = 0x04;
const JMP = 0x05;
const JMP32 = 0x06;
const ALU64 = 0x07;
const MEM = 0x60;
const SOURCE_REGISTER = 0x08;
const END = 0xd0;

const SIZES = { u32: 0x00, u16: 0x08, u8: 0x10, u64: 0x18 } as const;
export type Size = keyof typeof SIZES;

const OPERATIONS = {
  '+=': 0x00,
  '-=': 0x10,
  '*=': 0x20,
  '/=': 0x30,
  '|=': 0x40,
  '&=': 0x50,
  '<<=': 0x60,
  '>>=': 0x70,
  '%=': 0x90,
  '^=': 0xa0,
  '=': 0xb0,
  /** Arithmetic (sign-keeping) shift. */
  's>>=': 0xc0,
} as const;
export type Operation = keyof typeof OPERATIONS;

const CONDITIONS = {
  '==': 0x10,
  '>': 0x20,
  '>=': 0x30,
  /** Any bit in common. */
  '&': 0x40,
  '!=': 0x50,
  's>': 0x60,
  's>=': 0x70,
  '<': 0xa0,
  '<=': 0xb0,
  's<': 0xc0,
  's<=': 0xd0,
} as const;
/** Comparisons are unsigned unless they begin with `s`. */
export type Condition = keyof typeof CONDITIONS;

const JUMP_ALWAYS = 0x00;
const CALL = 0x80;
const EXIT = 0x90;
const NEGATE = 0x80;

/** What the source field of a 64-bit load says about its immediate (linux/bpf.h, BPF_PSEUDO_*). */
const PSEUDO_MAP_FD = 1;
const PSEUDO_MAP_VALUE = 2;

interface Instruction {
  opcode: number;
  destination: number;
  source: number;
  offset: number;
  immediate: number;
  /** The label whose distance becomes `offset`. */
  target?: string;
}

export class Assembler {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();
  #uniques = 0;

  /** Names the next instruction. */
  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`eBPF label '${name}' is defined twice`);
    this.#labels.set(name, this.#instructions.length);
    return this;
  }

  /** A label name that is not in use, for code that is written into a program more than once. */
  unique(name: string): string {
    return `${name}#${this.#uniques++}`;
  }

  /** 64-bit arithmetic. A number is sign-extended from 32 bits. */
  alu(destination: Register, operation: Operation, operand: Operand): this {
    return this.#operate(ALU64 | OPERATIONS[operation], destination, operand);
  }

  /** 32-bit arithmetic; the upper half of the destination becomes 0. */
  alu32(destination: Register, operation: Operation, operand: Operand): this {
    return this.#operate(ALU32 | OPERATIONS[operation], destination, operand);
  }

  negate(destination: Register): this {
    return this.#emit(ALU64 | NEGATE, destination.register);
  }

  negate32(destination: Register): this {
    return this.#emit(ALU32 | NEGATE, destination.register);
  }

  /** Host order to big-endian or back, and clears the bits above `bits`. */
  toBigEndian(destination: Register, bits: 16 | 32 | 64): this {
    return this.#emit(ALU32 | END | SOURCE_REGISTER, destination.register, 0, 0, bits);
  }

  /** Host order to little-endian or back, and clears the bits above `bits`. */
  toLittleEndian(destination: Register, bits: 16 | 32 | 64): this {
    return this.#emit(ALU32 | END, destination.register, 0, 0, bits);
  }

  /** `destination = *(size *)(base + offset)`, zero-extended. */
  load(destination: Register, size: Size, base: Register, offset: number): this {
    return this.#emit(LDX | MEM | SIZES[size], destination.register, base.register, offset);
  }

  /** `*(size *)(base + offset) = value`. */
  store(size: Size, base: Register, offset: number, value: Operand): this {
    return typeof value === 'number'
      ? this.#emit(ST | MEM | SIZES[size], base.register, 0, offset, value)
      : this.#emit(STX | MEM | SIZES[size], base.register, value.register, offset);
  }

  /** `destination = value`, all 64 bits of it. */
  loadImmediate64(destination: Register, value: bigint): this {
    return this.#wide(
      destination,
      0,
      Number(BigInt.asIntN(32, value)),
      Number(BigInt.asIntN(32, value >> 32n)),
    );
  }

  /** The map behind a descriptor, as an argument for the map helpers. */
  loadMap(destination: Register, mapFd: number): this {
    return this.#wide(destination, PSEUDO_MAP_FD, mapFd, 0);
  }

  /** Address of byte `offset` of the value of a one-element array map: no helper call is needed to read it. */
  loadMapValue(destination: Register, mapFd: number, offset = 0): this {
    return this.#wide(destination, PSEUDO_MAP_VALUE, mapFd, offset);
  }

  jump(label: string): this {
    return this.#emit(JMP | JUMP_ALWAYS, 0, 0, 0, 0, label);
  }

  /** Compares 64 bits. A number is sign-extended from 32 bits. */
  jumpIf(left: Register, condition: Condition, right: Operand, label: string): this {
    return this.#operate(JMP | CONDITIONS[condition], left, right, label);
  }

  /** Compares the lower 32 bits. */
  jumpIf32(left: Register, condition: Condition, right: Operand, label: string): this {
    return this.#operate(JMP32 | CONDITIONS[condition], left, right, label);
  }

  /** Calls a helper function of the kernel (helpers.ts): arguments in r1-r5, result in r0. */
  call(helper: number): this {
    return this.#emit(JMP | CALL, 0, 0, 0, helper);
  }

  /** Ends the program with r0 as its result. */
  exit(): this {
    return this.#emit(JMP | EXIT);
  }

  /** The program: 8 bytes per instruction slot. Throws Error for a label that is missing or too far away. */
  assemble(): Uint8Array {
    const bytes = new Uint8Array(this.#instructions.length * 8);
    const view = new DataView(bytes.buffer);
    this.#instructions.forEach((instruction, index) => {
      const at = index * 8;
      view.setUint8(at, instruction.opcode);
      view.setUint8(at + 1, (instruction.source << 4) | instruction.destination);
      view.setInt16(at + 2, this.#offset(instruction, index), true);
      view.setInt32(at + 4, instruction.immediate, true);
    });
    return bytes;
  }

  #offset(instruction: Instruction, index: number): number {
    if (instruction.target === undefined) return instruction.offset;
    const target = this.#labels.get(instruction.target);
    if (target === undefined) throw new Error(`eBPF label '${instruction.target}' is not defined`);
    return checkOffset(target - (index + 1));
  }

  #operate(opcode: number, destination: Register, operand: Operand, target?: string): this {
    return typeof operand === 'number'
      ? this.#emit(opcode, destination.register, 0, 0, operand, target)
      : this.#emit(opcode | SOURCE_REGISTER, destination.register, operand.register, 0, 0, target);
  }

  #wide(destination: Register, source: number, low: number, high: number): this {
    this.#emit(LD | SIZES.u64, destination.register, source, 0, low);
    return this.#emit(0, 0, 0, 0, high);
  }

  #emit(opcode: number, destination = 0, source = 0, offset = 0, immediate = 0, target?: string): this {
    if (!Number.isInteger(immediate) || immediate < -0x80000000 || immediate > 0xffffffff) {
      throw new Error(`eBPF immediate ${immediate} does not fit in 32 bits`);
    }
    const instruction: Instruction = {
      opcode,
      destination,
      source,
      offset: checkOffset(offset),
      immediate: immediate | 0,
    };
    if (target !== undefined) instruction.target = target;
    this.#instructions.push(instruction);
    return this;
  }
}

function checkOffset(offset: number): number {
  if (!Number.isInteger(offset) || offset < -0x8000 || offset > 0x7fff) {
    throw new Error(`eBPF offset ${offset} does not fit in 16 bits`);
  }
  return offset;
}
