"""Messages to one worker: told once, acknowledged, or answered with why not."""

from __future__ import annotations

from collections import Counter
from unittest.mock import patch

import attrs
import pytest

from swimstream.core.talk.letters import LETTER_PATIENCE_S, LETTERS_HEARD_MAX, LETTERS_MAX, Letters
from swimstream.events import MessageReceived
from swimstream.model.identity import Run
from swimstream.model.talk import PAYLOAD_BYTES_MAX, Send
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.messages import Header, Letter, LetterReceipt
from tests.core.talk.rough import RoughTown
from tests.core.town import address_of

A, B = Run("a", 1), Run("b", 2)


def told(town: RoughTown, name: str) -> list[tuple[str, bytes]]:
    return [(event.topic, event.payload) for event in town.heard(name, MessageReceived)]


def test_a_letter_is_told_once_and_acknowledged() -> None:
    town = RoughTown("abc")
    assert town.answer("a", town.say("a", Send("b", "hint", b"look"))) == ""
    assert [(event.sender, event.topic) for event in town.heard("b", MessageReceived)] == [(town.node("a").run, "hint")]
    assert told(town, "c") == []


@pytest.mark.parametrize("seed", range(8))
def test_letters_are_told_once_however_rough_the_network_is(seed: int) -> None:
    town = RoughTown("abcd", seed=seed)
    town.rough = True
    requests = [town.say("a", Send("b", f"t{number}", b"")) for number in range(10)]
    for request in requests:
        assert town.answer("a", request) == ""
    town.run_for(30.0)
    assert sorted(told(town, "b")) == [(f"t{number}", b"") for number in range(10)]


def test_a_long_letter_goes_by_stream() -> None:
    town = RoughTown("ab")
    assert town.answer("a", town.say("a", Send("b", "t", bytes(PAYLOAD_BYTES_MAX)))) == ""
    assert told(town, "b") == [("t", bytes(PAYLOAD_BYTES_MAX))]


def test_a_letter_to_oneself_is_told_at_once() -> None:
    town = RoughTown("ab")
    assert town[("a")].answers[town.say("a", Send("a", "t", b"x"))] == ""
    assert told(town, "a") == [("t", b"x")]


def test_who_is_unknown_or_gone_is_refused_at_once() -> None:
    town = RoughTown("abc")
    assert town["a"].answers[town.say("a", Send("x", "t", b""))] == "to: no member is named 'x'"
    town.crash("c")
    town.run_for(60.0)
    assert "is held dead" in town["a"].answers[town.say("a", Send("c", "t", b""))]


def test_who_does_not_confirm_is_given_up_after_a_while() -> None:
    town = RoughTown("abc")
    with patch.object(town.node("b")._rooms.conversation, "receive", lambda *_: None):
        request = town.say("a", Send("b", "t", b""))
        town.run_for(LETTER_PATIENCE_S - 1.0)
        assert request not in town["a"].answers
        assert "has not confirmed it within 10 s" in town.answer("a", request)


def test_who_dies_meanwhile_is_given_up_at_once() -> None:
    town = RoughTown("abc")
    town.cut = {"b"}
    town.run_for(4.0)
    request = town.say("a", Send("b", "t", b""))
    assert "is gone; it may have arrived or not" in town.answer("a", request)
    assert not any(member.run.name == "b" and not member.state.is_gone for member in town.node("a").members())


def test_an_older_version_gets_no_letters() -> None:
    town = RoughTown("ab")
    table = town.node("a")._rooms.membership.table
    held = table.get("b")
    assert held is not None
    table.put(attrs.evolve(held, profile=attrs.evolve(held.profile, speaks=1)))
    assert "older version" in town["a"].answers[town.say("a", Send("b", "t", b""))]


def test_a_letter_for_another_run_is_dropped() -> None:
    town = RoughTown("ab")
    letter = Letter(to=Run("b", 1), number=1, topic="t", payload=b"")
    packet = encode_packet(Header(0, town.node("a").run), [encode_message(letter)])
    town.node("b").receive_packet(packet, source=address_of("a"), now=town.now)
    assert told(town, "b") == []
    assert town.node("b").counters()["letters_for_others"] == 1


def test_a_stranger_is_not_listened_to() -> None:
    town = RoughTown("ab")
    letter = Letter(to=town.node("b").run, number=1, topic="t", payload=b"")
    packet = encode_packet(Header(0, Run("x", 1)), [encode_message(letter)])
    town.node("b").receive_packet(packet, source=address_of("a"), now=town.now)
    assert told(town, "b") == []
    assert town.node("b").counters()["talk_of_strangers"] == 1


def test_only_the_addressee_can_confirm() -> None:
    town = RoughTown("abc")
    town.cut = {"b"}
    request = town.say("a", Send("b", "t", b""))
    number = town.node("a")._rooms.conversation._letters.waiting()[0].letter.number
    packet = encode_packet(Header(0, town.node("c").run), [encode_message(LetterReceipt(number=number))])
    town.node("a").receive_packet(packet, source=address_of("c"), now=town.now)
    town.carry_out()
    assert request not in town["a"].answers


def test_so_many_letters_wait_at_most() -> None:
    letters = Letters(Counter(), boot=1)
    assert all(letters.post(number, B, "t", b"", 0.0) for number in range(LETTERS_MAX))
    assert not letters.post(0, B, "t", b"", 0.0)


def test_a_letter_is_sent_again_ever_more_slowly() -> None:
    letters = Letters(Counter(), boot=1)
    letters.post(1, B, "t", b"", 0.0)
    sent_at = [tenth / 10 for tenth in range(45) if letters.due(tenth / 10)]
    assert sent_at == [0.0, 0.5, 1.5, 2.5, 3.5]


def test_a_receipt_is_given_only_for_what_was_told() -> None:
    counters: Counter[str] = Counter()
    letters = Letters(counters, boot=1)
    for number in range(1, LETTERS_HEARD_MAX + 2):
        assert letters.hear(A, Letter(to=B, number=number, topic="t", payload=b""), 0.0)
    assert counters["letters_forgotten"] == 1
    assert not letters.hear(A, Letter(to=B, number=1, topic="t", payload=b""), 0.0)
    assert not letters.was_told(A, 1)
    assert letters.was_told(A, 2)


def test_who_takes_part_no_more_answers_what_waits() -> None:
    town = RoughTown("ab")
    town.cut = {"b"}
    request = town.say("a", Send("b", "t", b""))
    town.node("a")._stop()
    town.carry_out()
    assert "takes part no more" in town["a"].answers[request]
    assert "takes part no more" in town["a"].answers[town.say("a", Send("b", "t", b""))]
