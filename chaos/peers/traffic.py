"""What crosses the loopback interface, counted from outside and alike for everyone: a packet socket with a filter.

A socket that is bound to one protocol (IPv4) is handed packets as they come in, not as they go out, so on loopback
each is counted once. The kernel filters by the nodes' ports and hands over the first bytes of a packet alone; they
wait in the socket's buffer until `drain` reads them in one go. So nothing wakes the reader, and the traffic of others
on the machine costs it nothing. What did not fit in the buffer is counted as unseen.

Sizes are those of IP packets: headers of IP and UDP or TCP included, that of the link not. A stream's segments can be
up to 64 KiB on loopback, so it has fewer headers there than on a real network.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType
    from typing import Self

ETH_P_IP = 0x0800
SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_STATISTICS = 6
HEAD_BYTES = 64
"""Enough for the longest IPv4 header and two ports."""
BUFFER_BYTES = 16 * 1024 * 1024
IP_HEADER_BYTES_MIN = 20
HINT = (
    "packets cannot be counted ({}): run as root, or in a network of your own: "
    "unshare --map-root-user --net sh -c 'ip link set lo up && exec make bench-peers'"
)


class SnifferRefusedError(Exception):
    """This process may not see packets; the text says how it could."""


@attrs.frozen
class Seen:
    """One packet of the nodes. `port` is whose it is: a datagram's sender, and of a stream the end that listens."""

    port: int
    size: int
    stream: bool


@attrs.define
class Tally:
    """What one node sent by datagrams, and what both ends sent on the streams that it had accepted."""

    packets: int = 0
    packet_bytes: int = 0
    stream_packets: int = 0
    stream_bytes: int = 0

    def add(self, seen: Seen) -> None:
        """Count one packet."""
        if seen.stream:
            self.stream_packets += 1
            self.stream_bytes += seen.size
        else:
            self.packets += 1
            self.packet_bytes += seen.size


def read_head(head: bytes, ports: Collection[int]) -> Seen | None:
    """Read the beginning of an IPv4 packet; None if it is not one of UDP or TCP from or to these ports."""
    if len(head) < IP_HEADER_BYTES_MIN or head[0] >> 4 != 4:
        return None
    size, fragment = struct.unpack_from("!HxxH", head, 2)
    ports_at = 4 * (head[0] & 0xF)
    if fragment & 0x1FFF or len(head) < ports_at + 4:  # only the first fragment has ports
        return None
    source, target = struct.unpack_from("!HH", head, ports_at)
    match head[9]:
        case socket.IPPROTO_UDP if source in ports:
            return Seen(source, size, stream=False)
        case socket.IPPROTO_TCP if source in ports or target in ports:
            return Seen(source if source in ports else target, size, stream=True)
        case _:
            return None


def filter_program(ports: Collection[int]) -> bytes:
    """Return a classic BPF program that lets the heads of IPv4 packets of UDP and TCP from or to `ports` through."""
    load_byte, load_at_header, header_length, jump_if_equal, give = 0x30, 0x48, 0xB1, 0x15, 0x06
    wanted = [step for port in sorted(ports) for step in ((jump_if_equal, 0, 1, port), (give, 0, 0, HEAD_BYTES))]
    program = [
        (load_byte, 0, 0, 9),  # the protocol
        (jump_if_equal, 2, 0, socket.IPPROTO_UDP),
        (jump_if_equal, 1, 0, socket.IPPROTO_TCP),
        (give, 0, 0, 0),
        (header_length, 0, 0, 0),
        (load_at_header, 0, 0, 0),  # the source port
        *wanted,
        (load_at_header, 0, 0, 2),
        *wanted,
        (give, 0, 0, 0),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in program)


class Sniffer:
    """Counts the packets of some ports from its construction on. Use it in a `with` block, from one thread."""

    def __init__(self, ports: Collection[int]) -> None:
        """Begin to count; raise `SnifferRefusedError` where this process may not."""
        self.tallies = {port: Tally() for port in ports}
        self.unseen = 0
        """Packets that came while the buffer was full, up to the last `drain`."""
        self._head = bytearray(HEAD_BYTES)
        try:
            # protocol 0: nothing comes in before the filter is in place
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        except PermissionError as error:
            raise SnifferRefusedError(HINT.format(error.strerror)) from None
        except OSError as error:
            if error.errno not in {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}:
                raise
            raise SnifferRefusedError(HINT.format(error.strerror)) from None
        try:
            self._set_up()
        except BaseException:
            self._socket.close()
            raise

    def _set_up(self) -> None:
        program = filter_program(self.tallies)
        steps = ctypes.create_string_buffer(program, len(program))
        where = struct.pack("HP", len(program) // 8, ctypes.addressof(steps))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, where)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except PermissionError:  # the root of a namespace gets what everyone gets: some 500 packets
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.setblocking(False)
        self._socket.bind(("lo", ETH_P_IP))

    def __enter__(self) -> Self:
        """Go on counting."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; the figures stay."""
        self._socket.close()

    def drain(self) -> None:
        """Count what has come in. Call it so often that the buffer, 500 to 20,000 packets, does not fill."""
        while True:
            try:
                size = self._socket.recv_into(self._head)
            except BlockingIOError:
                break
            seen = read_head(bytes(self._head[:size]), self.tallies)
            if seen is not None:
                self.tallies[seen.port].add(seen)
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self.unseen += struct.unpack("II", statistics)[1]
