"""A member that says more than anybody can remember: every memory stays within its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.talk.letters import LETTERS_HEARD_MAX
from swimstream.core.talk.queries import ANSWERABLE_MAX, HEARD_MAX
from swimstream.model.identity import Run
from swimstream.model.talk import TAG_KEYS_MAX, Question
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.messages import Broadcast, Header, Letter, LetterReceipt, Query, QueryReply, TagUpdate
from swimstream.wire.talk_codec import BROADCASTS_MAX
from tests.core.talk.rough import RoughTown
from tests.core.town import address_of

if TYPE_CHECKING:
    from swimstream.wire.messages import Message

FLOOD = 4_200


def test_a_flood_of_every_kind_fills_no_memory_beyond_its_bound() -> None:
    town = RoughTown("ab")
    node, teller = town.node("a"), town.node("b").run
    for number in range(1, FLOOD + 1):
        early = Run("b", number % teller.boot)
        said: list[Message] = [
            Broadcast(origin=early, number=number, time=number, topic="t", payload=b""),
            Query(question=Question(origin=early, number=number, topic="t", patience_ms=600_000)),
            TagUpdate(run=teller, version=number, key=f"k{number}", value="x"),
            Letter(to=node.run, number=number, topic="t", payload=b""),
            LetterReceipt(number=number),
            QueryReply(number=number, payload=b"x"),
        ]
        packet = encode_packet(Header(0, teller), [encode_message(each) for each in said])
        node.receive_packet(packet, source=address_of("b"), now=town.now)
        node.take_effects()
    talk = node._rooms.conversation
    assert len(talk.heard_broadcasts()) == BROADCASTS_MAX
    assert len(talk._queries._heard) == HEARD_MAX
    assert len(talk._queries._answerable) == ANSWERABLE_MAX
    assert len(talk._letters._heard) == LETTERS_HEARD_MAX
    assert len(node.tags()["b"]) == TAG_KEYS_MAX
    counters = node.counters()
    assert counters["broadcasts_dropped"] == FLOOD - BROADCASTS_MAX
    assert counters["letters_forgotten"] == FLOOD - LETTERS_HEARD_MAX
    assert counters["tags_refused"] == FLOOD - TAG_KEYS_MAX
    assert counters["queries_dropped"] == FLOOD - HEARD_MAX + FLOOD - ANSWERABLE_MAX
    assert counters["answers_late"] == FLOOD
