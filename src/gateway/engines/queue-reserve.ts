/**
 * While nobody reads the TUN queues, packets wait in them: 1000 of each device, which is 100 ms of 10 000 packets a second. So for the time
 * of an outage the queues are made longer, and afterwards they are as configured, since in normal operation a long queue only makes
 * packets late. The kernel takes what waits along into a ring of another size; a smaller one drops what does not fit.
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
