"""Runs a program in a terminal of 24 rows and 80 columns.

Input, JSON: argv; keys, a list of [what to wait for on the screen, what to type then]; end, the name of a signal to send at last.
Output, JSON: screen, all that it wrote; code, how it ended; restored, whether the terminal's settings are what they were.
"""
import fcntl, json, os, pty, select, signal, struct, sys, termios, time

asked = json.load(sys.stdin)
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.close(master)
    os.execvp(asked["argv"][0], asked["argv"])

screen = b""
seen = 0
deadline = time.monotonic() + 40


def read(timeout):
    global screen
    if select.select([master], [], [], timeout)[0]:
        screen += os.read(master, 65536)


for awaited, keys in asked["keys"]:
    while awaited.encode() not in screen[seen:] and time.monotonic() < deadline:
        read(0.1)
    if awaited.encode() not in screen[seen:]:
        sys.exit(f"{awaited!r} never came: {screen[seen:][-1500:]!r}")
    seen = len(screen)
    for key in keys:
        os.write(master, key.encode())
if asked["end"]:
    os.kill(pid, getattr(signal, asked["end"]))
while True:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        break
    if time.monotonic() > deadline:
        os.kill(pid, signal.SIGKILL)
        sys.exit("it did not end")
    read(0.05)
while select.select([master], [], [], 0)[0]:
    read(0)
print(json.dumps({
    "screen": screen.decode(),
    "code": os.waitstatus_to_exitcode(status),
    "restored": termios.tcgetattr(slave) == before,
}))
