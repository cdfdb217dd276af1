"""Which claim wins: against a model that knows nothing of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swimstream.core.membership.table import INCARNATION_JUMP_MAX, MemberTable, accusation_wins, alive_wins
from swimstream.model.identity import Run
from swimstream.model.member import Member, MemberState, Profile
from swimstream.wire.messages import Accusation, Alive
from tests.core.membership.views import address_of, alive, dead, hear, held, left, spread, suspect, view

if TYPE_CHECKING:
    from collections.abc import Callable

ALIVE, SUSPECT, DEAD, LEFT = MemberState
Claim = Alive | Accusation


@st.composite
def histories(draw: st.DrawFn, *, refuted_deaths: bool) -> list[Claim]:
    """Return all that is ever said of `b`, shuffled and told up to three times, as SWIM lets it come about.

    In each run the owner says alive at each incarnation up to its last; at each it may be suspected, and then
    dead (only at its last, unless `refuted_deaths`); it may leave at its last.
    """
    claims: list[Claim] = []
    for boot in range(1, draw(st.integers(1, 3)) + 1):
        last = draw(st.integers(0, 3))
        for incarnation in range(last + 1):
            may_die = refuted_deaths or incarnation == last
            worst = draw(st.sampled_from([ALIVE, SUSPECT, DEAD] if may_die else [ALIVE, SUSPECT]))
            claims.append(alive("b", incarnation, boot=boot))
            claims += [suspect("b", incarnation, boot=boot)] if worst >= SUSPECT else []
            claims += [dead("b", incarnation, boot=boot)] if worst is DEAD else []
        claims += [left("b", last, boot=boot)] if draw(st.booleans()) else []
    return draw(st.permutations(claims * draw(st.integers(1, 3))))


def verdict(claims: list[Claim]) -> tuple[int, int, MemberState]:
    """Return the model: the latest run; of it the latest incarnation; of that the gravest word."""
    return max(
        (claim.run.boot, claim.incarnation, claim.state if isinstance(claim, Accusation) else ALIVE) for claim in claims
    )


def merged(claims: list[Claim]) -> tuple[int, int, MemberState]:
    """Return what a view holds of `b` that has met its latest run and then hears the claims in this order."""
    membership = view()
    hear(membership, alive("b", boot=max(claim.run.boot for claim in claims)))
    for claim in claims:
        hear(membership, claim)
    member = held(membership, "b")
    return member.run.boot, member.incarnation, member.state


@given(histories(refuted_deaths=False))
def test_claims_about_a_known_run_merge_in_any_order_to_the_latest_and_gravest(claims: list[Claim]) -> None:
    assert merged(claims) == verdict(claims)


@example([dead("b", 1), suspect("b", 2), alive("b", 2)])
@given(histories(refuted_deaths=True))
def test_claims_merge_in_any_order_also_where_a_death_was_refuted(claims: list[Claim]) -> None:
    assert merged(claims) == verdict(claims)


@given(histories(refuted_deaths=True))
def test_the_boot_and_the_incarnation_held_of_a_member_never_fall(claims: list[Claim]) -> None:
    membership = view(others="b")
    before = (0, 0)
    for claim in claims:
        hear(membership, claim)
        member = held(membership, "b")
        after = (member.run.boot, member.incarnation)
        assert after >= before
        before = after


@given(histories(refuted_deaths=True))
def test_what_is_known_of_others_never_changes_the_own_record(claims: list[Claim]) -> None:
    membership = view()
    own = held(membership, "a")
    for claim in claims:
        hear(membership, claim)
    assert held(membership, "a") == own


@given(boots=st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_the_latest_run_is_held_whatever_came_before(boots: list[int]) -> None:
    membership = view()
    for boot in boots:
        hear(membership, alive("b", boot=boot))
    assert held(membership, "b").run.boot == max(boots)


def test_a_later_run_starts_alive_over_the_grave_of_the_earlier() -> None:
    membership = view(others="b")
    hear(membership, dead("b", 7))
    hear(membership, alive("b", 0, boot=2))
    assert held(membership, "b").state is ALIVE


def test_alive_at_the_same_incarnation_does_not_clear_a_suspicion() -> None:
    membership = view(others="b")
    hear(membership, suspect("b", 0))
    hear(membership, alive("b", 0))
    assert held(membership, "b").state is SUSPECT


def test_alive_at_the_same_incarnation_does_not_wake_the_dead() -> None:
    membership = view(others="b")
    hear(membership, dead("b", 0))
    hear(membership, alive("b", 0))
    assert held(membership, "b").state is DEAD


def test_alive_at_a_higher_incarnation_wakes_the_dead() -> None:
    membership = view(others="b")
    hear(membership, dead("b", 0))
    hear(membership, alive("b", 1))
    assert held(membership, "b").state is ALIVE


def test_alive_at_a_higher_incarnation_does_not_bring_back_who_left() -> None:
    membership = view(others="b")
    hear(membership, left("b", 0))
    hear(membership, alive("b", 1))
    assert held(membership, "b").state is LEFT


def test_a_stale_death_does_not_kill() -> None:
    membership = view(others="b")
    hear(membership, alive("b", 3))
    hear(membership, dead("b", 2))
    assert held(membership, "b").state is ALIVE


def test_a_death_of_an_earlier_run_does_not_kill_the_later() -> None:
    membership = view()
    hear(membership, alive("b", boot=2))
    hear(membership, dead("b", 9, boot=1))
    assert held(membership, "b").state is ALIVE


def test_a_second_death_at_a_higher_incarnation_keeps_a_delayed_alive_from_waking_the_dead() -> None:
    membership = view(others="b")
    hear(membership, dead("b", 1))
    hear(membership, dead("b", 10))
    hear(membership, alive("b", 2))
    assert (held(membership, "b").state, held(membership, "b").incarnation) == (DEAD, 10)


def test_a_suspicion_does_not_bring_the_dead_back_at_the_same_incarnation() -> None:
    membership = view(others="b")
    hear(membership, dead("b", 4))
    hear(membership, suspect("b", 4))
    assert held(membership, "b").state is DEAD


def test_claims_against_a_stranger_make_no_record() -> None:
    membership = view()
    for claim in (suspect("b"), dead("b"), left("b")):
        hear(membership, claim)
    assert "b" not in membership.table


def test_a_stale_alive_makes_the_view_tell_the_accusation_again() -> None:
    membership = view(others="b")
    hear(membership, alive("b", 2))
    hear(membership, dead("b", 2, by="c"))
    for _ in range(20):
        spread(membership)
    hear(membership, alive("b", 1))
    assert spread(membership) == [dead("b", 2, by="c")]


@pytest.mark.parametrize("make", [alive, suspect, dead, left])
def test_a_jump_of_the_incarnation_beyond_the_bound_is_refused(make: Callable[..., Claim]) -> None:
    membership = view(others="b")
    hear(membership, make("b", INCARNATION_JUMP_MAX + 1))
    assert (held(membership, "b").incarnation, held(membership, "b").state) == (0, ALIVE)


@pytest.mark.parametrize("make", [alive, suspect, dead, left])
def test_a_jump_of_the_incarnation_up_to_the_bound_is_taken(make: Callable[..., Claim]) -> None:
    membership = view(others="b")
    hear(membership, make("b", INCARNATION_JUMP_MAX))
    assert held(membership, "b").incarnation == INCARNATION_JUMP_MAX


@pytest.mark.parametrize("others", ["", "b"])
def test_a_first_claim_about_a_run_may_not_jump_either(others: str) -> None:
    membership = view(others=others)
    hear(membership, alive("b", 2**40, boot=2))
    assert "b" not in membership.table or held(membership, "b").run.boot == 1


@given(held_at=st.integers(0, 5), claimed=st.integers(0, 5), state=st.sampled_from([ALIVE, SUSPECT, DEAD]))
def test_alive_wins_within_a_run_if_and_only_if_it_is_newer(held_at: int, claimed: int, state: MemberState) -> None:
    record = _record(held_at, state)
    assert alive_wins(boot=1, incarnation=claimed, held=record) == (claimed > held_at)


@given(st.integers(0, 5), st.integers(0, 5), st.sampled_from(MemberState), st.sampled_from([SUSPECT, DEAD, LEFT]))
def test_no_accusation_wins_at_a_lower_incarnation(
    held_at: int, claimed: int, held_state: MemberState, state: MemberState
) -> None:
    if accusation_wins(incarnation=claimed, state=state, held=_record(held_at, held_state)):
        assert claimed >= held_at


def test_the_table_lists_members_by_name_whatever_the_order_they_came_in() -> None:
    table = MemberTable()
    for name in "cab":
        table.put(attrs.evolve(_record(0, ALIVE), run=Run(name, 1)))
    assert [member.run.name for member in table] == ["a", "b", "c"]


def test_the_live_members_are_those_not_gone_also_after_a_change() -> None:
    table = MemberTable()
    for name, state in zip("abcd", MemberState, strict=True):
        table.put(attrs.evolve(_record(0, state), run=Run(name, 1)))
    assert [member.run.name for member in table.live()] == ["a", "b"]
    table.remove("a")
    assert [member.run.name for member in table.live()] == ["b"]


def _record(incarnation: int, state: MemberState) -> Member:
    profile = Profile(address=address_of("b"))
    return Member(run=Run("b", 1), incarnation=incarnation, state=state, profile=profile, since=0.0)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([ALIVE, SUSPECT, DEAD, LEFT, None])), max_size=20))
def test_the_live_are_counted_and_all_are_listed_by_name_after_any_changes(
    changes: list[tuple[str, MemberState | None]],
) -> None:
    table = MemberTable()
    model: dict[str, MemberState] = {}
    for name, state in changes:
        if state is None:
            table.remove(name)
            model.pop(name, None)
        else:
            profile = Profile(address=address_of(name))
            table.put(Member(run=Run(name, 1), incarnation=0, state=state, profile=profile, since=0.0))
            model[name] = state
    assert [(member.run.name, member.state) for member in table] == sorted(model.items())
    assert table.live_count == len(table.live()) == sum(not state.is_gone for state in model.values())
