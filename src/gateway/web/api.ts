/** What the gateway is asked, and the parts of its answers that the page uses (all of them: /openapi.json). */

export interface Status {
  name: string;
  version: string;
  pid: number;
  started: string;
  config: string | null;
  external: string | null;
  private: string[];
  public: string;
  ports: { first: number; last: number };
  workers: number;
  flows: { count: number; capacity: number; tcp: number; udp: number; icmp: number; other: number };
  interfaces: { name: string; side: 'private' | 'public'; addresses: string[] }[];
  externals: { address: string; inUse: PortUse; ports: PortUse }[];
  drops: Record<string, number>;
  refused: { host: string; rule: string; reason: string; count: number }[];
}

export interface PortUse {
  tcp: number;
  udp: number;
  icmp: number;
}

/** `elapsed`: ms, of a clock that does not jump. */
export interface Stats {
  time: string;
  elapsed: number;
  counters: Record<string, number>;
}

export interface Usage {
  address: string;
  flows: number;
  out: number;
  in: number;
  outRate: number;
  inRate: number;
}

export interface Top {
  clients: (Usage & { name: string })[];
  destinations: Usage[];
  ports: (Usage & { protocol: number; port: number })[];
}

export interface Tuple {
  src: string;
  sport: number;
  dst: string;
  dport: number;
}

export interface Flow {
  id: string;
  protocol: number;
  state: string;
  side: 'private' | 'public';
  client: string;
  rule: string;
  original: Tuple;
  reply: Tuple;
  originalPackets: number;
  originalBytes: number;
  replyPackets: number;
  replyBytes: number;
  timeoutSeconds: number;
  ageSeconds: number;
  idleSeconds: number;
  assured: boolean;
  unreplied: boolean;
  related: boolean;
}

export interface FlowPage {
  flows: Flow[];
  cursor: string | null;
}

/** What the gateway says is wrong. */
export class Refusal extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

export function get<T>(path: string, query: Record<string, string> = {}): Promise<T> {
  const words = new URLSearchParams(query).toString();
  return ask<T>(words === '' ? path : `${path}?${words}`, {});
}

/** Ends those that the filter means. */
export function endFlows(filter: string, token: string): Promise<{ deleted: number }> {
  return ask('/v1/flows', {
    method: 'DELETE',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ filter }),
  });
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new Refusal('the gateway does not answer', 'it may have stopped');
  }
  const body = await response.json();
  if (response.ok) return body as T;
  throw new Refusal(body.error?.message ?? `status ${response.status}`, body.error?.hint ?? '');
}

/** The flow, while it lives. An id begins with the flow's place, which is what a cursor is. */
export async function flowOf(id: string): Promise<Flow | null> {
  const [worker, place] = id.split('.');
  const { flows } = await get<FlowPage>('/v1/flows', { cursor: `${worker}.${place}`, limit: '1' });
  return flows[0]?.id === id ? flows[0] : null;
}
