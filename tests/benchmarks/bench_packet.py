"""What a packet costs, from bytes to effects and from socket to socket. `make bench-packet`; not part of the tests.

CPU time, at most 60 us of which are to be spent on a packet. Recorded and not judged: machines differ.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

import pytest

from swimstream.core.effects import SendPacket
from swimstream.model.identity import Address
from swimstream.runtime.binding import bind_pair
from swimstream.runtime.udp import UdpSocket
from tests.benchmarks.crowd import KEY, Crowd, address_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 60
PACKETS = 64
"""In a round, which is what the clock is read around."""
NEWS = 8


class Benchmark(Protocol):
    """The part of pytest-benchmark's fixture that is used here; it comes without types."""

    extra_info: dict[str, object]

    def pedantic(
        self, target: Callable[..., object], *, setup: Callable[[], tuple[tuple[object, ...], dict[str, object]]],
        rounds: int, warmup_rounds: int,
    ) -> object: ...  # fmt: skip


@pytest.fixture(params=[64, 1_000], ids="members={}".format)
def size(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(params=[(), (KEY,)], ids=["plain", "sealed"])
def keys(request: pytest.FixtureRequest) -> tuple[bytes, ...]:
    ring: tuple[bytes, ...] = request.param
    return ring


@pytest.fixture
def crowd(size: int, keys: tuple[bytes, ...]) -> Crowd:
    return Crowd(size, keys=keys, address_of=address_of)


def measure(benchmark: Benchmark, crowd: Crowd, make: Callable[[], list[bytes]], *, answers: int) -> None:
    """Measure how a round of packets is received; `make` makes them beforehand."""

    def receive(packets: list[bytes]) -> None:
        effects = crowd.hear(packets)
        assert len(effects) == answers

    benchmark.extra_info["packets"] = PACKETS
    benchmark.pedantic(receive, setup=lambda: ((make(),), {}), rounds=ROUNDS, warmup_rounds=2)


def test_a_ping_is_answered(benchmark: Benchmark, crowd: Crowd) -> None:
    measure(benchmark, crowd, lambda: crowd.pings(PACKETS), answers=PACKETS)


def test_a_ping_is_answered_with_news(benchmark: Benchmark, crowd: Crowd) -> None:
    """A few members have changed: the first acks of each round carry all of it."""

    def make() -> list[bytes]:
        crowd.hear(crowd.claims(NEWS))
        return crowd.pings(PACKETS)

    measure(benchmark, crowd, make, answers=PACKETS)


def test_a_ping_with_news_is_answered_with_as_much_as_a_packet_holds(benchmark: Benchmark, crowd: Crowd) -> None:
    """Every packet brings news, so the queue is never empty and every ack is full: a start, or a mass failure."""
    crowd.hear(crowd.claims(crowd.size))
    measure(benchmark, crowd, lambda: crowd.pings(PACKETS, with_news=True), answers=PACKETS)


def test_a_claim_is_merged(benchmark: Benchmark, crowd: Crowd) -> None:
    measure(benchmark, crowd, lambda: crowd.claims(PACKETS), answers=0)


def test_a_ping_is_answered_from_socket_to_socket(benchmark: Benchmark, size: int, keys: tuple[bytes, ...]) -> None:
    """What the driver does with a batch, but for trio: the receiver of the acks reads them off the clock."""
    bound, other = bind_pair(Address("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with bound.udp, bound.tcp, other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(5)
        here = Address(*other.getsockname())
        crowd = Crowd(size, keys=keys, address_of=lambda _: here)
        udp = UdpSocket(bound.udp)
        answered = [0]

        def make() -> tuple[tuple[object, ...], dict[str, object]]:
            for _ in range(answered[0]):
                other.recv(2_000)
            for data in crowd.pings(PACKETS):
                other.sendto(data, (bound.address.host, bound.address.port))
            return (), {}

        def turn() -> None:
            answered[0] = 0
            for data, source in udp.receive(PACKETS):
                crowd.node.receive_packet(data, source=source, now=0.0)
                for effect in crowd.node.take_effects():
                    assert isinstance(effect, SendPacket)
                    udp.send(effect.to, effect.payload)
                    answered[0] += 1
                crowd.node.next_deadline()
            assert answered[0] == PACKETS

        benchmark.extra_info["packets"] = PACKETS
        benchmark.pedantic(turn, setup=make, rounds=ROUNDS, warmup_rounds=2)
