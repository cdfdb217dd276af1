"""Real UDP packets between two hosts of a lab, from one process, so that both ends share a clock.

The kernel stamps what arrives, so a reader that gets no CPU for a while makes no delay. The sender stamps a packet
before it hands it to the kernel and never catches up: after a stall it goes on at its pace.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
import zlib
from random import Random
from typing import TYPE_CHECKING

from chaos.conformance.flight import Arrival, Flight

if TYPE_CHECKING:
    from chaos.net.hosts import HostLab

PORT = 7946
SIZE = 200
HEAD = struct.Struct("!II")
SO_NO_CHECK = 11
SO_TIMESTAMPNS = 35
STAMP = struct.Struct("@ll")
STALL_S = 0.003
"""Who wants to go on and gets to it so much later was stalled."""
LOOK_S = 0.004
RECEIVE_BYTES = 4_194_304


class UdpProber:
    """Sends real packets through a lab of hosts."""

    def __init__(self, lab: HostLab) -> None:
        """Probe this lab."""
        self._lab = lab
        self._body = Random(1).randbytes(SIZE - HEAD.size)
        self._looked_at = 0.0
        """When it was last known that we run."""

    def fly(
        self, src: int, dst: int, *, count: int, pps: float, tail_s: float, family: int = 4, checksum: bool = True
    ) -> Flight:
        """Send the packets and wait; see `Prober`."""
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        to = (self._lab.address(dst) if family == 4 else self._lab.address6(dst), PORT)
        with self._lab.inside(dst):
            receiver = socket.socket(kind, socket.SOCK_DGRAM)
        with self._lab.inside(src):
            sender = socket.socket(kind, socket.SOCK_DGRAM)
        with sender, receiver:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            receiver.setblocking(False)
            receiver.bind(to)
            if not checksum:
                sender.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
            sent: list[float] = []
            arrivals: list[Arrival] = []
            stalls: list[tuple[float, float]] = []
            step_s, next_at = 1 / pps, time.time()
            self._looked_at = next_at
            while len(sent) < count:
                self._wait(receiver, arrivals, stalls, until=next_at)
                sent.append(time.time())
                next_at = max(next_at + step_s, sent[-1])
                sender.sendto(self._packet(len(sent) - 1), to)
            self._wait(receiver, arrivals, stalls, until=time.time() + tail_s)
        # What corruption has made of a number may be any: such a packet counts as damaged, not as that one.
        return Flight(sent=tuple(sent), arrivals=tuple(arrivals), size=SIZE, stalls=tuple(stalls))

    def _packet(self, number: int) -> bytes:
        return HEAD.pack(number, zlib.crc32(self._body, number)) + self._body

    def _wait(
        self,
        receiver: socket.socket,
        arrivals: list[Arrival],
        stalls: list[tuple[float, float]],
        *,
        until: float,
    ) -> None:
        """Note what arrives until that time, and when we did not get to run."""
        while True:
            # Short waits, so that it is known well when a stall began.
            left_s = until - time.time()
            is_ready = bool(select.select([receiver], [], [], max(0.0, min(left_s, LOOK_S)))[0])
            now = time.time()
            if now > self._looked_at + LOOK_S + STALL_S:
                stalls.append((self._looked_at, now))
            self._looked_at = now
            if is_ready:
                with contextlib.suppress(BlockingIOError):  # a checksum is only looked at now, and was wrong
                    data, told, _, _ = receiver.recvmsg(2 * SIZE, 256)
                    arrivals.append(self._read(data, told))
            elif left_s <= 0:
                return

    def _read(self, data: bytes, told: list[tuple[int, int, bytes]]) -> Arrival:
        at = time.time()
        for level, kind, value in told:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = STAMP.unpack(value[: STAMP.size])
                at = seconds + nanoseconds / 1e9
        number, crc = HEAD.unpack_from(data) if len(data) >= HEAD.size else (0, 0)
        is_whole = len(data) == SIZE and zlib.crc32(data[HEAD.size :], number) == crc
        return Arrival(number if is_whole else -1, at, is_whole)
