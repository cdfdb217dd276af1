"""How each worker stands in the council: what it answers, and what the asker makes of the answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.council_service import ROLES, read_standing_untrusted, report_of, standing_item
from swimstream.core.effects import QueryAnswered
from swimstream.errors import WireError
from swimstream.model.changes import Seat
from swimstream.model.council import COUNCIL_TOPIC, SeatStanding
from swimstream.model.identity import Address, Run
from swimstream.model.member import SPEAKS, SPEAKS_GUARANTEES, Member, MemberState, Profile
from swimstream.model.plan import Plan, PlanMark
from swimstream.model.talk import Ask
from swimstream.wire.cbor import encode_item
from tests import strategies
from tests.core.town import Town

PLAN = Plan(index=9, cluster_id=7, council=(Seat("c", 3), Seat("a", 1), Seat("b", 2)), isolation_ms=6_000)
MARK = PlanMark(term=4, leader="a", index=9)
LEADER = standing_item(SeatStanding(role="leader", term=4, last_index=12, commit=9, authority_age_s=0.0))
FOLLOWER = standing_item(SeatStanding(role="follower", term=4, last_index=10, commit=8))


def member(name: str, voter: int, *, state: MemberState = MemberState.ALIVE, speaks: int = SPEAKS) -> Member:
    profile = Profile(address=Address("h", 1), site=f"site-{name}", voter=voter, speaks=speaks)
    return Member(run=Run(name, 1), incarnation=0, state=state, profile=profile, since=0.0)


ALL = (member("a", 1), member("b", 2), member("c", 3))


@given(
    st.sampled_from(ROLES),
    strategies.counters,
    st.tuples(strategies.counters, strategies.counters).map(sorted),
    st.none() | st.integers(0, 10**9),
)
def test_a_standing_survives_the_answer(role: str, term: int, log: list[int], age_ms: int | None) -> None:
    standing = SeatStanding(
        role=role,
        term=term,
        last_index=log[1],
        commit=log[0],
        authority_age_s=None if age_ms is None else age_ms / 1_000,
    )
    told = read_standing_untrusted(standing_item(standing))
    assert (told.role, told.term, told.last_index, told.commit) == (role, term, log[1], log[0])
    assert (told.authority_age_s is None) == (age_ms is None)
    if age_ms is not None:
        assert told.authority_age_s == pytest.approx(age_ms / 1_000, abs=0.0011)


@pytest.mark.parametrize(
    "item",
    [[], 1, [4, 1, 1, 1], [True, 1, 1, 1], ["leader", 1, 1, 1], [0, -1, 1, 1], [0, 1, 1, 2], [0, 1, 1],
     [0, 1, 1, 1, -1],
     [0, 1, 1, 1, None], {"role": 1}],
)  # fmt: skip
def test_an_answer_that_makes_no_sense_is_refused_and_counts_as_silence(item: object) -> None:
    with pytest.raises(WireError):
        read_standing_untrusted(encode_item(item))
    report = report_of(PLAN, MARK, ALL, {"a": encode_item(item)})
    assert [seat.standing for seat in report.seats] == [None, None, None]


def test_a_later_version_may_say_more() -> None:
    assert read_standing_untrusted(encode_item([3, 4, 12, 9, 0, "new"])).role == "leader"


def test_seats_are_told_by_name_with_who_is_silent_and_how_far_behind() -> None:
    report = report_of(PLAN, MARK, ALL, {"a": LEADER, "b": FOLLOWER})
    assert [(seat.name, seat.site, report.lag_of(seat)) for seat in report.seats] == [
        ("a", "site-a", 0),
        ("b", "site-b", 2),
        ("c", "site-c", None),
    ]
    assert (report.last_index, report.seats_wanted, report.isolation_s) == (12, 3, 6.0)
    assert report.is_able


def test_the_longest_log_is_the_measure_while_the_leader_is_silent() -> None:
    report = report_of(PLAN, MARK, ALL, {"b": FOLLOWER})
    assert report.last_index == 10
    assert not report.is_able
    assert report_of(PLAN, MARK, ALL, {}).last_index == 9


def test_the_leaders_log_is_the_measure_also_for_who_has_more_that_was_never_committed() -> None:
    longer = standing_item(SeatStanding(role="follower", term=3, last_index=20, commit=8))
    report = report_of(PLAN, MARK, ALL, {"a": LEADER, "b": longer})
    assert (report.last_index, report.lag_of(report.seats[1])) == (12, 0)


def test_who_is_of_a_version_that_cannot_answer_is_told_from_who_is_silent() -> None:
    report = report_of(PLAN, MARK, (member("a", 1), member("b", 2, speaks=SPEAKS_GUARANTEES - 1)), {"a": LEADER})
    assert [seat.is_older for seat in report.seats] == [False, True, False]


def test_who_has_lost_its_memory_does_not_answer_for_the_seat() -> None:
    report = report_of(PLAN, MARK, (member("a", 1), member("b", 99)), {"a": LEADER, "b": FOLLOWER})
    b, c = report.seats[1:]
    assert (b.has_memory, b.standing, b.can_vote) == (False, None, False)
    assert (c.state, c.has_memory, c.site) == (None, False, "")
    assert not report.is_able


def test_a_name_with_an_old_seat_and_a_new_one_answers_for_the_new_one() -> None:
    plan = Plan(council=(Seat("a", 1), Seat("a", 2)))
    old, new = report_of(plan, MARK, (member("a", 2),), {"a": LEADER}).seats
    assert (old.standing, new.standing is not None) == (None, True)


def test_every_worker_answers_for_itself() -> None:
    town = Town("abc")
    leader = town.run_until_led()
    node = town.node("a")
    node.say(7, Ask(topic=COUNCIL_TOPIC, names=("a", "b", "c")), now=town.now)
    answered: list[QueryAnswered] = []
    carry_out = town._carry_out_one
    town._carry_out_one = lambda citizen, effect: (  # type: ignore[method-assign]  # to see what the driver would
        answered.append(effect) if isinstance(effect, QueryAnswered) else carry_out(citizen, effect)
    )
    town.carry_out()
    town.run_for(2.0)
    (result,) = (each.result for each in answered)
    report = report_of(node.plan, node.mark, node.members(), result.answers)
    assert [seat.name for seat in report.seats if seat.can_vote] == ["a", "b", "c"]
    assert [seat.name for seat in report.seats if seat.standing and seat.standing.role == "leader"] == [leader]
