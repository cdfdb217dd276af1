"""What is remembered of members without a record: who was forgotten stays gone, and strangers hear of accusations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from swimstream.config import LOCAL
from swimstream.core.membership.memory import FORGOTTEN_MAX, STRANGERS_MAX, Forgotten, Strangers
from swimstream.model.member import Member, MemberState, Profile
from swimstream.wire.messages import Accusation
from tests.core.membership.views import address_of, alive, dead, hear, held, left, spread, suspect, view

if TYPE_CHECKING:
    from swimstream.core.membership.membership import Membership

LATER = LOCAL.tombstone_s + 1


def forgetful(name: str = "a") -> Membership:
    """Return a view that has forgotten `c`, which died at incarnation 3."""
    membership = view(name, others="bc")
    hear(membership, alive("c", 3))
    hear(membership, dead("c", 3))
    membership.fire_timers(LATER)
    assert membership.table.get("c") is None
    while membership.gossip.has_urgent:
        spread(membership)
    return membership


@given(st.integers(0, 3))
def test_who_was_forgotten_is_not_brought_back_by_what_was_known_then(incarnation: int) -> None:
    membership = forgetful()
    hear(membership, alive("c", incarnation), now=LATER)
    assert membership.table.get("c") is None


def test_who_was_forgotten_and_lives_is_told_that_it_must_refute() -> None:
    membership = forgetful()
    hear(membership, alive("c", 3), now=LATER)
    owner = view("c")
    for claim in spread(membership):
        assert claim == dead("c", 3, by="c")
        hear(owner, dead("c", 3, by="c"))
    assert owner.incarnation == 4
    hear(membership, alive("c", owner.incarnation), now=LATER)
    assert held(membership, "c").state is MemberState.ALIVE


def test_that_somebody_has_forgotten_a_member_is_no_death_but_a_suspicion() -> None:
    membership = view("b", others="c")
    hear(membership, dead("c", by="c"))
    assert held(membership, "c").state is MemberState.SUSPECT
    assert held(membership, "c").accusers == ()


def test_a_later_run_of_who_was_forgotten_is_taken_at_once() -> None:
    membership = forgetful()
    hear(membership, alive("c", 0, boot=2), now=LATER)
    assert held(membership, "c").run.boot == 2


def test_an_accusation_of_who_was_forgotten_goes_no_further() -> None:
    membership = forgetful()
    hear(membership, suspect("c", 3), now=LATER)
    assert spread(membership) == []


def test_the_forgotten_are_named_once() -> None:
    membership = forgetful()
    assert [run.name for run in membership.forgotten] == ["c"]


def test_an_accusation_of_a_stranger_makes_no_member_but_is_passed_on_once() -> None:
    membership = view("a", others="b")
    while spread(membership):
        pass
    hear(membership, suspect("z", 1))
    assert membership.table.get("z") is None
    told = []
    while news := spread(membership):
        told += news
    assert set(told) == {suspect("z", 1)}
    hear(membership, suspect("z", 1))
    assert spread(membership) == []


def test_the_memory_of_the_forgotten_is_bounded() -> None:
    memory = Forgotten()
    for boot in range(FORGOTTEN_MAX + 5):
        run = alive(f"w{boot}").run
        profile = Profile(address=address_of("w"))
        memory.add(Member(run=run, incarnation=0, state=MemberState.DEAD, profile=profile, since=0.0))
    assert len(memory) == FORGOTTEN_MAX
    assert memory.covers(alive(f"w{FORGOTTEN_MAX}").run, 0)
    assert not memory.covers(alive("w0").run, 0)


def test_the_memory_of_strangers_is_bounded_and_forgets_the_oldest() -> None:
    memory = Strangers()
    for incarnation in range(STRANGERS_MAX + 1):
        assert memory.is_new(suspect("z", incarnation))
    assert not memory.is_new(suspect("z", STRANGERS_MAX))
    assert memory.is_new(suspect("z", 0))


# --- an operator's word ---------------------------------------------------------------------------


def test_a_dead_member_that_is_removed_has_left_for_all() -> None:
    membership, other = view("a", others="bc"), view("b", others="ac")
    for each in (membership, other):
        hear(each, dead("c"))
    assert membership.remove("c", 1.0) == ""
    assert held(membership, "c").state is MemberState.LEFT
    assert held(membership, "c").accusers == ("a",)
    (word,) = [claim for claim in spread(membership) if isinstance(claim, Accusation)]
    assert (word.state, word.accuser) == (MemberState.LEFT, "a")
    hear(other, word)
    assert held(other, "c").state is MemberState.LEFT


def test_who_lives_or_is_unknown_is_not_removed() -> None:
    membership = view("a", others="b")
    assert membership.remove("b", 1.0) == "name: expected a dead member, 'b' is alive; stop that worker instead"
    assert membership.remove("z", 1.0) == "name: expected a dead member, there is none named 'z'"
    assert held(membership, "b").state is MemberState.ALIVE


def test_to_remove_twice_is_to_remove_once() -> None:
    membership = view("a", others="b")
    hear(membership, dead("b"))
    assert membership.remove("b", 1.0) == ""
    assert membership.remove("b", 2.0) == ""


def test_who_was_removed_and_lives_goes_on_as_a_later_run() -> None:
    membership = view("a")
    hear(membership, left("a"))
    assert membership.namesakes.outlived_boot == membership.run.boot
