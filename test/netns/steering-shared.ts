/** What steering.test.ts and the process that it runs in the gateway's namespace agree on. */
export const OWNED_PORT = 40000;
export const L3_ADDRESS = '192.0.2.1';
