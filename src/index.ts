/**
 * The package's main entry: what every embedder needs. Packet tracking is in `natgate/conntrack`, an in-memory
 * gateway in `natgate/testing`.
 */
export { isSystemError, NatgateError, type SystemError } from './core/errors.ts';
export { packageVersion as version } from './gateway/version.ts';
