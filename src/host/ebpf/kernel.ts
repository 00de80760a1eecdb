/**
 * The kernel's numbers that programs use: include/uapi/linux/{bpf,pkt_cls,if_packet,if_ether,socket}.h.
 */

/** Helper functions (BPF_FUNC_*). */
export const MAP_LOOKUP_ELEM = 1;
export const KTIME_GET_NS = 5;
export const SKB_STORE_BYTES = 9;
export const REDIRECT = 23;
export const SKB_LOAD_BYTES = 26;
export const SKB_VLAN_POP = 19;
export const SKB_PULL_DATA = 39;
export const SKB_CHANGE_HEAD = 43;
export const SKB_LOAD_BYTES_RELATIVE = 68;
export const REDIRECT_NEIGH = 152;

/** `start_header` of SKB_LOAD_BYTES_RELATIVE: offsets count from the network header. */
export const HDR_START_NET = 1;
/** Flag of REDIRECT: deliver as received by the device instead of sending through it. */
export const F_INGRESS = 1;

/** Field offsets of struct __sk_buff, all u32. */
export const SKB_LEN = 0;
export const SKB_PKT_TYPE = 4;
export const SKB_MARK = 8;
export const SKB_PROTOCOL = 16;
export const SKB_VLAN_PRESENT = 20;
export const SKB_VLAN_TCI = 24;
export const SKB_IFINDEX = 40;

/** What a cls_bpf direct-action program returns. */
export const TC_ACT_OK = 0;
export const TC_ACT_SHOT = 2;
export const TC_ACT_REDIRECT = 7;

export const PACKET_HOST = 0;
/** ETH_P_IP as it stands in memory, which is how `SKB_PROTOCOL` holds it. */
export const ETH_P_IP_WIRE = 0x0008;
export const ETHERNET_HEADER = 14;
export const AF_INET = 2;

/** bpf(2): program and map types, map flags. */
export const PROG_TYPE_SOCKET_FILTER = 1;
export const PROG_TYPE_SCHED_CLS = 3;
export const MAP_TYPE_ARRAY = 2;
export const MAP_TYPE_LPM_TRIE = 11;
export const MAP_NO_PREALLOC = 1 << 0;
export const MAP_MMAPABLE = 1 << 10;
