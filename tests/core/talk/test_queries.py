"""Questions: who is asked, who answers, who is missed, and that neither side grows."""

from __future__ import annotations

from collections import Counter
from unittest.mock import patch

import attrs
import pytest

from swimstream.core.talk import queries as queries_module
from swimstream.core.talk.queries import ASKED_MAX, Queries
from swimstream.events import QueryReceived
from swimstream.model.identity import Run
from swimstream.model.talk import AnswerTo, Ask, QueryResult, Question, SetTags
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.messages import Header, Query, QueryReply
from tests.core.talk.rough import RoughTown
from tests.core.town import address_of

A, B = Run("a", 1), Run("b", 1)


def question(number: int = 1, *, origin: Run = A, patience_ms: int = 5_000) -> Question:
    return Question(origin=origin, number=number, topic="t", patience_ms=patience_ms)


def answer_all(town: RoughTown, names: str) -> None:
    """Have each application answer whatever it has been asked so far, with its own name."""
    for name in names:
        for event in town.heard(name, QueryReceived):
            town.say(name, AnswerTo(event.question, name.encode()))


def ask(town: RoughTown, name: str, asked: Ask, *, answering: str) -> QueryResult:
    """Ask, let those of `answering` answer as soon as they hear of it, and return the result."""
    request = town.say(name, asked)
    answered = dict.fromkeys(answering, 0)

    def step() -> bool:
        for each in answering:
            heard = town.heard(each, QueryReceived)
            for event in heard[answered[each] :]:
                town.say(each, AnswerTo(event.question, each.encode()))
            answered[each] = len(heard)
        return request in town[name].results

    town.run_until(step)
    return town[name].results[request]


# --- in a town ------------------------------------------------------------------------------------


def test_the_answers_of_all_are_collected_and_nobody_is_waited_for_longer() -> None:
    town = RoughTown("abc")
    asked_at = town.now
    result = ask(town, "a", Ask(topic="load", patience_s=30.0), answering="abc")
    assert result == QueryResult(answers={"a": b"a", "b": b"b", "c": b"c"}, silent=(), away=())
    assert town.now - asked_at < 5.0


def test_who_does_not_answer_in_time_is_silent_and_who_is_dead_is_away() -> None:
    town = RoughTown("abcd")
    town.crash("d")
    town.run_for(60.0)
    asked_at = town.now
    result = ask(town, "a", Ask(topic="load", patience_s=3.0), answering="ab")
    assert result == QueryResult(answers={"a": b"a", "b": b"b"}, silent=("c",), away=("d",))
    assert town.now - asked_at == pytest.approx(3.0)


def test_only_those_who_are_named_are_asked() -> None:
    town = RoughTown("abc")
    result = ask(town, "a", Ask(topic="load", names=("c",)), answering="abc")
    assert result == QueryResult(answers={"c": b"c"}, silent=(), away=())
    assert town.heard("b", QueryReceived) == []


def test_only_those_with_the_tag_are_asked() -> None:
    town = RoughTown("abc")
    town.say("b", SetTags({"role": "edge"}))
    town.run_until(lambda: all("b" in town.node(name).tags() for name in "abc"))
    result = ask(town, "a", Ask(topic="load", tag=("role", "edge")), answering="abc")
    assert result.answers == {"b": b"b"}
    assert result.silent == ()
    assert town.heard("c", QueryReceived) == []


def test_a_name_that_no_member_has_is_refused() -> None:
    town = RoughTown("ab")
    assert town["a"].answers[town.say("a", Ask(topic="t", names=("x",)))] == "names: no member is named 'x'"


def test_when_all_who_are_asked_are_away_nobody_waits() -> None:
    town = RoughTown("abc")
    town.crash("c")
    town.run_for(60.0)
    request = town.say("a", Ask(topic="t", names=("c",), patience_s=60.0))
    assert town["a"].results[request] == QueryResult(answers={}, silent=(), away=("c",))


@pytest.mark.parametrize("seed", range(8))
def test_all_are_asked_once_and_answer_however_rough_the_network_is(seed: int) -> None:
    town = RoughTown("abcde", seed=seed)
    town.rough = True
    result = ask(town, "a", Ask(topic="load", patience_s=60.0), answering="abcde")
    assert result.answers == {name: name.encode() for name in "abcde"}
    town.run_for(20.0)
    assert [len(town.heard(name, QueryReceived)) for name in "abcde"] == [1] * 5


def test_an_answer_that_was_lost_is_given_again_when_the_asker_asks_again() -> None:
    town = RoughTown("ab")
    request = town.say("a", Ask(topic="load", names=("b",), patience_s=30.0))
    town.run_until(lambda: bool(town.heard("b", QueryReceived)))
    with patch.object(town.node("a")._rooms.conversation, "receive", lambda *_: None):
        answer_all(town, "b")
    assert request not in town["a"].results
    assert town.result("a", request).answers == {"b": b"b"}


def test_one_who_dies_meanwhile_is_not_waited_for() -> None:
    town = RoughTown("abc")
    request = town.say("a", Ask(topic="load", patience_s=300.0))
    town.run_for(2.0)
    answer_all(town, "ab")
    town.crash("c")
    asked_at = town.now
    assert town.result("a", request).away == ("c",)
    assert town.now - asked_at < 120.0


def test_the_librarys_own_questions_are_answered_without_the_application() -> None:
    town = RoughTown("abc")
    seen: list[Run] = []

    def service(asked: Question, sender: Run, _: float) -> bytes:
        seen.append(sender)
        return asked.payload + b"!"

    for name in "abc":
        town.node(name)._rooms.conversation.serve("_echo", service)
    request = town.say("a", Ask(topic="_echo", payload=b"x"))
    assert town.result("a", request).answers == dict.fromkeys("abc", b"x!")
    assert len(seen) == 3
    assert all(town.heard(name, QueryReceived) == [] for name in "abc")


def test_every_worker_answers_a_ping_and_none_a_question_that_it_does_not_know() -> None:
    town = RoughTown("abc")
    assert set(town.result("a", town.say("a", Ask(topic="_ping"))).answers) == set("abc")
    assert town.result("a", town.say("a", Ask(topic="_later", patience_s=1.0))).silent == ("a", "b", "c")
    assert town.node("b").counters()["queries_unserved"] == 1


def test_a_question_is_answered_once_by_whom_it_was_asked_while_the_asker_waits() -> None:
    town = RoughTown("ab")
    town.say("a", Ask(topic="load", patience_s=5.0))
    town.run_until(lambda: bool(town.heard("b", QueryReceived)))
    (event,) = town.heard("b", QueryReceived)
    assert town["b"].answers[town.say("b", AnswerTo(event.question, b"1"))] == ""
    assert "answered already" in town["b"].answers[town.say("b", AnswerTo(event.question, b"2"))]
    never = attrs.evolve(event.question, number=event.question.number + 1)
    assert "was not asked" in town["b"].answers[town.say("b", AnswerTo(never, b""))]
    town.run_for(10.0)
    assert "does not wait any more" in town["b"].answers[town.say("b", AnswerTo(event.question, b"3"))]


def test_an_older_version_is_silent_and_not_waited_for() -> None:
    town = RoughTown("ab")
    table = town.node("a")._rooms.membership.table
    held = table.get("b")
    assert held is not None
    table.put(attrs.evolve(held, profile=attrs.evolve(held.profile, speaks=1)))
    with patch.object(town.node("b")._rooms.conversation, "hear", lambda *_: None):
        assert ask(town, "a", Ask(topic="t", patience_s=60.0), answering="a").silent == ("b",)


def test_a_stranger_is_neither_asked_nor_answered() -> None:
    town = RoughTown("ab")
    asked = [encode_message(Query(question=question(origin=Run("x", 1))))]
    town.node("a").receive_packet(encode_packet(Header(0, Run("x", 1)), asked), source=address_of("x"), now=town.now)
    reply = [encode_message(QueryReply(number=1, payload=b""))]
    town.node("a").receive_packet(encode_packet(Header(0, Run("x", 1)), reply), source=address_of("x"), now=town.now)
    assert town.heard("a", QueryReceived) == []
    assert town.node("a").counters()["talk_of_strangers"] == 2


def test_who_takes_part_no_more_returns_what_it_has() -> None:
    town = RoughTown("ab")
    request = town.say("a", Ask(topic="t", patience_s=300.0))
    town.node("a")._stop()
    town.carry_out()
    assert town["a"].results[request].silent == ("a", "b")


# --- bounds ---------------------------------------------------------------------------------------


def made() -> tuple[Queries, Counter[str]]:
    counters: Counter[str] = Counter()
    return Queries(counters, boot=0), counters


def test_so_many_questions_are_open_at_most() -> None:
    town = RoughTown("ab")
    for _ in range(ASKED_MAX):
        town.say("a", Ask(topic="t", patience_s=300.0))
    assert "at most 64 open at a time" in town["a"].answers[town.say("a", Ask(topic="t"))]


def test_late_and_repeated_answers_and_those_of_the_unasked_are_counted() -> None:
    queries, counters = made()
    queries.open(1, attrs.evolve(question(), names=("b",)), 0.0)
    for name in "bbc":
        queries.receive_answer(name, 1, b"")
    (asked,) = queries.asked()
    queries.close(asked)
    queries.receive_answer("b", 1, b"")
    assert asked.answers == {"b": b""}
    assert counters == {"answers_repeated": 1, "answers_unasked": 1, "answers_late": 1}


def test_so_much_is_collected_at_most_and_what_is_closed_makes_room() -> None:
    queries, counters = made()
    with patch.object(queries_module, "COLLECTED_BYTES_MAX", 10):
        queries.open(1, question(1), 0.0)
        queries.receive_answer("b", 1, bytes(8))
        queries.receive_answer("c", 1, bytes(3))
        assert counters["answers_dropped"] == 1
        queries.close(queries.asked()[0])
        queries.open(2, question(2), 0.0)
        queries.receive_answer("c", 2, bytes(10))
        assert queries.asked()[0].answers == {"c": bytes(10)}


def test_so_many_questions_wait_for_the_application_at_most() -> None:
    queries, counters = made()
    with patch.object(queries_module, "ANSWERABLE_MAX", 2):
        for number in (1, 2, 3):
            queries.expect_answer(question(number), 0.0)
    assert counters["queries_dropped"] == 1
    assert queries.answer(question(1), b"", 0.0) != ""
    assert queries.answer(question(3), b"", 0.0) == ""


def test_answers_are_kept_for_repetition_only_up_to_a_bound() -> None:
    queries, _ = made()
    with patch.object(queries_module, "KEPT_BYTES_MAX", 10):
        for number in (1, 2, 3):
            queries.expect_answer(question(number), 0.0)
        for number in (2, 3):
            assert queries.answer(question(number), bytes(6), 0.0) == ""
    assert queries.given_answer(question(2), 0.0) is None
    assert queries.given_answer(question(3), 0.0) == bytes(6)
    assert queries.answer(question(1), b"", 0.0) == "", "what waits for an answer is not dropped for it"
    assert queries.given_answer(question(3), 5.0) is None


def test_the_silent_are_asked_directly_a_few_at_a_time_in_turn() -> None:
    queries, _ = made()
    queries.open(1, question(), 0.0)
    (asked,) = queries.asked()
    silent = [f"n{number:02}" for number in range(20)]
    assert queries.next_deadline() == 1.0
    assert queries.nudges(asked, silent, 1.0) == silent[:16]
    assert queries.next_deadline() == 2.0
    assert queries.nudges(asked, silent, 2.0) == [*silent[16:], *silent[:12]]
