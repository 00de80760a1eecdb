/**
 * NAT chains of the kernel's own (nf_tables, which iptables uses as well on most hosts), over NETLINK_NETFILTER
 * (linux/netfilter/nf_tables.h).
 */
import { isSystemError } from '../../core/errors.ts';
import { Attributes, type Message, message } from './message.ts';
import { ask, LIST, NETLINK_NETFILTER } from './request.ts';

const NFNL_SUBSYS_NFTABLES = 10 << 8;
const NFT_MSG_NEWCHAIN = NFNL_SUBSYS_NFTABLES | 3;
const NFT_MSG_GETCHAIN = NFNL_SUBSYS_NFTABLES | 4;

/** struct nfgenmsg: family, version, resource. */
const NFGENMSG = 4;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_USE = 6;
const NFTA_CHAIN_TYPE = 7;

export interface NatChain {
  table: string;
  chain: string;
}

/** The NAT chains that have rules. None where the kernel has no nf_tables, or does not let this process look. */
export function readNatChains(): NatChain[] {
  try {
    return ask(NETLINK_NETFILTER, message(NFT_MSG_GETCHAIN, LIST, Buffer.alloc(NFGENMSG))).flatMap(
      decodeNatChain,
    );
  } catch (error) {
    const absent = ['EINVAL', 'ENOENT', 'EOPNOTSUPP', 'EPROTONOSUPPORT', 'EPERM'];
    if (absent.some((code) => isSystemError(error, code))) return [];
    throw error;
  }
}

/** Returns an empty list for a chain of another type, or without rules. */
export function decodeNatChain({ type, body }: Message): NatChain[] {
  if (type !== NFT_MSG_NEWCHAIN || body.length < NFGENMSG) return [];
  const attributes = new Attributes(body, NFGENMSG);
  const users = attributes.bytes(NFTA_CHAIN_USE);
  const rules = users !== undefined && users.length === 4 ? users.readUInt32BE(0) : 0;
  if (attributes.text(NFTA_CHAIN_TYPE) !== 'nat' || rules === 0) return [];
  return [{ table: attributes.text(NFTA_CHAIN_TABLE) ?? '', chain: attributes.text(NFTA_CHAIN_NAME) ?? '' }];
}
