/**
 * Large receive offload merges packets in hardware and loses what a router needs to send them on. The kernel itself
 * switches it off where it forwards; natgate forwards behind the kernel's back, so it does the same.
 */
import { isSystemError } from '../../core/errors.ts';
import { addon } from '../../link/addon.ts';
import { linkAt } from '../netlink/links.ts';
import type { Step } from './step.ts';
import { describe, type InterfaceReference } from './undo-records.ts';

const ETH_FLAG_LRO = 1 << 15;

export function hasLro(interfaceName: string): boolean {
  return (flagsOf(interfaceName) & ETH_FLAG_LRO) !== 0;
}

export function lroStep(target: InterfaceReference): Step {
  return {
    name: `lro ${describe(target)}`,
    show: `ethtool -K ${target.name} lro off`,
    prepare: () => (hasLro(target.name) ? { kind: 'lro', interface: target } : null),
    apply() {
      const flags = flagsOf(target.name);
      if ((flags & ETH_FLAG_LRO) !== 0) addon().ethtoolSetFlags(target.name, flags & ~ETH_FLAG_LRO);
    },
    check: () => (hasLro(target.name) ? `large receive offload of ${target.name} was switched on` : null),
  };
}

export function undoLro(target: InterfaceReference): string | null {
  const name = linkAt(target.index)?.name;
  if (name === undefined) return null;
  const flags = flagsOf(name);
  if ((flags & ETH_FLAG_LRO) === 0) addon().ethtoolSetFlags(name, flags | ETH_FLAG_LRO);
  return null;
}

/** 0 for a driver that knows no such flags. */
function flagsOf(interfaceName: string): number {
  try {
    return addon().ethtoolGetFlags(interfaceName);
  } catch (error) {
    if (isSystemError(error, 'EOPNOTSUPP')) return 0;
    throw error;
  }
}
