"""When a worker asks for a newer proof of a quorum, and whom."""

from __future__ import annotations

from random import Random

from swimstream.core.council.asking import Asking
from swimstream.model.changes import Seat
from swimstream.model.identity import Address, Run
from swimstream.model.member import Member, MemberState, Profile

L_S = 6.0
PAUSE_S = 0.1
NEVER = float("-inf")


def asking(*, pause_s: float = PAUSE_S) -> Asking:
    return Asking(rng=Random(1), pause_s=pause_s, now=0.0)


def member(name: str, *, speaks: int = 3) -> Member:
    profile = Profile(address=Address("10.0.0.1", 1), speaks=speaks)
    return Member(run=Run(name, 1), incarnation=0, state=MemberState.ALIVE, profile=profile, since=0.0)


def test_who_hosts_asks_when_a_third_of_the_time_is_over() -> None:
    assert asking().due_at(100.0, L_S, is_hosting=True) == 100.0 + L_S / 3


def test_who_hosts_nothing_asks_when_two_thirds_are_over() -> None:
    assert asking().due_at(100.0, L_S, is_hosting=False) == 100.0 + L_S * 2 / 3


def test_questions_leave_at_a_pace_of_a_twelfth_of_the_time() -> None:
    asker = asking()
    asker.choose([member("b")], (), 100.0)
    assert asker.due_at(NEVER, L_S, is_hosting=True) == 100.0 + L_S / 12


def test_questions_leave_no_faster_than_answers_can_come() -> None:
    asker = asking(pause_s=2.0)
    asker.choose([member("b")], (), 100.0)
    assert asker.due_at(NEVER, L_S, is_hosting=True) == 102.0


def test_a_member_and_one_of_the_council_are_asked_in_turn() -> None:
    asker = asking()
    crowd = [member("v"), *(member(f"m{number}") for number in range(100))]
    asked = [asker.choose(crowd, (Seat("v", 1),), float(turn)) for turn in range(40)]
    assert {each.run.name for each in asked[1::2] if each is not None} == {"v"}
    assert len({each.run.name for each in asked[::2] if each is not None}) > 10


def test_older_peers_are_not_asked() -> None:
    asker = asking()
    crowd = [member("b", speaks=2), member("c")]
    asked = {each.run.name for turn in range(40) if (each := asker.choose(crowd, (Seat("b", 1),), float(turn)))}
    assert asked == {"c"}


def test_with_nobody_to_ask_the_pace_is_kept() -> None:
    asker = asking()
    assert asker.choose([], (), 100.0) is None
    assert asker.due_at(NEVER, L_S, is_hosting=True) == 100.0 + L_S / 12
