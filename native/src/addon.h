/* The functions of the addon, by the file that has them. src/link/addon.ts documents each one. */
#ifndef NATGATE_ADDON_H
#define NATGATE_ADDON_H

#include <node_api.h>

#define EXPORT(name) napi_value name(napi_env env, napi_callback_info info)

/* tun.c */
EXPORT(tun_open);
EXPORT(tun_set_persist);
EXPORT(tun_set_steering);
EXPORT(tun_name);

/* exchange.c */
EXPORT(exchange_open);

/* onlooker.c */
EXPORT(onlooker_copy);
EXPORT(onlooker_cpu);

/* bpf.c */
EXPORT(bpf_map_create);
EXPORT(bpf_map_update);
EXPORT(bpf_map_delete);
EXPORT(bpf_map_lookup);
EXPORT(bpf_map_next_key);
EXPORT(bpf_prog_load);
EXPORT(bpf_prog_run);

/* memory.c */
EXPORT(memory_map);
EXPORT(memory_fallocate);

/* netlink.c */
EXPORT(netlink_open);
EXPORT(netlink_request);
EXPORT(netlink_receive);

/* watch.c */
EXPORT(watch_readable);

/* system.c */
EXPORT(system_eventfd);
EXPORT(system_eventfd_wake);
EXPORT(system_ethtool_get_flags);
EXPORT(system_ethtool_set_flags);
EXPORT(system_send_frame);
EXPORT(system_no_new_privileges);
EXPORT(system_parent_death_signal);
EXPORT(system_time_slice);
EXPORT(system_thread_name);

/* privileges.c */
EXPORT(privileges_limit);
EXPORT(privileges_resource_limit);
EXPORT(privileges_undumpable);
EXPORT(privileges_close_on_exec);

/* landlock.c */
EXPORT(landlock_nothing);

/* seccomp.c */
EXPORT(seccomp_enter);
EXPORT(seccomp_filter);
EXPORT(seccomp_calls);

/* unix.c */
EXPORT(unix_listen);
EXPORT(unix_accept);
EXPORT(unix_connect);
EXPORT(unix_send_fds);
EXPORT(unix_receive_fds);
EXPORT(unix_notify);

#undef EXPORT

#endif
