{
  'targets': [
    {
      'target_name': 'natgate',
      'sources': [
        'src/addon.c',
        'src/bpf.c',
        'src/call.c',
        'src/coalesce.c',
        'src/error.c',
        'src/exchange.c',
        'src/memory.c',
        'src/netlink.c',
        'src/system.c',
        'src/tun.c',
        'src/unix.c',
        'src/watch.c',
        'src/writer.c',
      ],
      'defines': ['NAPI_VERSION=8', '_GNU_SOURCE'],
      'cflags!': ['-Wno-unused-parameter', '-O3'],
      'cflags': ['-std=c11', '-O2', '-Wall', '-Wextra', '-fvisibility=hidden'],
    },
  ],
}
