"""Changing the cluster's keys by questions: what one worker does, and what the asker makes of the answers."""

from __future__ import annotations

from collections import Counter

import pytest

from swimstream.core.effects import Answer, SendPacket, StoreKeys
from swimstream.core.keys import KeyService, ask_item, report_of
from swimstream.core.outbox import Outbox
from swimstream.model.identity import Run
from swimstream.model.keys import KEYS_TOPIC, KeyChange, KeysReport
from swimstream.model.talk import Ask, QueryResult, Question
from swimstream.wire.cbor import encode_item
from swimstream.wire.keyring import KEY_BYTES, KeyRing, key_id
from swimstream.wire.seal import PLAIN
from tests.core.town import Town

ONE, TWO = b"1" * KEY_BYTES, b"2" * KEY_BYTES
ASKER = Run("b", 1)


class Holder:
    """One worker that serves the topic."""

    def __init__(self, *keys: bytes) -> None:
        counters: Counter[str] = Counter()
        self.outbox = Outbox(packet_bytes_max=1_200, piggyback=lambda _: [], counters=counters, envelopes=PLAIN)
        self.service = KeyService(KeyRing(keys) if keys else None, self.outbox, counters=counters)

    def ask(self, payload: bytes) -> KeysReport:
        question = Question(origin=ASKER, number=1, topic=KEYS_TOPIC, payload=payload)
        answer = self.service.answer(question, ASKER, 0.0)
        return report_of(QueryResult(answers={"a": answer}, silent=(), away=()))


def ids(*keys: bytes) -> tuple[str, ...]:
    return tuple(key_id(key).hex() for key in keys)


def test_a_key_is_installed_used_and_the_old_one_removed_and_each_change_is_stored_before_the_answer() -> None:
    holder = Holder(ONE)
    assert holder.ask(ask_item(KeyChange.LIST, b"")).keys == {"a": ids(ONE)}
    assert holder.outbox.take() == []
    assert holder.ask(ask_item(KeyChange.INSTALL, TWO)).keys == {"a": ids(ONE, TWO)}
    assert holder.outbox.take() == [StoreKeys((ONE, TWO))]
    assert holder.ask(ask_item(KeyChange.USE, key_id(TWO))).keys == {"a": ids(TWO, ONE)}
    assert holder.outbox.take() == [StoreKeys((TWO, ONE))]
    assert holder.ask(ask_item(KeyChange.REMOVE, key_id(ONE))).keys == {"a": ids(TWO)}
    assert holder.outbox.take() == [StoreKeys((TWO,))]


def test_a_change_that_was_made_before_is_made_again_without_a_word() -> None:
    holder = Holder(ONE)
    for _ in range(2):
        assert holder.ask(ask_item(KeyChange.INSTALL, TWO)).is_complete
    assert holder.outbox.take() == [StoreKeys((ONE, TWO))]


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (ask_item(KeyChange.INSTALL, b"short"), "key: expected 32 bytes, got 5"),
        (ask_item(KeyChange.USE, key_id(TWO)), f"key: {key_id(TWO).hex()} is not installed"),
        (ask_item(KeyChange.REMOVE, key_id(ONE)), f"key: {key_id(ONE).hex()} is in use; use another one first"),
        (encode_item(["burn", b""]), "keys: expected one of list, install, use, remove"),
        (encode_item([["list"], b""]), "keys: expected one of list, install, use, remove"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason_and_changes_nothing(payload: bytes, why: str) -> None:
    holder = Holder(ONE)
    report = holder.ask(payload)
    assert report.refused == {"a": why}
    assert report.keys == {"a": ids(ONE)}
    assert holder.outbox.take() == []


@pytest.mark.parametrize("payload", [b"", b"\xff", encode_item("list"), encode_item(["list"]), encode_item([])])
def test_a_question_that_makes_no_sense_is_refused(payload: bytes) -> None:
    holder = Holder(ONE)
    assert list(holder.ask(payload).refused) == ["a"]
    assert holder.outbox.take() == []


def test_a_worker_without_keys_refuses() -> None:
    report = Holder().ask(ask_item(KeyChange.INSTALL, TWO))
    assert report.refused == {"a": "this worker has no keys: it talks unsealed"}
    assert report.keys == {}


@pytest.mark.parametrize("answer", [b"", b"\xff", encode_item(["", "ids"]), encode_item([1, []]), encode_item([])])
def test_an_answer_that_makes_no_sense_counts_as_a_refusal(answer: bytes) -> None:
    report = report_of(QueryResult(answers={"a": answer}, silent=(), away=()))
    assert list(report.refused) == ["a"]
    assert not report.is_complete


def test_a_report_names_who_could_not_read_a_key_and_who_may_still_seal_with_it() -> None:
    one, two = ids(ONE, TWO)
    report = KeysReport(keys={"a": (one, two), "b": (one,), "c": (two, one)}, refused={}, silent=("d",), away=("e",))
    assert report.lacking(two) == ("b", "d", "e")
    assert report.lacking(one) == ("d", "e")
    assert report.sealing_with(one) == ("a", "b", "d", "e")
    assert report.sealing_with(two) == ("c", "d", "e")


def test_a_worker_without_keys_tells_nobody_a_key_in_the_clear() -> None:
    town = Town("ab")
    town.run_for(5.0)
    node = town.node("a")
    node.say(7, Ask(topic=KEYS_TOPIC, payload=ask_item(KeyChange.INSTALL, TWO)), now=town.now)
    assert [effect for effect in node.take_effects() if isinstance(effect, Answer)] == [
        Answer(7, "key: this worker has no key_file, so it talks unsealed and changes no keys")
    ]
    sent: list[bytes] = []
    for _ in range(100):
        town.now = max(town.now, node.next_deadline())
        node.fire_timers(now=town.now)
        sent += [each.payload for each in node.take_effects() if isinstance(each, SendPacket)]
    assert sent
    assert not any(TWO in payload for payload in sent)
