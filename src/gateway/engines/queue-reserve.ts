/**
 * While nobody reads the TUN queues, packets wait in them: 4096 of each device, which is 0.4 s of 10 000 packets a second. That is enough where an
 * engine stands by. Where one is to be loaded first, which takes a second or more, the queues are made longer, and afterwards they are as
 * configured, since in normal operation a long queue only makes packets late. The kernel takes what waits along into a ring of another
 * size, but drops what comes in the millisecond in which it changes it; a smaller ring drops what does not fit.
 */
import { changeLink, readLinks } from '../../host/netlink/links.ts';
import { OUTAGE_QUEUE_LENGTH } from '../../host/plan/tun.ts';

/** `devices`: the TUNs; `normal`: packets, as configured. Throws SystemError. */
export function setQueueLength(devices: readonly string[], normal: number, isOutage: boolean): void {
  const txQueueLength = isOutage ? Math.max(normal, OUTAGE_QUEUE_LENGTH) : normal;
  for (const link of readLinks()) {
    // One that somebody deleted is not missed here.
    if (devices.includes(link.name)) changeLink(link.index, { txQueueLength });
  }
}
