"""Refused datagrams on real loopback sockets: who has no listener is heard of, and nobody else pays for it."""

from __future__ import annotations

import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from swimstream.model.identity import Address
from swimstream.runtime.binding import bind_pair
from swimstream.runtime.udp import ERRORS_PER_TURN, UdpSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux queues the errors of a datagram socket")

LOOPBACKS = ["127.0.0.1", "::1"]


@contextmanager
def open_udp(host: str) -> Iterator[tuple[UdpSocket, Address]]:
    """Yield a socket under test and its address."""
    bound = bind_pair(Address(host, 0))
    try:
        yield UdpSocket(bound.udp), bound.address
    finally:
        bound.close()


def abandoned(host: str) -> Address:
    """Return an address where a process has just stopped to listen; a socket that is opened later may get its port."""
    bound = bind_pair(Address(host, 0))
    bound.close()
    return bound.address


def post(to: Address, *payloads: bytes) -> None:
    """Send datagrams from somebody else's socket."""
    with socket.socket(socket.AF_INET6 if ":" in to.host else socket.AF_INET, socket.SOCK_DGRAM) as other:
        for payload in payloads:
            other.sendto(payload, (to.host, to.port))


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_the_port_that_refused_a_datagram_is_named(host: str) -> None:
    with open_udp(host) as (udp, _):
        nobody = abandoned(host)
        udp.send(nobody, b"ping")
        with trio.fail_after(60):
            await udp.wait_readable()
        assert udp.receive(64) == []
        assert list(udp.take_refused()) == [nobody]
        assert (udp.refused, udp.receive_errors, udp.send_errors) == (1, 1, 0)


@pytest.mark.parametrize("host", LOOPBACKS)
def test_datagrams_queued_behind_an_error_are_received_by_the_same_call(host: str) -> None:
    with open_udp(host) as (udp, address):
        nobody = abandoned(host)
        udp.send(nobody, b"ping")
        post(address, b"one", b"two")
        assert [data for data, _ in udp.receive(64)] == [b"one", b"two"]
        assert list(udp.take_refused()) == [nobody]


@pytest.mark.parametrize("host", LOOPBACKS)
def test_a_datagram_is_not_lost_for_the_refusal_of_an_earlier_one(host: str) -> None:
    with open_udp(host) as (udp, _), open_udp(host) as (other, somebody):
        nobody = abandoned(host)
        for _ in range(5):
            udp.send(nobody, b"lost")
            udp.send(somebody, b"kept")
        assert [data for data, _ in other.receive(64)] == [b"kept"] * 5
        assert (udp.sent, udp.send_errors) == (10, 0)


def test_a_refusal_that_only_a_send_has_met_is_taken_too() -> None:
    with open_udp("127.0.0.1") as (udp, _), open_udp("127.0.0.1") as (_, somebody):
        nobody = abandoned("127.0.0.1")
        udp.send(nobody, b"lost")
        udp.send(somebody, b"meets the error")
        assert udp.receive(64) == []
        assert list(udp.take_refused()) == [nobody]


def test_an_address_that_refuses_many_times_is_named_once() -> None:
    with open_udp("127.0.0.1") as (udp, _):
        nobody = abandoned("127.0.0.1")
        for _ in range(5):
            udp.send(nobody, b"ping")
        udp.receive(64)
        assert list(udp.take_refused()) == [nobody]
        assert udp.refused == 5
        assert list(udp.take_refused()) == []


async def test_more_errors_than_a_turn_takes_wait_for_the_next_turn() -> None:
    with open_udp("127.0.0.1") as (udp, _):
        nobody = abandoned("127.0.0.1")
        for _ in range(ERRORS_PER_TURN + 1):
            udp.send(nobody, b"ping")
        udp.receive(64)
        assert udp.refused == ERRORS_PER_TURN
        with trio.fail_after(60):
            await udp.wait_readable()
        udp.receive(64)
        assert udp.refused == ERRORS_PER_TURN + 1


async def test_an_error_that_was_taken_signals_no_more() -> None:
    with open_udp("127.0.0.1") as (udp, _):
        nobody = abandoned("127.0.0.1")
        udp.send(nobody, b"ping")
        with trio.fail_after(60):
            await udp.wait_readable()
        udp.receive(64)
        with trio.move_on_after(0) as nap:
            await udp.wait_readable()
        assert nap.cancelled_caught


async def test_an_error_whose_call_has_failed_unseen_is_found_by_its_signal() -> None:
    """The kernel forgets the pending error, not the queued one: the signal alone tells of it, and would for ever."""
    with open_udp("127.0.0.1") as (udp, _):
        nobody = abandoned("127.0.0.1")
        udp.send(nobody, b"ping")
        udp._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        with trio.fail_after(60):
            await udp.wait_readable()
        udp.receive(64)
        assert list(udp.take_refused()) == [nobody]
        with trio.move_on_after(0) as nap:
            await udp.wait_readable()
        assert nap.cancelled_caught


def test_what_our_own_kernel_refuses_is_nobodys_closed_port() -> None:
    with open_udp("127.0.0.1") as (udp, _), open_udp("127.0.0.1") as (_, somebody):
        udp.send(somebody, bytes(65_530))
        udp.receive(64)
        assert udp.send_errors == 1
        assert list(udp.take_refused()) == []
