"""What a member does when others speak of it (SWIM §4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.config import LOCAL
from swimstream.core.membership.claims import claims_of
from swimstream.core.membership.membership import HASTEN_MULT
from swimstream.core.membership.table import INCARNATION_JUMP_MAX
from swimstream.model.member import Evidence, MemberState
from swimstream.wire.messages import Accusation, Alive
from tests.core.membership.views import alive, dead, hear, held, left, messages_of, spread, suspect, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.membership.membership import Membership
    from swimstream.wire.messages import Message

ABOUT_ME = st.builds(
    lambda make, incarnation, boot: make("a", incarnation, boot=boot),
    st.sampled_from([alive, suspect, dead]),
    st.integers(0, 4),
    st.integers(0, 1),
)


@given(st.lists(ABOUT_ME, max_size=8))
def test_after_any_claims_the_own_incarnation_is_above_every_accusation(claims: list[Alive | Accusation]) -> None:
    membership = view("a")
    for claim in claims:
        hear(membership, claim)
    against = [claim.incarnation for claim in claims if isinstance(claim, Accusation) and claim.run == membership.run]
    assert membership.incarnation > max(against, default=-1)
    assert held(membership, "a").state is MemberState.ALIVE


def test_a_refutation_is_told() -> None:
    membership = view("a")
    hear(membership, suspect("a", 0))
    assert spread(membership) == [alive("a", 1)]


def test_a_refutation_makes_the_member_doubt_itself() -> None:
    membership = view("a")
    hear(membership, suspect("a", 0))
    assert membership.health.score == 1


def test_who_had_to_refute_gives_those_whom_it_alone_accused_the_whole_time_again() -> None:
    """Nobody may have heard it for a while, so they had no chance to refute."""
    membership = view("a", others="bcd")
    membership.accuse(held(membership, "b").run, 0.0)
    time_s = membership.next_deadline()
    hear(membership, suspect("a", 0), now=3.0)
    assert membership.next_deadline() == 3.0 + time_s


def test_who_had_to_refute_gives_those_whom_others_accuse_as_well_no_more_time() -> None:
    """Else a crash would be found later only because somebody else has a bad link."""
    membership = view("a", others="bcd")
    membership.accuse(held(membership, "b").run, 0.0)
    hear(membership, suspect("b", by="c"))
    deadline = membership.next_deadline()
    hear(membership, suspect("a", 0), now=0.5)
    assert membership.next_deadline() == deadline


def test_a_stale_accusation_makes_the_member_tell_that_it_lives() -> None:
    membership = view("a")
    hear(membership, suspect("a", 3))
    for _ in range(20):
        spread(membership)
    hear(membership, suspect("a", 2))
    assert spread(membership) == [alive("a", 4)]


def test_a_stale_accusation_costs_neither_incarnation_nor_health() -> None:
    membership = view("a")
    hear(membership, suspect("a", 3))
    hear(membership, suspect("a", 2))
    assert (membership.incarnation, membership.health.score) == (4, 1)


def test_a_member_that_leaves_refutes_no_more() -> None:
    membership = view("a", others="b")
    membership.say_goodbye(1.0)
    hear(membership, suspect("a", 0))
    hear(membership, alive("a", 5))
    assert held(membership, "a").state is MemberState.LEFT
    assert membership.incarnation == 0


def test_an_accusation_beyond_the_jump_bound_does_not_exhaust_the_own_counter() -> None:
    membership = view("a")
    hear(membership, dead("a", INCARNATION_JUMP_MAX + 1))
    assert membership.incarnation == 0


def test_an_alive_of_the_own_run_with_another_profile_is_refuted() -> None:
    membership = view("a")
    stranger = alive("b").profile
    hear(membership, Alive(run=membership.run, incarnation=0, profile=stranger))
    assert membership.incarnation == 1


def test_news_of_an_earlier_run_makes_the_member_tell_of_the_present_one() -> None:
    membership = view("a", boot=5)
    for _ in range(20):
        spread(membership)
    hear(membership, alive("a", 3, boot=4))
    assert spread(membership) == [alive("a", 0, boot=5)]


def test_a_later_run_of_the_own_name_elsewhere_supersedes_this_one() -> None:
    membership = view("a", boot=5)
    later = attrs.evolve(alive("a", boot=6), profile=alive("b").profile)
    hear(membership, later)
    assert membership.namesakes.superseded_by == later


def test_nobody_gives_way_to_an_earlier_life_of_its_own() -> None:
    """A calendar that was set back makes the dead run look later; the address shows that it was this worker."""
    membership = view("a", boot=5)
    hear(membership, alive("a", boot=6))
    assert (membership.namesakes.superseded_by, membership.namesakes.outlived_boot) == (None, 6)


@pytest.mark.parametrize("end", [dead, left])
def test_who_learns_that_a_later_run_has_come_and_gone_does_not_stay_a_ghost(end: Callable[..., Accusation]) -> None:
    """The others hold the later run's tombstone, so they ignore all that an earlier boot says, for a day."""
    membership = view("a", boot=5, others="b")
    hear(membership, end("a", boot=6), is_hearsay=True)
    assert membership.namesakes.outlived_boot == 6, "the node goes on above it"


def test_going_on_as_a_later_run_starts_at_incarnation_zero_and_is_told() -> None:
    membership = view("a", boot=5)
    hear(membership, suspect("a", 3, boot=5))
    membership.begin_new_run(9, 1.0)
    assert spread(membership) == [alive("a", 0, boot=9)]


# --- what others do to it ------------------------------------------------------------------------------


def test_a_death_is_hearsay_is_a_suspicion_that_nobody_signed() -> None:
    membership = view(others="bc")
    hear(membership, dead("b", by="c"), is_hearsay=True)
    assert (held(membership, "b").state, held(membership, "b").accusers) == (MemberState.SUSPECT, ())


def test_a_suspicion_is_hearsay_confirms_nothing() -> None:
    membership = view(others="bcd")
    hear(membership, suspect("b", by="c"))
    hear(membership, suspect("b", by="d"), is_hearsay=True)
    assert held(membership, "b").accusers == ("c",)


def test_a_goodbye_is_hearsay_is_a_goodbye() -> None:
    membership = view(others="b")
    hear(membership, left("b"), is_hearsay=True)
    assert held(membership, "b").state is MemberState.LEFT


def test_hearsay_signed_by_the_accused_confirms_nothing() -> None:
    membership = view(others="bcd")
    hear(membership, suspect("b", by="c"))
    hear(membership, suspect("b", by="b"))
    assert held(membership, "b").accusers == ("c",)


def test_a_death_names_all_who_had_accused() -> None:
    membership = view(others="bcd")
    hear(membership, suspect("b", by="d"))
    hear(membership, suspect("b", by="c"))
    membership.fire_timers(membership.next_deadline())
    assert (held(membership, "b").state, held(membership, "b").accusers) == (MemberState.DEAD, ("c", "d"))


def test_who_accuses_while_the_death_is_being_declared_is_named_too() -> None:
    membership = view(others="bcd")
    hear(membership, suspect("b", by="c"))
    hear(membership, dead("b", by="c"))
    hear(membership, suspect("b", by="d"))
    hear(membership, suspect("b", by="e"), is_hearsay=True)
    assert (held(membership, "b").state, held(membership, "b").accusers) == (MemberState.DEAD, ("c", "d"))


def test_a_suspicion_that_nobody_signed_is_signed_by_who_declares_the_death() -> None:
    membership = view(others="bcd")
    hear(membership, dead("b", by="c"), is_hearsay=True)
    membership.fire_timers(membership.next_deadline())
    assert held(membership, "b").accusers == ("a",)


def test_a_goodbye_names_no_accusers() -> None:
    membership = view(others="bc")
    hear(membership, suspect("b", by="c"))
    hear(membership, left("b"))
    assert held(membership, "b").accusers == ()


def test_a_confirmation_is_told_under_the_name_of_its_own_accuser() -> None:
    membership = view(others="bcdef")
    hear(membership, suspect("b", by="c"))
    hear(membership, suspect("b", by="d"))
    assert suspect("b", by="d") in spread(membership)


def test_confirmations_are_told_beside_the_first_accusation_and_not_in_its_place() -> None:
    membership = view(others="bcdef")
    for accuser in "cde":
        hear(membership, suspect("b", by=accuser))
    told = spread(membership)
    assert [suspect("b", by=accuser) in told for accuser in "cde"] == [True] * 3


@pytest.mark.parametrize("end", [alive("b", 1), dead("b", by="x"), left("b"), suspect("b", 1, by="x")])
def test_confirmations_are_told_no_longer_than_their_suspicion_lasts(end: Alive | Accusation) -> None:
    membership = view(others="bcdef")
    for accuser in "cde":
        hear(membership, suspect("b", by=accuser))
    hear(membership, end)
    told = [claim for claim in spread(membership) if isinstance(claim, Alive | Accusation)]
    assert [claim for claim in told if claim.run.name == "b"] == [end]


def test_what_the_accusers_saw_is_kept_in_their_order_and_told() -> None:
    membership = view(others="bcdef")
    one, other = Evidence(relays=3, nacks=3), Evidence(relays=3, nacks=2, datagram_refused=True)
    hear(membership, attrs.evolve(suspect("b", by="d"), evidence=one))
    hear(membership, attrs.evolve(suspect("b", by="c"), evidence=other))
    membership.fire_timers(membership.next_deadline())
    assert held(membership, "b").evidence == (other, one)
    assert attrs.evolve(dead("b", by="c"), evidence=other) in spread(membership)


def test_an_accuser_tells_what_it_saw_itself() -> None:
    membership = view(others="bc")
    seen = Evidence(relays=1, nacks=1, stream_refused=True)
    membership.accuse(held(membership, "b").run, 0.0, evidence=seen)
    assert attrs.evolve(suspect("b", by="a"), evidence=seen) in spread(membership)


def test_what_an_accuser_saw_stays_when_a_sync_tells_it_again() -> None:
    membership = view(others="bc")
    seen = Evidence(relays=3, nacks=3)
    hear(membership, attrs.evolve(suspect("b", by="c"), evidence=seen))
    assert attrs.evolve(suspect("b", by="c"), evidence=seen) in messages_of(claims_of(held(membership, "b")))


def test_a_refuted_suspicion_leaves_no_evidence() -> None:
    membership = view(others="bc")
    hear(membership, attrs.evolve(suspect("b", by="c"), evidence=Evidence(relays=3)))
    hear(membership, alive("b", 1))
    assert (held(membership, "b").accusers, held(membership, "b").evidence) == ((), ())


def test_who_hears_of_a_suspicion_probes_the_suspect_next() -> None:
    """So that its accusers come together soon, and that the suspect hears of it with the ping, and can refute."""
    membership = view(others="bcdefgh")
    last = membership.ring._names[-1]
    hear(membership, suspect(last))
    assert membership.ring.next() == last


def test_in_a_large_cluster_only_some_probe_the_suspect_next() -> None:
    others = "bcdefghijklmnopqrstuvwxyz"
    hastened = 0
    for seed in range(40):
        membership = view(others=others)
        membership._rng.seed(seed)
        last = membership.ring._names[-1]
        hear(membership, suspect(last))
        hastened += membership.ring.next() == last
    expected = 40 * HASTEN_MULT * (LOCAL.suspicion_confirmations + 1) / 26
    assert 0.5 * expected < hastened < 1.5 * expected


def test_the_same_suspicion_hastens_nobody_twice() -> None:
    membership = view(others="bcdefgh")
    last = membership.ring._names[-1]
    hear(membership, suspect(last))
    membership.ring.next()
    hear(membership, suspect(last, by="y"))
    assert membership.ring.next() != last


def test_a_suspicion_told_twice_does_not_begin_anew() -> None:
    membership = view(others="bcdef")
    hear(membership, suspect("b", by="c"))
    deadline = membership.next_deadline()
    hear(membership, suspect("b", by="c"), now=1.0)
    assert membership.next_deadline() == deadline


def test_a_confirmation_beyond_those_that_count_is_told_no_further() -> None:
    membership = view(others="bcdefgh")
    for accuser in "cdef":
        hear(membership, suspect("b", by=accuser))
    while len(membership.gossip):
        spread(membership)
    hear(membership, suspect("b", by="g"))
    assert spread(membership) == []


def test_a_suspicion_of_a_newer_incarnation_gets_a_fresh_timer() -> None:
    membership = view(others="bcdefg")
    for accuser in "cdef":
        hear(membership, suspect("b", by=accuser))
    shortest = membership.next_deadline()
    hear(membership, suspect("b", 1, by="c"))
    assert held(membership, "b").accusers == ("c",)
    assert membership.next_deadline() > shortest


def test_a_refutation_in_time_prevents_the_death() -> None:
    membership = view(others="bc")
    hear(membership, suspect("b"))
    deadline = membership.next_deadline()
    hear(membership, alive("b", 1), now=deadline)
    membership.fire_timers(deadline)
    assert held(membership, "b").state is MemberState.ALIVE


def test_a_suspect_lives_until_the_deadline() -> None:
    membership = view(others="bc")
    hear(membership, suspect("b"))
    membership.fire_timers(membership.next_deadline() - 0.001)
    assert held(membership, "b").state is MemberState.SUSPECT


def test_a_tombstone_is_forgotten_after_its_time() -> None:
    membership = view(others="b")
    hear(membership, dead("b"))
    membership.fire_timers(LOCAL.tombstone_s - 1)
    assert "b" in membership.table
    membership.fire_timers(LOCAL.tombstone_s)
    assert "b" not in membership.table


def test_tombstones_are_forgotten_in_the_order_of_their_time_also_when_one_is_renewed() -> None:
    membership = view(others="bc")
    hear(membership, dead("b"), now=0.0)
    hear(membership, dead("c"), now=5.0)
    hear(membership, left("b"), now=10.0)
    assert membership.next_deadline() == LOCAL.tombstone_s + 5.0
    membership.fire_timers(LOCAL.tombstone_s + 5.0)
    assert [member.run.name for member in membership.table] == ["a", "b"]


def test_who_came_back_is_not_forgotten_with_an_old_tombstone() -> None:
    membership = view(others="b")
    hear(membership, dead("b"))
    hear(membership, alive("b", 1))
    membership.fire_timers(LOCAL.tombstone_s)
    assert held(membership, "b").state is MemberState.ALIVE


def test_a_member_that_is_alive_again_has_been_so_since_then() -> None:
    membership = view(others="b")
    hear(membership, suspect("b"), now=1.0)
    hear(membership, alive("b", 1), now=2.0)
    hear(membership, alive("b", 2), now=3.0)
    assert held(membership, "b").since == 2.0


def test_members_beyond_the_bound_are_refused_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swimstream.core.membership.membership.MEMBERS_MAX", 3)
    membership = view(others="bcd")
    assert len(membership.table) == 3
    assert _count(membership, "members_refused") == 1


def test_a_table_full_of_the_dead_still_takes_in_the_living(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swimstream.core.membership.membership.MEMBERS_MAX", 3)
    membership = view(others="bc")
    hear(membership, dead("b"))
    hear(membership, dead("c"))
    hear(membership, alive("d"))
    assert "d" in membership.table


def _count(membership: Membership, counter: str) -> int:
    return membership._counters[counter]


# --- a suspicion that nobody else has heard -------------------------------------------------------


def accusations(membership: Membership) -> list[Message]:
    """Return the accusations that the view gossips until it has no more news."""
    found: list[Message] = []
    while news := spread(membership):
        found += [message for message in news if isinstance(message, Accusation)]
    return found


def test_a_suspicion_that_this_peer_alone_has_signed_is_told_again_while_it_lasts() -> None:
    """The accused's link, or the accuser's, may come and go: else the death would be the first that anybody hears."""
    membership = view(others="bcdef")
    membership.accuse(held(membership, "b").run, 0.0)
    assert accusations(membership)
    shortest_s = LOCAL.suspicion_mult * LOCAL.probe_interval_s
    membership.retell_suspicions(shortest_s - 0.01)
    assert accusations(membership) == []
    membership.retell_suspicions(shortest_s)
    assert suspect("b", by="a") in accusations(membership)
    membership.retell_suspicions(2 * shortest_s - 0.01)
    assert accusations(membership) == []
    membership.retell_suspicions(2 * shortest_s)
    assert suspect("b", by="a") in accusations(membership)


@pytest.mark.parametrize("claim", [suspect("b", by="c"), alive("b", 1)])
def test_a_suspicion_that_others_know_of_or_that_is_over_is_not_told_again(claim: Alive | Accusation) -> None:
    membership = view(others="bcdef")
    membership.accuse(held(membership, "b").run, 0.0)
    hear(membership, claim)
    accusations(membership)
    membership.retell_suspicions(3 * LOCAL.suspicion_mult * LOCAL.probe_interval_s)
    assert accusations(membership) == []


def test_a_suspicion_of_which_this_peer_only_heard_is_left_to_its_accuser() -> None:
    membership = view(others="bcdef")
    hear(membership, suspect("b", by="c"))
    accusations(membership)
    membership.retell_suspicions(3 * LOCAL.suspicion_mult * LOCAL.probe_interval_s)
    assert accusations(membership) == []
