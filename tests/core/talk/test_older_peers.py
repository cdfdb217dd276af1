"""Peers of an older version skip what applications say, and still take all that comes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from swimstream.model.identity import Address, Run
from swimstream.model.member import SPEAKS, Profile
from swimstream.model.talk import Question
from swimstream.wire import message_reader, talk_codec
from swimstream.wire.codec import decode_packet_untrusted, encode_message, encode_packet
from swimstream.wire.messages import (
    Alive,
    Broadcast,
    Header,
    Letter,
    LetterReceipt,
    Message,
    Query,
    QueryReply,
    SyncWant,
    TagUpdate,
)
from tests.core.talk.rough import RoughTown

if TYPE_CHECKING:
    from swimstream.core.rooms import Rooms

A, B = Run("a", 1), Run("b", 1)
SAID: list[Message] = [
    TagUpdate(run=A, version=1, key="k", value="x"),
    Broadcast(origin=A, number=1, time=1, topic="t", payload=b""),
    Query(question=Question(origin=A, number=1, topic="t")),
    QueryReply(number=1, payload=b""),
    Letter(to=B, number=1, topic="t", payload=b""),
    LetterReceipt(number=1),
]


@pytest.fixture
def older_reader() -> dict[int, object]:
    """The kinds that a reader knows which was written before these messages were."""
    return {kind: read for kind, read in message_reader._READERS.items() if kind not in talk_codec.READERS}


def test_an_older_peer_skips_them_and_reads_the_rest(older_reader: dict[int, object]) -> None:
    alive = Alive(run=A, incarnation=1, profile=Profile(address=Address("10.0.0.1", 1), speaks=SPEAKS))
    want = SyncWant(names=("a",), broadcasts=((A, 1),))
    packet = encode_packet(Header(0, A), [encode_message(each) for each in [alive, *SAID, want]])
    with patch.object(message_reader, "_READERS", older_reader):
        read = decode_packet_untrusted(packet)
    assert read.skipped == len(SAID)
    assert read.messages == (alive, want)


def test_a_worker_says_what_it_understands() -> None:
    town = RoughTown("ab")
    rooms: Rooms = town.node("a")._rooms
    assert [member.profile.speaks for member in rooms.membership.table] == [SPEAKS, SPEAKS]
