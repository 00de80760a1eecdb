/** Required before a program (NODE_OPTIONS): whoever loads the addon gets the one that NATGATE_ASAN_ADDON names. */
const load = process.dlopen;
process.dlopen = (module, path, ...flags) =>
  load.call(
    process,
    module,
    path.endsWith('/natgate.node') ? process.env.NATGATE_ASAN_ADDON : path,
    ...flags,
  );
