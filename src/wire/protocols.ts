/** IP protocols that have a name here, by number. */
const NAMES: Record<number, string> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  47: 'gre',
  50: 'esp',
  51: 'ah',
  132: 'sctp',
  136: 'udplite',
};

export const protocolNames: readonly string[] = Object.values(NAMES);

/** `tcp`, `udp`, `icmp` …; undefined for a protocol without a name here. */
export function protocolName(protocol: number): string | undefined {
  return NAMES[protocol];
}

/** Number of a protocol by its name or its number, 0-255; null when it is neither. */
export function parseProtocol(text: string): number | null {
  const named = Object.keys(NAMES).find((number) => NAMES[Number(number)] === text.toLowerCase());
  if (named !== undefined) return Number(named);
  return /^\d{1,3}$/.test(text) && Number(text) <= 255 ? Number(text) : null;
}
