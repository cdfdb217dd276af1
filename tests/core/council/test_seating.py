"""Which seat comes or goes next: spread, patience, order, and what is never done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.council.seating import GONE_ELECTIONS, STABLE_ELECTIONS, SeatingView, Step, next_step, review_at
from swimstream.core.council.seats import majority
from swimstream.model.changes import COUNCIL_SIZES, Seat
from swimstream.model.identity import Address, Run
from swimstream.model.member import Member, MemberState, Profile
from swimstream.model.plan import Plan
from tests.core.council.peers import MEMORY, seats_of

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = 1_000.0
ELECTION_S = 1.5
STABLE_S = STABLE_ELECTIONS * ELECTION_S
GONE_S = GONE_ELECTIONS * ELECTION_S


def member(
    name: str,
    *,
    state: MemberState = MemberState.ALIVE,
    for_s: float = 500.0,
    site: str = "",
    voter: int = MEMORY,
    speaks: int = 3,
) -> Member:
    """Return a worker that has been in `state` for so long. Its site is its own unless given."""
    profile = Profile(address=Address(name, 1), site=site or f"at-{name}", voter=voter, speaks=speaks)
    accusers = ("z",) if state is MemberState.DEAD else ()
    return Member(
        run=Run(name, voter), incarnation=0, state=state, profile=profile, since=NOW - for_s, accusers=accusers
    )


def dead(name: str, *, for_s: float = 2 * GONE_S) -> Member:
    return member(name, state=MemberState.DEAD, for_s=for_s)


def view(
    council: str, members: Iterable[Member], *, wanted: int = 0, own: str = "a", led_for_s: float = 500.0
) -> SeatingView:
    """Return what the leader `own` sees; of seats that are not among `members` the worker lives."""
    known = {each.run.name: each for each in [*map(member, council), *members]}
    return SeatingView(
        plan=Plan(council=seats_of(council), seats_wanted=wanted),
        members=known,
        own=Seat(own, MEMORY),
        led_since=NOW - led_for_s,
        election_s=ELECTION_S,
        put_off=frozenset(),
        now=NOW,
    )


def brief(step: Step | None) -> str:
    return "" if step is None else f"{'+' if step.is_new else '-'}{step.seat.name}"


# --- replacing ------------------------------------------------------------------------------------


def test_a_council_that_is_as_it_should_be_is_left_alone() -> None:
    assert next_step(view("abc", [member("d"), member("e")])) is None


def test_the_new_seat_comes_before_the_dead_one_goes() -> None:
    assert brief(next_step(view("abc", [dead("c"), member("d")]))) == "+d"
    assert brief(next_step(view("abcd", [dead("c")], wanted=3))) == "-c"


def test_a_step_carries_its_reason_and_evidence() -> None:
    step = next_step(view("abc", [dead("c"), member("d")]))
    assert step is not None
    assert step.reason == f"in the place of c: declared dead more than {GONE_S:.0f} s ago"
    assert step.evidence == ("seen by z",)


def test_a_dead_seat_stays_while_there_is_nobody_for_its_place() -> None:
    assert next_step(view("abc", [dead("c")])) is None


@pytest.mark.parametrize("state", [MemberState.DEAD, MemberState.LEFT])
@pytest.mark.parametrize(("for_s", "step"), [(GONE_S - 0.1, ""), (GONE_S, "+d")])
def test_a_gone_seat_is_replaced_after_a_stated_time(state: MemberState, for_s: float, step: str) -> None:
    assert brief(next_step(view("abc", [member("c", state=state, for_s=for_s), member("d")]))) == step


def test_a_suspicion_replaces_nobody() -> None:
    assert next_step(view("abc", [member("c", state=MemberState.SUSPECT), member("d")])) is None


@pytest.mark.parametrize(("led_for_s", "step"), [(GONE_S - 0.1, ""), (GONE_S, "+d")])
def test_a_seat_that_was_never_seen_counts_as_gone_from_the_leaders_election_on(led_for_s: float, step: str) -> None:
    seen = view("abc", [member("d")], led_for_s=led_for_s)
    unseen = attrs.evolve(seen, members={name: each for name, each in seen.members.items() if name != "c"})
    assert brief(next_step(unseen)) == step


def test_a_worker_without_its_memory_gets_a_new_seat_at_once_and_loses_the_old_one() -> None:
    back = member("c", voter=MEMORY + 1)
    step = next_step(view("abc", [back]))
    assert step is not None
    assert (step.is_new, step.seat) == (True, Seat("c", MEMORY + 1))
    both = view("abc", [back], wanted=3)
    council = tuple(sorted([*seats_of("abc"), Seat("c", MEMORY + 1)]))
    step = next_step(attrs.evolve(both, plan=attrs.evolve(both.plan, council=council)))
    assert step is not None
    assert (step.is_new, step.seat) == (False, Seat("c", MEMORY))


def test_an_older_record_of_a_worker_is_no_loss_of_memory() -> None:
    assert next_step(view("abc", [member("c", voter=MEMORY - 1), member("d")], led_for_s=1.0)) is None


@pytest.mark.parametrize("reachable", ["ab", "abc"])
def test_nothing_moves_without_a_live_majority_of_the_present_seats(reachable: str) -> None:
    gone = [dead(name) for name in "abcde" if name not in reachable]
    step = next_step(view("abcde", [*gone, member("f"), member("g")]))
    assert (step is not None) is (len(reachable) >= 3)


def test_the_leader_counts_itself_whatever_others_suspect() -> None:
    suspected = member("a", state=MemberState.SUSPECT)
    assert brief(next_step(view("abc", [suspected, dead("c"), member("d")]))) == "+d"


def test_a_suspected_voter_does_not_count_for_the_live_majority() -> None:
    shaky = member("b", state=MemberState.SUSPECT)
    assert next_step(view("abc", [shaky, dead("c"), member("d")])) is None


# --- who gets a seat ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "step"),
    [
        (member("d", for_s=STABLE_S - 0.1), ""),
        (member("d", for_s=STABLE_S), "+d"),
        (member("d", state=MemberState.SUSPECT), ""),
        (member("d", state=MemberState.LEFT), ""),
        (member("d", voter=0), ""),
    ],
)
def test_a_seat_goes_only_to_who_has_been_alive_for_a_stated_time(candidate: Member, step: str) -> None:
    assert brief(next_step(view("abc", [dead("c"), candidate]))) == step


def test_no_council_changes_while_somebody_could_not_read_of_it() -> None:
    assert next_step(view("abc", [dead("c"), member("d"), member("e", speaks=2)])) is None


def test_who_is_dead_need_not_read_of_it() -> None:
    gone = attrs.evolve(dead("c"), profile=attrs.evolve(dead("c").profile, speaks=1))
    assert brief(next_step(view("abc", [gone, member("d")]))) == "+d"


def test_who_was_put_off_is_passed_over() -> None:
    seen = view("abc", [dead("c"), member("d"), member("e")])
    assert brief(next_step(attrs.evolve(seen, put_off=frozenset(seats_of("d"))))) == "+e"


def test_a_seat_goes_to_the_site_that_has_the_fewest() -> None:
    sites = [member("a", site="x"), member("b", site="y"), dead("c"), member("d", site="x"), member("e", site="z")]
    assert brief(next_step(view("abc", sites))) == "+e"


def test_the_site_of_a_dead_seat_counts_as_free() -> None:
    gone = attrs.evolve(dead("c"), profile=attrs.evolve(dead("c").profile, site="z"))
    sites = [member("a", site="x"), member("b", site="y"), gone, member("d", site="y"), member("e", site="z")]
    assert brief(next_step(view("abc", sites))) == "+e"


# --- growing and shrinking ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("council", "spare", "step"),
    [("a", "b", ""), ("a", "bc", "+b"), ("ab", "c", "+c"), ("abc", "d", ""), ("abc", "de", "+d"), ("abcd", "e", "+e")],
)
def test_a_council_grows_only_to_an_odd_number(council: str, spare: str, step: str) -> None:
    assert brief(next_step(view(council, map(member, spare), wanted=5))) == step


def test_a_council_that_was_never_resized_keeps_the_size_of_its_founding() -> None:
    assert next_step(view("a", map(member, "bcde"))) is None


def test_shrinking_takes_the_dead_first() -> None:
    assert brief(next_step(view("abcde", [dead("b")], wanted=3))) == "-b"


def test_shrinking_takes_from_the_fullest_site() -> None:
    sites = [member(name, site="x" if name in "bc" else name) for name in "abcde"]
    assert brief(next_step(view("abcde", sites, wanted=3))) == "-c"


def test_shrinking_spares_the_leader() -> None:
    sites = [member(name, site="x" if name in "de" else name) for name in "abcde"]
    assert brief(next_step(view("abcde", sites, wanted=3, own="e"))) == "-d"
    assert brief(next_step(view("abc", [], wanted=1, own="c"))) == "-b"


def test_an_even_council_with_a_dead_seat_and_nobody_to_add_becomes_odd() -> None:
    assert brief(next_step(view("abcd", [dead("d")], wanted=5))) == "-d"


@pytest.mark.parametrize("council", ["ab", "abc"])
def test_no_council_gets_smaller_than_three_by_itself(council: str) -> None:
    assert next_step(view(council, [dead(council[-1])], wanted=3)) is None


def test_an_odd_council_keeps_its_dead_seat_while_there_is_nobody_for_its_place() -> None:
    """With four seats of five as many voters are needed for a majority, and one failure less is survived."""
    assert next_step(view("abcde", [dead("e")])) is None


def test_an_even_council_that_lives_and_has_nobody_to_add_is_left_alone() -> None:
    assert next_step(view("abcd", [], wanted=5)) is None


def test_shrinking_takes_a_suspect_before_who_is_alive() -> None:
    assert brief(next_step(view("abcde", [member("b", state=MemberState.SUSPECT)], wanted=3))) == "-b"


def test_a_removal_says_what_happened_to_the_seat_or_where_there_is_one_too_many() -> None:
    removed = next_step(view("abcd", [dead("c")], wanted=3))
    spare = next_step(view("abcd", [member("b", site="x"), member("d", site="x")], wanted=3))
    assert removed is not None
    assert spare is not None
    assert removed.reason == f"declared dead more than {GONE_S:.0f} s ago"
    assert (spare.seat.name, spare.reason) == ("d", "one seat too many, and site 'x' has 2")


def test_an_older_record_of_a_voter_is_given_no_second_seat() -> None:
    seen = view("abcde", [dead("e")], led_for_s=10.0)
    council = (*seats_of("ab"), Seat("c", MEMORY + 1), *seats_of("de"))
    assert next_step(attrs.evolve(seen, plan=attrs.evolve(seen.plan, council=council))) is None


@pytest.mark.parametrize("state", [MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT])
def test_who_is_not_alive_gets_no_seat_though_the_rest_would_be_a_majority_with_it(state: MemberState) -> None:
    assert next_step(view("abcde", [dead("e"), member("f", state=state)])) is None


def test_what_is_due_now_is_not_looked_at_again() -> None:
    """Otherwise a leader would look again at once, for ever."""
    assert review_at(view("abc", [member("d", for_s=STABLE_S)])) == float("inf")


def test_one_seat_is_left_if_that_is_what_was_asked_for() -> None:
    assert brief(next_step(view("abc", [], wanted=1))) == "-c"
    assert brief(next_step(view("ab", [], wanted=1))) == "-b"
    assert next_step(view("a", [member("b")], wanted=1)) is None


# --- for any cluster ------------------------------------------------------------------------------

states = st.sampled_from([MemberState.ALIVE, MemberState.ALIVE, MemberState.SUSPECT, MemberState.DEAD])
workers = st.builds(
    lambda state, for_s, site, voter: (state, for_s, site, voter),
    states,
    st.sampled_from([1.0, 500.0]),
    st.sampled_from("xyz"),
    st.sampled_from([MEMORY, MEMORY, MEMORY + 1]),
)
clusters = st.lists(workers, min_size=1, max_size=9)


def any_view(cluster: list[tuple[MemberState, float, str, int]], seats: int, wanted: int) -> SeatingView:
    names = "abcdefghi"[: len(cluster)]
    members = [
        member(name, state=state, for_s=for_s, site=site, voter=voter)
        for name, (state, for_s, site, voter) in zip(names, cluster, strict=True)
    ]
    return view(names[: min(seats, len(names))], [member("a"), *members[1:]], wanted=wanted)


@given(clusters, st.integers(1, 8), st.sampled_from(COUNCIL_SIZES))
def test_every_step_leaves_a_live_majority_and_changes_one_seat(
    cluster: list[tuple[MemberState, float, str, int]], seats: int, wanted: int
) -> None:
    seen = any_view(cluster, seats, wanted)
    step = next_step(seen)
    if step is not None:
        council = seen.plan.council
        after = step.change(council).council
        assert len(set(after) ^ set(council)) == 1
        assert list(after) == sorted(after)
        for each in (council, after):
            assert sum(map(seen.is_alive, each)) >= majority(each)


@given(clusters, st.integers(1, 8), st.sampled_from(COUNCIL_SIZES))
def test_the_steps_come_to_an_end(cluster: list[tuple[MemberState, float, str, int]], seats: int, wanted: int) -> None:
    seen = any_view(cluster, seats, wanted)
    for _ in range(20):
        step = next_step(seen)
        if step is None:
            return
        seen = attrs.evolve(seen, plan=attrs.evolve(seen.plan, council=step.change(seen.plan.council).council))
    raise AssertionError("seats come and go without end")


@given(clusters, st.integers(1, 8), st.sampled_from(COUNCIL_SIZES))
def test_nothing_new_comes_up_before_the_time_to_look_again(
    cluster: list[tuple[MemberState, float, str, int]], seats: int, wanted: int
) -> None:
    seen = any_view(cluster, seats, wanted)
    at = min(review_at(seen), NOW + 10 * GONE_S)
    assert at > NOW
    assert next_step(attrs.evolve(seen, now=NOW + 0.999 * (at - NOW))) == next_step(seen)
