import { describe, expect, it } from 'vitest';
import { NatgateError } from '../../../src/core/errors.ts';
import { rangeFor } from '../../../src/host/plan/local-ports.ts';
import { formatPorts, parsePorts, portsToReserve } from '../../../src/host/plan/reserved-ports.ts';
import { tunName } from '../../../src/host/plan/tun.ts';

const range = (first: number, last: number) => ({ first, last });

describe('rangeFor', () => {
  const usual = range(32768, 60999);

  it('moves the usual range below natgate’s', () => {
    expect(rangeFor(usual, [range(32768, 65535)], 1024)).toEqual(range(16384, 32767));
  });

  it('leaves a range that is clear of all gateways', () => {
    expect(rangeFor(usual, [range(61000, 65535)], 1024)).toEqual(usual);
    expect(rangeFor(range(20000, 30000), [range(30001, 65535), range(1024, 19999)], 1024)).toEqual(
      range(20000, 30000),
    );
  });

  it('else takes the longest stretch that is free', () => {
    expect(rangeFor(usual, [range(20000, 65535)], 1024)).toEqual(range(1024, 19999));
    expect(rangeFor(usual, [range(1024, 40000)], 1024)).toEqual(range(40001, 65535));
    expect(rangeFor(usual, [range(50000, 65535), range(10000, 20000)], 8000)).toEqual(range(20001, 49999));
  });

  it('does not go below the first unprivileged port', () => {
    expect(rangeFor(usual, [range(32768, 65535)], 20000)).toEqual(range(20000, 32767));
  });

  it('refuses to leave the host without ports', () => {
    expect(() => rangeFor(usual, [range(1100, 65000)], 1024)).toThrow(NatgateError);
    expect(() => rangeFor(usual, [range(1024, 65535)], 1024)).toThrow(/fewer than 1024 ports/);
  });
});

describe('reserved ports', () => {
  it('are written as the kernel writes them', () => {
    expect(formatPorts([])).toBe('');
    expect(formatPorts([9001, 80, 9000, 80, 9002, 65535])).toBe('80,9000-9002,65535');
    expect(parsePorts('80,9000-9002,65535')).toEqual([80, 9000, 9001, 9002, 65535]);
    expect(parsePorts('')).toEqual([]);
  });

  it('are those of forwards that share the address, outside natgate’s own', () => {
    const forward = (first: number, last: number, address = 0) => ({
      ...{ name: '', protocol: 6, sources: [], targets: [], affinitySeconds: 0, twice: false },
      address,
      ports: range(first, last),
    });
    const forwards = [forward(32766, 32769), forward(80, 80), forward(80, 80), forward(25, 25, 0x0100000a)];
    const nat = { rules: [], forwards, prefixes: [] };
    expect(portsToReserve(nat, range(32768, 65535))).toEqual([80, 32766, 32767]);
  });
});

describe('tunName', () => {
  it('fits into 15 bytes and is one name per interface', () => {
    expect(tunName('g0')).toBe('natgate-g0');
    expect(tunName('enp3s0f')).toBe('natgate-enp3s0f');
    expect(tunName('enp0s31f6')).toBe('ng-enp0s31f6');
    expect(tunName('enx001122334455')).toMatch(/^ng-enx0011-[0-9a-f]{4}$/);
    expect(tunName('enx001122334456')).not.toBe(tunName('enx001122334455'));
    for (const name of ['g', 'wlp0s20f3', 'abcdefghijklmno', 'ééééééé']) {
      expect(Buffer.byteLength(tunName(name))).toBeLessThanOrEqual(15);
    }
  });
});
