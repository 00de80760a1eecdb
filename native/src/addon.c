/*
 * natgate's addon: it moves bytes between the kernel and memory and decides nothing.
 *
 * Plain C Node-API, so one binary serves every Node from 20.19 on. What outlives a call hangs on a JavaScript object (an
 * exchange, a mapping, a watch) and goes with it, so the addon can be loaded by any number of threads, which may end at
 * any time. Global state is in threads.c (privileges) and onlooker.c (arenas for other threads to look at) only.
 *
 * Every function checks its arguments (call.c) and throws what the kernel refuses (error.c); only
 * exchange.c, the hot path, returns numbers instead.
 */
#include "addon.h"

#define FUNCTION(name, callback) {name, NULL, callback, NULL, NULL, NULL, napi_enumerable, NULL}

static const napi_property_descriptor functions[] = {
    FUNCTION("tunOpen", tun_open),
    FUNCTION("tunSetPersist", tun_set_persist),
    FUNCTION("tunSetSteering", tun_set_steering),
    FUNCTION("tunName", tun_name),
    FUNCTION("exchangeOpen", exchange_open),
    FUNCTION("arenaCopy", onlooker_copy),
    FUNCTION("arenaCpu", onlooker_cpu),
    FUNCTION("eventfd", system_eventfd),
    FUNCTION("eventfdWake", system_eventfd_wake),
    FUNCTION("bpfMapCreate", bpf_map_create),
    FUNCTION("bpfMapUpdate", bpf_map_update),
    FUNCTION("bpfMapDelete", bpf_map_delete),
    FUNCTION("bpfMapLookup", bpf_map_lookup),
    FUNCTION("bpfMapNextKey", bpf_map_next_key),
    FUNCTION("bpfProgLoad", bpf_prog_load),
    FUNCTION("bpfProgRun", bpf_prog_run),
    FUNCTION("mmap", memory_map),
    FUNCTION("fallocate", memory_fallocate),
    FUNCTION("netlinkOpen", netlink_open),
    FUNCTION("netlinkRequest", netlink_request),
    FUNCTION("netlinkReceive", netlink_receive),
    FUNCTION("watchReadable", watch_readable),
    FUNCTION("ethtoolGetFlags", system_ethtool_get_flags),
    FUNCTION("ethtoolSetFlags", system_ethtool_set_flags),
    FUNCTION("sendFrame", system_send_frame),
    FUNCTION("noNewPrivileges", system_no_new_privileges),
    FUNCTION("parentDeathSignal", system_parent_death_signal),
    FUNCTION("timeSlice", system_time_slice),
    FUNCTION("limitCapabilities", privileges_limit),
    FUNCTION("resourceLimit", privileges_resource_limit),
    FUNCTION("undumpable", privileges_undumpable),
    FUNCTION("closeOnExec", privileges_close_on_exec),
    FUNCTION("landlockNothing", landlock_nothing),
    FUNCTION("seccompEnter", seccomp_enter),
    FUNCTION("seccompFilter", seccomp_filter),
    FUNCTION("seccompCalls", seccomp_calls),
    FUNCTION("threadName", system_thread_name),
    FUNCTION("unixListen", unix_listen),
    FUNCTION("unixAccept", unix_accept),
    FUNCTION("unixConnect", unix_connect),
    FUNCTION("unixSendFds", unix_send_fds),
    FUNCTION("unixReceiveFds", unix_receive_fds),
    FUNCTION("unixNotify", unix_notify),
};

NAPI_MODULE_INIT() {
  if (napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions) != napi_ok) return NULL;
  return exports;
}
