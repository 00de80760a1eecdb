"""Plays the service manager for one command: NOTIFY_SOCKET with a descriptor store. A line on stdin kills the command and starts it again.

    fd-store.py SOCKET COMMAND …

Prints what it is told, a notification a line, and `started PID`.
"""
import array
import os
import signal
import socket
import sys
import threading

path, command = sys.argv[1], sys.argv[2:]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(path)
store = {}


def listen():
    while True:
        data, control, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(4 * 64))
        words = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
        fds = array.array("i")
        for level, kind, part in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(part[: len(part) - len(part) % fds.itemsize])
        name = words.get("FDNAME")
        if words.get("FDSTORE") == "1":
            for old in store.pop(name, []):
                os.close(old)
            store[name] = list(fds)
        elif words.get("FDSTOREREMOVE") == "1":
            for old in store.pop(name, []):
                os.close(old)
        print(repr(data.decode()), len(fds), flush=True)


def start():
    # As the real one: in no order that means something.
    kept = [(name, fd) for name, fds in sorted(store.items(), reverse=True) for fd in fds]
    pid = os.fork()
    if pid:
        print("started", pid, flush=True)
        return pid
    environment = {**os.environ, "NOTIFY_SOCKET": path}
    if kept:
        environment.update(
            LISTEN_PID=str(os.getpid()),
            LISTEN_FDS=str(len(kept)),
            LISTEN_FDNAMES=":".join(name for name, _ in kept),
        )
        # Out of the way first: a target may be another's source.
        high = [os.dup2(fd, 200 + i) for i, (_, fd) in enumerate(kept)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, inheritable=True)
            os.close(fd)
        os.closerange(3 + len(kept), 3 + len(kept) + 100)
    os.execve(command[0], command, environment)


threading.Thread(target=listen, daemon=True).start()
child = start()
for line in sys.stdin:
    if line.strip() == "kill":
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        child = start()
    else:
        break
os.kill(child, signal.SIGTERM)
_, status = os.waitpid(child, 0)
print("store", sorted(store), flush=True)
sys.exit(os.waitstatus_to_exitcode(status))
