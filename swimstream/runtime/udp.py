"""The datagram socket: drained without awaiting, sent to without awaiting (5 and 7 times cheaper than awaiting).

A host whose process is gone answers a datagram with ICMP "port unreachable". An unconnected socket hears of that
only if it asks (Linux: IP_RECVERR, see ip(7)): then each such answer, with the address that the datagram was for,
waits in the socket's error queue, and the next call on the socket, whatever it is for, fails with that error once.
So a failed receive is tried on and a failed send is tried again: no datagram is lost for another one's error.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import socket
import struct
import sys
from typing import TYPE_CHECKING

import trio

from swimstream.model.identity import Address

if TYPE_CHECKING:
    from collections.abc import Iterable

DATAGRAM_BYTES_MAX = 65_535
ERRORS_PER_TURN = 64
"""So many errors are taken at a time; the rest waits for the next turn, which comes at once."""

_IP_RECVERR = 11
_IPV6_RECVERR = 25
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
"""`struct sock_extended_err` of linux/errqueue.h: errno, origin, type, code, padding, info, data."""
_ORIGINS_ICMP = (2, 3)
"""SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6: what a host or router answered, not what our own kernel refused."""
_ANCILLARY_BYTES = 256
"""Ample: one control message of that and the sockaddr of who answered."""


@functools.lru_cache(maxsize=16_384)
def is_literal(host: str) -> bool:
    """Return whether `host` is an IP literal; anything else would make `sendto` block on the resolver."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class UdpSocket:
    """One non-blocking socket. Peer's thread only."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a bound, non-blocking socket."""
        self._sock = sock
        self._hears_errors = _ask_for_errors(sock)
        self._errors_wait = False
        """Whether the error queue may hold something: every error there has made some call fail, or woken us."""
        self._signalled = False
        self._refused: dict[Address, None] = {}
        self.received = 0
        self.bytes_received = 0
        self.receive_errors = 0
        """Errors that the network answered with, whatever they were; where the kernel queues them, each once."""
        self.refused = 0
        """Those of them that say that no process listens at a port."""
        self.sent = 0
        self.bytes_sent = 0
        self.send_errors = 0
        """Datagrams that the kernel refused or that had no usable address."""

    async def wait_readable(self) -> None:
        """Sleep until at least one datagram or error is queued."""
        await trio.lowlevel.wait_readable(self._sock)
        self._signalled = True

    def receive(self, count_max: int) -> list[tuple[bytes, Address]]:
        """Return up to `count_max` queued datagrams with their senders, without waiting.

        An empty list means that none is queued; what was refused before that is in `take_refused`.
        """
        batch: list[tuple[bytes, Address]] = []
        errors = 0
        while len(batch) < count_max and errors < ERRORS_PER_TURN:
            try:
                data, source = self._sock.recvfrom(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError:  # an ICMP answer to something we sent; datagrams may be queued behind it
                errors += 1
                self._errors_wait = True
                self.receive_errors += not self._hears_errors
                continue
            batch.append((data, Address(source[0], source[1])))
        # a signal without a datagram is an error's: left in its queue, it would signal again without end
        if self._errors_wait or (self._signalled and not batch):
            self._read_errors()
        self._signalled = False
        self.received += len(batch)
        self.bytes_received += sum(len(data) for data, _ in batch)
        return batch

    def take_refused(self) -> Iterable[Address]:
        """Return, and forget, where no process listens: each address once, at most `ERRORS_PER_TURN` a `receive`."""
        refused, self._refused = self._refused, {}
        return refused

    def send(self, to: Address, payload: bytes) -> None:
        """Send one datagram now or never; a failure is counted, as if the network had lost it."""
        if not is_literal(to.host):
            self.send_errors += 1
            return
        try:
            self._send(to, payload)
        except (OSError, OverflowError):
            self.send_errors += 1
        else:
            self.sent += 1
            self.bytes_sent += len(payload)

    def close(self) -> None:
        """Give the port back."""
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()

    def _send(self, to: Address, payload: bytes) -> None:
        try:
            self._sock.sendto(payload, (to.host, to.port))
        except BlockingIOError:
            raise
        except OSError:
            if not self._hears_errors:
                raise
            self._errors_wait = True
            self._sock.sendto(payload, (to.host, to.port))

    def _read_errors(self) -> None:
        """Take what is in the error queue, up to the bound."""
        self._errors_wait = self._hears_errors
        for _ in range(ERRORS_PER_TURN if self._hears_errors else 0):
            try:
                _, ancillary, _, to = self._sock.recvmsg(0, _ANCILLARY_BYTES, socket.MSG_ERRQUEUE)
            except OSError:  # empty
                self._errors_wait = False
                return
            self.receive_errors += 1
            if any(_is_refusal(data) for _, _, data in ancillary):
                self.refused += 1
                self._refused[Address(to[0], to[1])] = None


def _ask_for_errors(sock: socket.socket) -> bool:
    """Have the kernel queue the ICMP answers to what `sock` sends; return whether it will."""
    if sys.platform != "linux":
        return False
    level, option = (
        (socket.IPPROTO_IPV6, _IPV6_RECVERR) if sock.family is socket.AF_INET6 else (socket.IPPROTO_IP, _IP_RECVERR)
    )
    with contextlib.suppress(OSError):  # a kernel without: silence then says what it says anyway, only later
        sock.setsockopt(level, option, 1)
        return True
    return False


def _is_refusal(data: bytes) -> bool:
    if len(data) < _EXTENDED_ERROR.size:
        return False
    number, origin, *_ = _EXTENDED_ERROR.unpack_from(data)
    return number == errno.ECONNREFUSED and origin in _ORIGINS_ICMP
