"""What one worker wants of the leader: whom it is asked of, when, and what the answer is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from swimstream.core import leader_requests
from swimstream.core.leader_requests import Done, Kind, LeaderRequests, Refused, Request, Verdict
from swimstream.wire.council_messages import CouncilRequest, ProposeReply
from tests.core.town import Town, job

if TYPE_CHECKING:
    from collections.abc import Callable

KIND = Kind(subject="tea", plural="cups", waiting_max=2)


def requests_of(town: Town, name: str) -> LeaderRequests:
    return town.node(name)._rooms.requests


def request(number: int = 7, *, look: Callable[[], Verdict] = lambda: None, deadline: float = float("inf")) -> Request:
    """Return a wish that nobody else would ever grant: not even a leader has anything to say about it."""
    return Request(
        kind=KIND,
        message=CouncilRequest(request=number, seats=3),
        look=look,
        accept=lambda _now: None,
        deadline=deadline,
        overdue="tea: it is cold",
    )


def test_a_new_leader_is_asked_at_once_whatever_it_is_asked() -> None:
    """Not when the next question is due anyway. Who asks has no seat, so it hears of a leader that can decide."""
    town = Town("abc")
    town.run_until_led()
    town.settle_in("d")
    town.run_for(5.0)
    town.crash(town.run_until_led())
    with patch.object(leader_requests, "RETRY_S", 1_000.0):
        town.node("d").resize_council(7, 5, now=town.now)
        town.run_until(lambda: town["d"].answers.get(7) == "", limit_s=60.0)


def test_what_the_plan_shows_already_is_answered_without_a_question() -> None:
    town = Town("abc")
    town.run_until_led()
    index = town.node("a").plan.index
    requests_of(town, "a").add(request(look=lambda: Done(index)), town.now)
    town.carry_out()
    assert town["a"].answers[7] == ""


def test_what_is_done_at_an_index_is_answered_once_the_plan_here_has_come_so_far() -> None:
    town = Town("abc")
    town.run_until_led()
    index = town.node("a").plan.index
    verdicts: list[Verdict] = [Done(index + 1)]
    requests_of(town, "a").add(request(look=lambda: verdicts.pop() if verdicts else None), town.now)
    town.run_for(5.0)
    assert 7 not in town["a"].answers
    town.submit("b", job())
    town.run_until(lambda: town.node("a").plan.index > index, limit_s=10.0)
    town.carry_out()
    assert town["a"].answers[7] == ""


def test_a_refusal_is_the_answer_whoever_gives_it() -> None:
    town = Town("abc")
    town.run_until_led()
    requests_of(town, "a").add(request(7, look=lambda: Refused("tea: none left")), town.now)
    requests_of(town, "a").add(request(8), town.now)
    requests_of(town, "a").receive_refusal(ProposeReply(request=8, error="tea: no"))
    town.carry_out()
    assert (town["a"].answers[7], town["a"].answers[8]) == ("tea: none left", "tea: no")


def test_a_refusal_of_what_does_not_wait_is_ignored() -> None:
    town = Town("abc")
    town.run_until_led()
    requests_of(town, "a").receive_refusal(ProposeReply(request=8, error="tea: no"))
    town.carry_out()
    assert 8 not in town["a"].answers


def test_a_request_is_answered_at_its_deadline_with_a_leader_or_without() -> None:
    town = Town("ab", expect=3)
    requests_of(town, "a").add(request(deadline=town.now + 2.5), town.now)
    town.run_for(2.4)
    assert 7 not in town["a"].answers
    town.run_for(0.2)
    assert town["a"].answers[7] == "tea: it is cold"


def test_more_than_may_wait_are_refused_and_counted_by_kind() -> None:
    town = Town("ab", expect=3)
    for number in (7, 8, 9):
        requests_of(town, "a").add(request(number), town.now)
    town.node("a").resize_council(10, 5, now=town.now)
    town.carry_out()
    assert town["a"].answers[9] == "tea: expected at most 2 cups at a time"
    assert not {7, 8, 10} & town["a"].answers.keys()
    assert town.node("a").counters()["requests_refused"] == 1


@pytest.mark.parametrize("is_before", [True, False])
def test_a_worker_that_takes_part_no_more_answers_at_once(is_before: bool) -> None:  # noqa: FBT001  # a parameter
    town = Town("ab", expect=3)
    if is_before:
        requests_of(town, "a").add(request(), town.now)
    requests_of(town, "a").give_up()
    if not is_before:
        requests_of(town, "a").add(request(), town.now)
    town.carry_out()
    assert town["a"].answers[7] == "tea: this worker takes part no more"
    assert requests_of(town, "a").next_deadline() == float("inf")
