/** What helps where the system has no more of something for this process. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /\bEMFILE\b/,
    'raise the limit of open files to 1024 or more: `ulimit -n`, or LimitNOFILE= of the service',
  ],
  [/\bENFILE\b/, 'no more files can be opened on this host: raise fs.file-max'],
  [
    /\b(EAGAIN|SIGABRT)\b/,
    'it may be that no more processes or threads can be made: raise pids.max of the control group, TasksMax= of the service, or `ulimit -u`',
  ],
  [
    /\b(ENOMEM|SIGKILL)\b/,
    'it may be that memory ran out: see the limits of the control group, and `journalctl -k`',
  ],
  [/\bENOSPC\b/, 'make room: `df`'],
];

/** A remedy for what the name of an errno, or of the signal that ended a process, in `reason` says; empty: none is known. */
export function shortageHint(reason: string): string {
  return HINTS.find(([pattern]) => pattern.test(reason))?.[1] ?? '';
}
