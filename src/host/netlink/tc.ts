/**
 * Traffic control over rtnetlink (linux/pkt_sched.h, pkt_cls.h): the clsact qdisc, eBPF programs on its ingress hook
 * (cls_bpf in direct-action mode), and sending without a queue.
 *
 * A filter is named by its priority and handle. Adding one where it already is replaces its program in one step:
 * every packet sees either the old program or the new one.
 */
import {
  Attributes,
  type Message,
  message,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  nest,
  text,
  u32,
} from './message.ts';
import { ask, CHANGE, LIST, NETLINK_ROUTE } from './request.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

/** Parent of the qdisc that an interface sends through. */
const TC_H_ROOT = 0xffffffff;

/** struct tcmsg: family, interface, handle, parent, info. */
const TCMSG = 20;
/** Parent of an ingress or clsact qdisc, of which an interface has one at most. */
const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
/** Parents of filters. */
const INGRESS = 0xfffffff2;
const EGRESS = 0xfffffff3;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_INGRESS_BLOCK = 13;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_ID = 11;
const TCA_BPF_FLAG_ACT_DIRECT = 1;

/** ETH_P_ALL in network byte order. */
const ALL_PROTOCOLS = 0x0300;

export interface IngressQdisc {
  kind: 'clsact' | 'ingress';
  /** Its filters are shared with other interfaces (`ingress_block`); 0: they are its own. */
  block: number;
}

/** What is on the ingress hook of an interface: clsact, the older `ingress` (good for filters as well) or null. */
export function readIngressQdisc(interfaceIndex: number): IngressQdisc | null {
  const answers = ask(NETLINK_ROUTE, message(RTM_GETQDISC, LIST, tcmsg(interfaceIndex, 0, 0, 0)));
  return answers.flatMap((answer) => decodeIngressQdisc(answer, interfaceIndex))[0] ?? null;
}

export function decodeIngressQdisc({ type, body }: Message, interfaceIndex: number): IngressQdisc[] {
  if (type !== RTM_NEWQDISC || body.length < TCMSG) return [];
  if (body.readInt32LE(4) !== interfaceIndex || body.readUInt32LE(12) !== TC_H_CLSACT) return [];
  const attributes = new Attributes(body, TCMSG);
  const kind = attributes.text(TCA_KIND);
  if (kind !== 'clsact' && kind !== 'ingress') return [];
  return [{ kind, block: attributes.u32(TCA_INGRESS_BLOCK) ?? 0 }];
}

/** Throws SystemError EEXIST when the interface has one (or an `ingress`). */
export function addClsact(interfaceIndex: number): void {
  ask(NETLINK_ROUTE, encodeClsact(RTM_NEWQDISC, CHANGE | NLM_F_CREATE | NLM_F_EXCL, interfaceIndex));
}

/** Its filters go with it. Throws SystemError ENOENT or EINVAL when there is none. */
export function deleteClsact(interfaceIndex: number): void {
  ask(NETLINK_ROUTE, encodeClsact(RTM_DELQDISC, CHANGE, interfaceIndex));
}

/** Sends past any queue (`noqueue`): packets go straight to the driver. */
export function removeQueue(interfaceIndex: number): void {
  ask(
    NETLINK_ROUTE,
    message(RTM_NEWQDISC, CHANGE | NLM_F_CREATE | NLM_F_REPLACE, tcmsg(interfaceIndex, 0, TC_H_ROOT, 0), [
      text(TCA_KIND, 'noqueue'),
    ]),
  );
}

function encodeClsact(type: number, flags: number, interfaceIndex: number): Buffer {
  return message(type, flags, tcmsg(interfaceIndex, CLSACT_HANDLE, TC_H_CLSACT, 0), [
    text(TCA_KIND, 'clsact'),
  ]);
}

export interface FilterPlace {
  /** Index of the interface. */
  interface: number;
  /** 1-65535; filters with a smaller one are asked first. */
  priority: number;
  handle: number;
}

export interface Filter {
  hook: 'ingress' | 'egress';
  priority: number;
  handle: number;
  /** `bpf`, `flower`, `u32`, … */
  kind: string;
  /** Name given with a BPF program; empty for other kinds. */
  name: string;
  /** The kernel's number of the BPF program; 0 for other kinds. */
  programId: number;
}

/** Attaches a program to the ingress hook, or replaces the one at the same place. */
export function attachProgram(place: FilterPlace, programFd: number, name: string): void {
  ask(NETLINK_ROUTE, encodeFilter(place, programFd, name));
}

export function encodeFilter(place: FilterPlace, programFd: number, name: string): Buffer {
  return message(RTM_NEWTFILTER, CHANGE | NLM_F_CREATE, filterMessage(place), [
    text(TCA_KIND, 'bpf'),
    nest(TCA_OPTIONS, [
      u32(TCA_BPF_FD, programFd),
      text(TCA_BPF_NAME, name),
      u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT),
    ]),
  ]);
}

/** Throws SystemError ENOENT when there is no such filter. */
export function detachProgram(place: FilterPlace): void {
  ask(NETLINK_ROUTE, message(RTM_DELTFILTER, CHANGE, filterMessage(place), [text(TCA_KIND, 'bpf')]));
}

/** All filters on both hooks of an interface. Needs an ingress or clsact qdisc there. */
export function readFilters(interfaceIndex: number): Filter[] {
  return [INGRESS, EGRESS].flatMap((parent) =>
    ask(NETLINK_ROUTE, message(RTM_GETTFILTER, LIST, tcmsg(interfaceIndex, 0, parent, 0))).flatMap((answer) =>
      decodeFilter(answer, parent === INGRESS ? 'ingress' : 'egress'),
    ),
  );
}

/** Returns an empty list for a message that is no filter (one with handle 0 stands for a whole priority). */
export function decodeFilter({ type, body }: Message, hook: Filter['hook']): Filter[] {
  if (type !== RTM_NEWTFILTER || body.length < TCMSG) return [];
  const handle = body.readUInt32LE(8);
  if (handle === 0) return [];
  const attributes = new Attributes(body, TCMSG);
  const kind = attributes.text(TCA_KIND) ?? '';
  const options = kind === 'bpf' ? attributes.nest(TCA_OPTIONS) : new Attributes(undefined);
  return [
    {
      hook,
      priority: body.readUInt32LE(16) >>> 16,
      handle,
      kind,
      name: options.text(TCA_BPF_NAME) ?? '',
      programId: options.u32(TCA_BPF_ID) ?? 0,
    },
  ];
}

function filterMessage(place: FilterPlace): Buffer {
  return tcmsg(place.interface, place.handle, INGRESS, (place.priority << 16) | ALL_PROTOCOLS);
}

function tcmsg(interfaceIndex: number, handle: number, parent: number, info: number): Buffer {
  const bytes = Buffer.alloc(TCMSG);
  bytes.writeInt32LE(interfaceIndex, 4);
  bytes.writeUInt32LE(handle, 8);
  bytes.writeUInt32LE(parent, 12);
  bytes.writeUInt32LE(info >>> 0, 16);
  return bytes;
}
