"""What the benchmarks measure is what they say: they are not run with the tests, so this is."""

from __future__ import annotations

import pytest

from swimstream.core.effects import SendPacket
from swimstream.wire.codec import decode_packet_untrusted
from swimstream.wire.messages import Ack, Alive
from tests.benchmarks.crowd import KEY, Crowd, address_of


@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["plain", "sealed"])
def test_each_ping_of_the_crowd_is_answered_once(keys: tuple[bytes, ...]) -> None:
    crowd = Crowd(20, keys=keys, address_of=address_of)
    assert [type(effect) for effect in crowd.hear(crowd.pings(10))] == [SendPacket] * 10
    assert crowd.hear(crowd.claims(10)) == []


def test_an_ack_carries_the_news_of_the_crowd_until_it_is_told() -> None:
    crowd = Crowd(20, address_of=address_of)
    crowd.hear(crowd.claims(3))
    effects = crowd.hear(crowd.pings(9))
    assert all(isinstance(effect, SendPacket) for effect in effects)
    kinds = [
        [type(message) for message in decode_packet_untrusted(effect.payload).messages]
        for effect in effects
        if isinstance(effect, SendPacket)
    ]
    assert kinds == [[Ack, Alive, Alive, Alive]] * 8 + [[Ack]]
