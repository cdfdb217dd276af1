"""`python -m chaos.net.emulator`: the process that carries the packets of a `TunLab`, which gives it orders on fd 0.

It holds one TUN device in every host's namespace, so the kernel does all the rest: sockets, UDP, TCP, checksums. It
works at a real-time priority where that is permitted, and without garbage collection: what it makes has no cycles.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import json
import os
import select
import socket
import struct
import time

from chaos.net.forwarder import Forwarder
from chaos.net.hosts import INTERFACE, configuration
from chaos.net.spaces import inside, ip
from swimstream.errors import UsageError

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET_BYTES_MAX = 65_536
ORDER_BYTES_MAX = 4_194_304
PACKETS_A_TURN_MAX = 32
"""Of one host, so that none waits for another that floods."""
PRIORITY = 5


def main() -> None:
    """Carry packets until the other end of fd 0 is closed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mtu", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("spaces", nargs="+")
    told = parser.parse_args()
    devices = [open_device(space, host, told.mtu) for host, space in enumerate(told.spaces)]
    emulator = Emulator(devices, socket.socket(fileno=0), seed=told.seed)
    emulator.answer({"priority": raise_priority()})
    gc.disable()
    emulator.run()


def open_device(space: str, host: int, mtu: int) -> int:
    """Make the interface of a host; return the file whose reads are what it sends and whose writes it receives."""
    with inside(space):
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), IFF_TUN | IFF_NO_PI))
    ip("-n", space, "-batch", "-", lines=configuration(host, mtu))
    return device


def raise_priority() -> str:
    """Ask for the best there is; return what we got."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    except OSError:
        pass
    else:
        return f"SCHED_RR {PRIORITY}"
    try:
        return f"nice {os.nice(-10)}"
    except OSError:
        return "usual"


class Emulator:
    """The loop between devices, the forwarder and the lab's orders."""

    def __init__(self, devices: list[int], orders: socket.socket, *, seed: int) -> None:
        """Take over the devices, one a host, and the socket on which orders come."""
        self._devices = devices
        self._orders = orders
        self._pending = b""
        self._forwarder = Forwarder(hosts=len(devices), seed=seed)
        self._delivered = 0
        self._refused = 0
        self._late_us_max = 0

    def run(self) -> None:
        """Carry packets and follow orders until there is nobody any more who gives them."""
        host_of = {device: host for host, device in enumerate(self._devices)}
        everything = [self._orders.fileno(), *self._devices]
        while True:
            due = self._forwarder.next_due()
            wait_s = None if due is None else max(0.0, due - time.monotonic())
            # select, since epoll rounds up to a millisecond
            for ready in select.select(everything, [], [], wait_s)[0]:
                if ready in host_of:
                    self._read(host_of[ready], ready)
                elif not self._follow():
                    return
            self._deliver()

    def answer(self, told: dict[str, object]) -> None:
        """Say one line to the lab."""
        self._orders.sendall(json.dumps(told).encode() + b"\n")

    def _read(self, host: int, device: int) -> None:
        for _ in range(PACKETS_A_TURN_MAX):
            try:
                packet = os.read(device, PACKET_BYTES_MAX)
            except OSError:  # nothing more, or the interface is down
                return
            self._forwarder.take(host, packet, time.monotonic())

    def _deliver(self) -> None:
        now = time.monotonic()
        for due, host, packet in self._forwarder.take_due(now):
            try:
                os.write(self._devices[host], packet)
                self._delivered += 1
            except OSError:  # a header that corruption made impossible, a host whose queue is full or that is down
                self._refused += 1
            self._late_us_max = max(self._late_us_max, int((now - due) * 1e6))

    def _follow(self) -> bool:
        """Read orders and follow those that are complete; return whether more may come."""
        try:
            data = self._orders.recv(PACKET_BYTES_MAX)
        except ConnectionError:
            data = b""
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self.answer(self._obey(json.loads(line)))
        return bool(data) and len(self._pending) <= ORDER_BYTES_MAX

    def _obey(self, order: dict[str, list[tuple[int, int | None, str | None]]]) -> dict[str, object]:
        try:
            for src, dst, words in order["set"]:
                self._forwarder.set(src, dst, words)
        except UsageError as error:
            return {"error": str(error)}
        return {
            **self._forwarder.counters(),
            "delivered": self._delivered,
            "refused": self._refused,
            "late_us_max": self._late_us_max,
        }


if __name__ == "__main__":
    main()
