"""What a member says is told after the news that it is a member."""

from __future__ import annotations

from swimstream.core.effects import Notify
from swimstream.events import BroadcastReceived, MemberChanged, TagsChanged
from swimstream.model.identity import Run
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.messages import Broadcast, Header, TagUpdate
from tests.core.membership.views import alive
from tests.core.town import Town, address_of


def test_an_application_hears_of_a_member_before_it_hears_from_it() -> None:
    town = Town("ab")
    town.run_for(5.0)
    node, run = town.node("a"), Run("c", 1)
    messages = [
        encode_message(TagUpdate(run=run, version=1, key="role", value="edge")),
        encode_message(Broadcast(origin=run, number=1, time=1, topic="t", payload=b"")),
        encode_message(alive("c")),
    ]
    node.receive_packet(encode_packet(Header(0, run), messages), source=address_of("c"), now=town.now)
    told = [type(each.event) for each in node.take_effects() if isinstance(each, Notify)]
    assert told == [MemberChanged, TagsChanged, BroadcastReceived]
