"""The simulator in the place of a lab: hosts that note what they get, and packets sent in virtual time."""

from __future__ import annotations

from functools import partial
from random import Random

from chaos.conformance.cases import HOSTS, Stand
from chaos.conformance.flight import Arrival, Flight
from chaos.net.sim import SimLab
from chaos.net.spaces import address
from swimstream.model.identity import Address
from swimstream.simulator.clock import Clock
from swimstream.simulator.network import Links, Network

SIZE = 200
PORT = 7946


class Ear:
    """A process that notes which datagrams come, and when."""

    def __init__(self, host: int, clock: Clock) -> None:
        """Listen on a host."""
        self.name = f"h{host}"
        self.address = Address(address(host), PORT)
        self.heard: list[Arrival] = []
        self._clock = clock

    def receive_packet(self, data: bytes, source: Address) -> None:
        """Note a datagram."""
        del source
        number = int.from_bytes(data[:4], "big")
        self.heard.append(Arrival(number, self._clock.now, is_whole=data == _packet(number)))

    def packet_refused(self, to: Address) -> None:
        """Nobody is refused: all listen."""
        raise AssertionError(to)

    def receive_frame(self, stream: int, data: bytes) -> None:
        """No streams are opened."""
        raise AssertionError(stream, data)

    def stream_closed(self, stream: int) -> None:
        """No streams are opened."""
        raise AssertionError(stream)

    def number_incoming(self) -> int:
        """No streams are opened."""
        raise AssertionError


class VirtualProber:
    """Sends datagrams in virtual time."""

    def __init__(self, network: Network, ears: list[Ear], clock: Clock) -> None:
        """Probe between these."""
        self._network, self._ears, self._clock = network, ears, clock

    def fly(
        self, src: int, dst: int, *, count: int, pps: float, tail_s: float, family: int = 4, checksum: bool = True
    ) -> Flight:
        """Send the packets and wait; see `Prober`. There are no families, and always a checksum."""
        assert (family, checksum) == (4, True)
        sender, receiver, clock = self._ears[src], self._ears[dst], self._clock
        receiver.heard.clear()
        sent = [clock.now + number / pps for number in range(count)]
        for number, at in enumerate(sent):
            clock.at(at, partial(self._network.send, sender, receiver.address, _packet(number)))
        clock.run_until(sent[-1] + tail_s)
        return Flight(sent=tuple(sent), arrivals=tuple(receiver.heard), size=SIZE)


def virtual_stand(*, slack_ms: float, seed: int) -> Stand:
    """Return a stand in a world of nothing but a network without weather."""
    clock = Clock()
    network = Network(Links(delay_s=0, jitter_s=0), clock=clock, rng=Random(seed))
    ears = [Ear(host, clock) for host in range(HOSTS)]
    for ear in ears:
        network.listen(ear)
    lab = SimLab(network, [ear.name for ear in ears], seed=seed)
    prober = VirtualProber(network, ears, clock)
    return Stand(lab=lab, prober=prober, slack_ms=slack_ms, has_addresses=False)


def _packet(number: int) -> bytes:
    return number.to_bytes(4, "big") * (SIZE // 4)
