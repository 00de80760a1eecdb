import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { expect, it } from 'vitest';
import { CHILD_CAPABILITIES, capabilitySet, SUPERVISOR_CAPABILITIES } from '../../src/gateway/privileges.ts';
import { useGateway } from './support/fixture.ts';
import { type Natgate, natgateOnly } from './support/gateway.ts';

function threadsOf(pid: number): Record<string, string>[] {
  return readdirSync(`/proc/${pid}/task`).map((tid) =>
    Object.fromEntries(
      readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8')
        .split('\n')
        .filter((line) => line.includes(':'))
        .map((line) => {
          const colon = line.indexOf(':');
          return [line.slice(0, colon), line.slice(colon + 1).trim()];
        }),
    ),
  );
}

const hex = (set: number) => set.toString(16).padStart(16, '0');

natgateOnly('the sandbox of a running gateway', () => {
  const fixture = useGateway({ args: ['--workers', '2'] });
  it('looks', async () => {
    const natgate = fixture.gateway as Natgate;
    const pid = await natgate.enginePid();
    for (const t of threadsOf(pid))
      console.log(
        t.Name,
        t.Uid,
        t.Gid,
        t.Groups,
        t.CapInh,
        t.CapPrm,
        t.CapEff,
        t.CapBnd,
        t.CapAmb,
        t.NoNewPrivs,
        t.Seccomp,
        t.SigBlk,
      );
    for (const t of threadsOf(natgate.process.pid))
      console.log(
        t.Name,
        t.Uid,
        t.CapInh,
        t.CapPrm,
        t.CapEff,
        t.CapBnd,
        t.CapAmb,
        t.NoNewPrivs,
        t.Seccomp,
        t.SigBlk,
      );
    for (const fd of readdirSync(`/proc/${pid}/fd`)) console.log(fd, readlinkSync(`/proc/${pid}/fd/${fd}`));
    console.log(hex(capabilitySet(SUPERVISOR_CAPABILITIES)), hex(capabilitySet(CHILD_CAPABILITIES)));
    console.log(readFileSync(`/proc/${pid}/limits`, 'utf8'));
    console.log(natgate.process.stderr);
    expect(1).toBe(1);
  });
});
