"""The datagram socket: drained without awaiting, sent to without awaiting (5 and 7 times cheaper than awaiting)."""

from __future__ import annotations

import functools
import ipaddress
from typing import TYPE_CHECKING

import trio

from swimstream.model.identity import Address

if TYPE_CHECKING:
    import socket

DATAGRAM_BYTES_MAX = 65_535


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
        self.received = 0
        self.bytes_received = 0
        self.receive_errors = 0
        self.sent = 0
        self.bytes_sent = 0
        self.send_errors = 0
        """Datagrams that the kernel refused or that had no usable address."""

    async def wait_readable(self) -> None:
        """Sleep until at least one datagram is queued."""
        await trio.lowlevel.wait_readable(self._sock)

    def receive(self, count_max: int) -> list[tuple[bytes, Address]]:
        """Return up to `count_max` queued datagrams with their senders, without waiting."""
        batch: list[tuple[bytes, Address]] = []
        while len(batch) < count_max:
            try:
                data, source = self._sock.recvfrom(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError:
                # an ICMP answer to something we sent; it says nothing that a missing ack does not say
                self.receive_errors += 1
                break
            batch.append((data, Address(source[0], source[1])))
        self.received += len(batch)
        self.bytes_received += sum(len(data) for data, _ in batch)
        return batch

    def send(self, to: Address, payload: bytes) -> None:
        """Send one datagram now or never; a failure is counted, as if the network had lost it."""
        if not is_literal(to.host):
            self.send_errors += 1
            return
        try:
            self._sock.sendto(payload, (to.host, to.port))
        except (OSError, OverflowError):
            self.send_errors += 1
        else:
            self.sent += 1
            self.bytes_sent += len(payload)

    def close(self) -> None:
        """Give the port back."""
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()
