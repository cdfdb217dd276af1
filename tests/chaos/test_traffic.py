"""Packets on loopback, counted from outside: real sockets where the machine lets us look, and canned packets."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from chaos.peers.traffic import Seen, Sniffer, SnifferRefusedError, Tally, filter_program, read_head

if TYPE_CHECKING:
    from collections.abc import Collection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="packet sockets are Linux's")


def sniffer_of(ports: Collection[int]) -> Sniffer:
    try:
        return Sniffer(ports)
    except SnifferRefusedError as error:
        pytest.skip(str(error))


def test_datagrams_are_counted_once_with_their_headers_and_strangers_are_not() -> None:
    with contextlib.ExitStack() as stack:
        ours, other, stranger = (
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(3)
        )
        for each in (ours, other, stranger):
            each.bind(("127.0.0.1", 0))
        port, target = ours.getsockname()[1], other.getsockname()
        sniffer = stack.enter_context(sniffer_of([port]))
        for _ in range(3):
            ours.sendto(bytes(100), target)
        stranger.sendto(bytes(100), target)
        sniffer.drain()
    assert sniffer.tallies[port] == Tally(packets=3, packet_bytes=3 * (20 + 8 + 100))
    assert sniffer.unseen == 0


def test_a_stream_is_counted_in_both_directions_for_the_end_that_listens() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        sniffer = stack.enter_context(sniffer_of([port]))
        caller = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        answerer = stack.enter_context(listener.accept()[0])
        caller.sendall(bytes(1_000))
        assert len(answerer.recv(1_000, socket.MSG_WAITALL)) == 1_000
        answerer.sendall(bytes(500))
        assert len(caller.recv(500, socket.MSG_WAITALL)) == 500
        sniffer.drain()
    tally = sniffer.tallies[port]
    assert tally.packets == 0
    assert tally.stream_packets >= 5  # a handshake of three, and the data
    assert tally.stream_bytes == pytest.approx(1_500 + 55 * tally.stream_packets, rel=0.2)


def ip_packet(
    *, protocol: int, source: int, target: int, size: int = 128, options: int = 0, fragment: int = 0
) -> bytes:
    header = struct.pack("!BBHHHBBH4s4s", 0x45 + options, 0, size, 7, fragment, 64, protocol, 0, bytes(4), bytes(4))
    return header + bytes(4 * options) + struct.pack("!HH", source, target) + bytes(4)


def test_a_datagram_is_its_senders() -> None:
    assert read_head(ip_packet(protocol=17, source=7001, target=7002), {7001, 7002}) == Seen(7001, 128, stream=False)


def test_a_datagram_of_a_stranger_is_nobodys() -> None:
    assert read_head(ip_packet(protocol=17, source=9, target=7002), {7001, 7002}) is None


def test_a_segment_is_the_listeners_whichever_way_it_goes() -> None:
    for source, target in ((7001, 50_000), (50_000, 7001)):
        packet = ip_packet(protocol=6, source=source, target=target)
        assert read_head(packet, {7001, 7002}) == Seen(7001, 128, stream=True)


def test_ports_are_found_behind_the_options_of_a_header() -> None:
    packet = ip_packet(protocol=17, source=7001, target=7002, options=3)
    assert read_head(packet, {7001}) == Seen(7001, 128, stream=False)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(64),
        ip_packet(protocol=1, source=7001, target=7002),
        ip_packet(protocol=17, source=7001, target=7002)[:22],
        ip_packet(protocol=17, source=7001, target=7002, fragment=8),
        b"\x60" + ip_packet(protocol=17, source=7001, target=7002)[1:],
    ],
    ids=["nothing", "zeros", "icmp", "cut", "fragment", "ipv6"],
)
def test_what_is_no_whole_head_of_udp_or_tcp_is_passed_over(packet: bytes) -> None:
    assert read_head(packet, {7001, 7002}) is None


def test_the_filter_has_two_steps_a_port_and_direction_and_jumps_over_one_at_most() -> None:
    program = filter_program(range(7000, 7128))
    steps = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    assert len(steps) == 8 + 4 * 128
    assert max(jump for _, *jumps, _ in steps for jump in jumps) <= 2


def test_who_may_not_see_packets_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(SnifferRefusedError, match=r"Operation not permitted.*unshare"):
        Sniffer(())
