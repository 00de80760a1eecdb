"""A cable without Ethernet: a tun device in each of two namespaces, and what one sends the other receives.

    l3-cable.py NAMESPACE DEVICE NAMESPACE DEVICE
"""
import ctypes
import fcntl
import os
import select
import struct
import sys

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001


def tun(namespace, device):
    with open("/run/netns/" + namespace) as ns:
        if ctypes.CDLL(None, use_errno=True).setns(ns.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN_NO_PI))
    return fd


ends = [tun(*sys.argv[1:3]), tun(*sys.argv[3:5])]
print("ready", flush=True)
while True:
    for fd in select.select(ends, [], [])[0]:
        packet = os.read(fd, 65536)
        try:
            os.write(ends[1 - ends.index(fd)], packet)
        except OSError:
            pass  # the other end is down
