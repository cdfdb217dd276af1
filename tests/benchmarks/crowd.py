"""A node among many members, and what they say to it: ready-made bytes, so that only the node is measured."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from swimstream.config import LAN, NodeConfig
from swimstream.core.effects import Saved
from swimstream.core.node import Node
from swimstream.model.changes import Entry, Found, Seat
from swimstream.model.identity import Address, Run
from swimstream.model.member import Profile
from swimstream.model.plan import PlanMark
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.council_messages import PlanEntries
from swimstream.wire.messages import Alive, Header, Message, Ping
from swimstream.wire.seal import envelopes_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swimstream.core.effects import Effect

CLUSTER = 7
KEY = bytes(range(32))
EXPECT_MANY = 10_000
"""Nobody founds anything here: the cluster is told of."""
CLAIMS_PER_PACKET = 15


class Crowd:
    """One node that knows `size` members, itself included, of a founded cluster. No time passes."""

    def __init__(self, size: int, *, keys: tuple[bytes, ...] = (), address_of: Callable[[int], Address]) -> None:
        """Let the node join, hear of everybody, and tell what it has to tell."""
        self.size = size
        self._address_of = address_of
        config = NodeConfig(name="w0", advertise=address_of(0), expect=EXPECT_MANY, timing=LAN, keys=keys)
        self.node = Node(config, boot=1, saved=Saved(voter=1), rng=Random(1), now=0.0)
        self.node.join(1, now=0.0)
        self._envelope = envelopes_for(keys, rng=Random(2), counters=Counter(), here=address_of(1)).datagram
        self._incarnation = itertools.count(0)
        self._member = itertools.cycle(range(1, size))
        found = Found(cluster_id=CLUSTER, council=tuple(Seat(f"w{number}", 1) for number in (1, 2, 3)))
        for _ in range(0, size, CLAIMS_PER_PACKET):
            self.hear([self.packet(1, [self.news() for _ in range(CLAIMS_PER_PACKET)])])
        self.hear([self.packet(1, [PlanEntries(entries=(Entry(index=1, term=1, change=found),))])])
        assert len(self.node.members()) == size
        assert self.node.plan.cluster_id == CLUSTER
        self.say_everything()

    def packet(self, sender: int, messages: Iterable[Message]) -> bytes:
        """Return the bytes of what a member says, sealed if the node holds a key. They can be heard once."""
        header = Header(CLUSTER, Run(f"w{sender}", 1))
        packet = encode_packet(header, [encode_message(message) for message in messages])
        return self._envelope.wrap(packet, cluster_id=CLUSTER, to=self._address_of(0))

    def pings(self, count: int, *, with_news: bool = False) -> list[bytes]:
        """Return pings of one member after the other, each with news of another if asked for."""
        return [
            self.packet(next(self._member), [self._ping(), *([self.news()] if with_news else [])]) for _ in range(count)
        ]

    def claims(self, count: int) -> list[bytes]:
        """Return packets with one piece of news each, and nothing to answer."""
        return [self.packet(next(self._member), [self.news()]) for _ in range(count)]

    def news(self) -> Alive:
        """Return a claim that no one has heard: of another member each time, and always of a newer incarnation."""
        number = next(self._member)
        profile = Profile(address=self._address_of(number), kinds=("map", "source"))
        return Alive(run=Run(f"w{number}", 1), incarnation=next(self._incarnation), profile=profile)

    def hear(self, packets: Iterable[bytes]) -> list[Effect]:
        """Hand over packets one by one, and look after each what is due next, as the driver does."""
        effects: list[Effect] = []
        source = self._address_of(1)
        node = self.node
        for data in packets:
            node.receive_packet(data, source=source, now=0.0)
            effects += node.take_effects()
            node.next_deadline()
        return effects

    def say_everything(self) -> None:
        """Have the node pinged until it has no news left."""
        while len(self.hear(self.pings(1))[0].payload) > 120:  # type: ignore[union-attr]  # an ack
            pass

    def _ping(self) -> Ping:
        return Ping(seq=1, target=Run("w0", 1), mark=PlanMark(term=1, leader="w1", index=1))


def address_of(number: int) -> Address:
    """Return an address of its own for each member."""
    return Address(f"10.0.{number >> 8}.{number & 255}", 7_946)
