/** Bugs to plant: a text of the source, what to put in its place, and what that breaks. */
export interface Mutation {
  file: string;
  find: string;
  replace: string;
  breaks: string;
}

export const mutations: readonly Mutation[] = [
  {
    file: 'src/nat/translate.ts',
    find: 'bytes.u8[offset + IP_TTL] = bytes.u8[offset + IP_TTL]! - 1;',
    replace: 'bytes.u8[offset + IP_TTL] = bytes.u8[offset + IP_TTL]! - 2;',
    breaks: 'the TTL goes down by two',
  },
];
