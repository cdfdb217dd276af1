"""Changing keys is refused where it would cut somebody off."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

import pytest

from swimstream.commands import Commands
from swimstream.core.keys import KeyService
from swimstream.core.outbox import Outbox
from swimstream.errors import UsageError
from swimstream.model.identity import Run
from swimstream.model.talk import QueryResult, Question
from swimstream.runtime.replies import Reply
from swimstream.wire.keyring import KEY_BYTES, KeyRing, key_id
from swimstream.wire.seal import PLAIN

if TYPE_CHECKING:
    from swimstream.model.talk import Ask
    from swimstream.runtime.thread import PeerThread

ONE, TWO = b"1" * KEY_BYTES, b"2" * KEY_BYTES


class Cluster(Commands):
    """Workers that answer at once, by their names."""

    def __init__(self, **rings: list[bytes]) -> None:
        counters: Counter[str] = Counter()
        outbox = Outbox(packet_bytes_max=1_200, piggyback=lambda _: [], counters=counters, envelopes=PLAIN)
        self.rings = {name: KeyRing(keys) for name, keys in rings.items()}
        self.services = {name: KeyService(ring, outbox, counters=counters) for name, ring in self.rings.items()}

    def _running(self) -> PeerThread:
        return cast("PeerThread", self)

    def ask(self, asked: Ask) -> Reply[QueryResult]:
        question = Question(origin=Run("w1", 1), number=1, topic=asked.topic, payload=asked.payload)
        answers = {name: service.answer(question, question.origin, 0.0) for name, service in self.services.items()}
        reply: Reply[QueryResult] = Reply()
        reply.succeed(QueryResult(answers=answers, silent=(), away=()))
        return reply


def test_a_key_with_which_somebody_seals_is_not_removed_however_its_id_is_written() -> None:
    cluster = Cluster(w1=[TWO, ONE], w2=[ONE, TWO])
    with pytest.raises(UsageError, match="would cut off w2, who may still seal with it"):
        cluster.remove_key(key_id(ONE).hex().upper()).wait(5.0)
    assert cluster.rings["w1"].keys == (TWO, ONE)


def test_a_key_that_somebody_lacks_is_not_used() -> None:
    cluster = Cluster(w1=[ONE, TWO], w2=[ONE])
    with pytest.raises(UsageError, match="would cut off w2, who may not hold it"):
        cluster.use_key(key_id(TWO).hex()).wait(5.0)
    assert cluster.rings["w1"].keys == (ONE, TWO)


def test_a_key_that_nobody_holds_is_to_be_installed_first() -> None:
    with pytest.raises(UsageError, match="no worker is known to hold deadbeef; install it first"):
        Cluster(w1=[ONE]).use_key("deadbeef").wait(5.0)
