/** A rule set as `natgate import` has it. */
import { importRules } from '../../src/gateway/iptables/import.ts';

export interface ImportedSet {
  /** The configuration. */
  text: string;
  /** Why something of it is not carried; empty: it is carried whole. */
  reasons: string[];
}

/** `saved`: what iptables-save prints. The devices are `p0` and `w0`, or named as in `devices`. */
export function importSet(saved: string, devices: { private: string; public: string }): ImportedSet {
  const renamed = saved
    .replace(/\bp0\b/g, devices.private)
    .replace(/\bw0\b/g, devices.public)
    .replace(/ p\+/g, ` ${devices.private.slice(0, -1)}+`)
    .replace(/ w\+/g, ` ${devices.public.slice(0, -1)}+`);
  const { text, counts, notCarried } = importRules(renamed, {
    file: 'rules',
    private: [devices.private],
    public: devices.public,
    addresses: () => ['198.18.0.1'],
    sets: null,
  });
  return { text, reasons: counts.changed === 0 ? [] : notCarried };
}
