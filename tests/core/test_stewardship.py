"""Whole nodes: seats that are replaced, councils that grow, shrink, hand over and are put in a lost one's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swimstream.config import LAN
from swimstream.core.council.council import Council
from swimstream.core.council.seating import GONE_ELECTIONS, STABLE_ELECTIONS
from swimstream.core.council_commands import COMMANDS_MAX
from swimstream.core.stewardship import LEARN_ELECTIONS
from tests.core.town import Town, job

if TYPE_CHECKING:
    from swimstream.model.changes import Seat

GONE_S = GONE_ELECTIONS * LAN.election_timeout_s_min
STABLE_S = STABLE_ELECTIONS * LAN.election_timeout_s_min


def seats(town: Town, asker: str = "a") -> str:
    return "".join(seat.name for seat in town.node(asker).plan.council)


def all_hold(town: Town, council: str) -> bool:
    """Return whether everybody who is up and can be reached has that council committed."""
    reached = [name for name, citizen in town.citizens.items() if citizen.is_up and name not in town.cut]
    return all(seats(town, name) == council for name in reached)


def led_town(names: str, *, expect: int | None = None, late: str = "") -> tuple[Town, str]:
    """Return a town that has a leader, to which `late` come after the founding."""
    town = Town(names, expect=expect)
    town.run_until_led()
    for name in late:
        town.settle_in(name)
    return town, town.run_until_led()


# --- replacing ------------------------------------------------------------------------------------


def test_a_dead_seat_goes_to_another_worker_by_itself() -> None:
    town, leader = led_town("abc", late="d")
    dead = next(name for name in "cb" if name != leader)
    town.crash(dead)
    rest = "".join(sorted(set("abcd") - {dead}))
    town.run_until(lambda: all_hold(town, rest), limit_s=3 * GONE_S)
    reasons = [decision.reason for decision in town.node("d").plan.decisions if decision.what.startswith("council")]
    assert f"in the place of {dead}: declared dead more than {GONE_S:.0f} s ago" in reasons


def test_the_council_never_gets_smaller_while_a_seat_is_replaced() -> None:
    town, leader = led_town("abc", late="d")
    dead = next(name for name in "cb" if name != leader)
    town.crash(dead)
    sizes: set[int] = set()

    def replaced() -> bool:
        sizes.update(len(town.node(name).plan.council) for name in "abcd" if name != dead)
        return dead not in seats(town, leader)

    town.run_until(replaced, limit_s=3 * GONE_S)
    assert sizes == {3, 4}


def test_the_new_seat_votes() -> None:
    town, leader = led_town("abc", late="d")
    dead = next(name for name in "cb" if name != leader)
    town.crash(dead)
    rest = "".join(sorted(set("abcd") - {dead}))
    town.run_until(lambda: all_hold(town, rest), limit_s=3 * GONE_S)
    town.crash(leader)
    second = town.run_until_led()
    assert second in set(rest) - {leader}  # two of three, one of them new
    term = town.node(second).mark.term
    town.submit(second, spec := job())
    town.run_until(lambda: spec.name in town.node("d").plan.jobs, limit_s=30.0)
    assert town.node("d").mark.term == term


def test_a_worker_that_lost_its_memory_gets_a_seat_beside_its_old_one_which_then_goes() -> None:
    town, leader = led_town("abc")
    name = next(each for each in "cb" if each != leader)
    before = town.node(leader).plan.council
    town.crash(name)
    town.settle_in(name)
    town.run_until(lambda: all_hold(town, "abc") and town.node(leader).plan.council != before, limit_s=3 * STABLE_S)
    old = next(seat for seat in before if seat.name == name)
    whats = [decision.what for decision in town.node(leader).plan.decisions]
    doubled = f"council: {', '.join(sorted(['a', 'b', 'c', name]))}"
    assert doubled in whats
    assert old not in town.node(leader).plan.council
    assert town.node(name)._rooms.council.has_seat


def test_a_minority_that_holds_the_others_for_dead_changes_nothing() -> None:
    town, leader = led_town("abcde", late="fg")
    town.cut = {leader, next(name for name in "abcde" if name != leader), "f", "g"}
    inside = sorted(town.cut)
    for name in "abcde":
        if name not in town.cut:
            town.crash(name)
    town.cut = set()
    town.run_for(4 * GONE_S)
    assert {seats(town, name) for name in inside} == {"abcde"}


def test_nobody_gets_a_seat_before_it_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    town, leader = led_town("abc", late="de")
    dead = next(name for name in "cb" if name != leader)
    learners = set()

    def never(_: Council, seat: Seat, now: float) -> bool:  # the signature of is_level
        learners.add(seat.name)
        return False

    monkeypatch.setattr(Council, "is_level", never)
    town.crash(dead)
    town.run_for(GONE_S + 2.5 * LEARN_ELECTIONS * LAN.election_timeout_s_min)
    assert seats(town, leader) == "abc"
    assert learners == {"d", "e"}
    assert town.node(leader).counters()["learners_given_up"] == 2


# --- growing and shrinking ------------------------------------------------------------------------


@pytest.mark.parametrize("asker", ["leader", "follower"])
def test_a_council_grows_to_what_was_asked_for(asker: str) -> None:
    town, leader = led_town("a", late="bcd")
    town.node(leader if asker == "leader" else "d").resize_council(7, 3, now=town.now)
    town.run_until(lambda: len(seats(town)) == 3, limit_s=4 * STABLE_S)
    assert (town[leader] if asker == "leader" else town["d"]).answers[7] == ""


def test_a_council_shrinks_to_what_was_asked_for_and_the_leader_stays() -> None:
    town, leader = led_town("abcde")
    town.node("b").resize_council(7, 1, now=town.now)
    town.run_until(lambda: all_hold(town, leader), limit_s=30.0)
    assert town.node(leader).is_leader
    assert town["b"].answers[7] == ""


def test_a_size_that_no_council_has_is_refused_here() -> None:
    town, _ = led_town("abc")
    town.node("b").resize_council(7, 4, now=town.now)
    town.carry_out()
    assert town["b"].answers[7] == "seats: expected one of 1, 3, 5, 7, got 4"


def test_who_lost_its_seat_disturbs_nobody() -> None:
    town, leader = led_town("abcde")
    town.node("b").resize_council(7, 3, now=town.now)
    town.run_until(lambda: len(seats(town, leader)) == 3 and all_hold(town, seats(town, leader)), limit_s=30.0)
    term = town.node(leader).mark.term
    town.run_for(20 * LAN.election_timeout_s_min)
    assert {town.node(name).mark.term for name in "abcde"} == {term}


# --- another leader -------------------------------------------------------------------------------


@pytest.mark.parametrize("asks_leader", [True, False])
def test_leadership_goes_where_a_person_wants_it(*, asks_leader: bool) -> None:
    town, leader = led_town("abc")
    heir, third = sorted(set("abc") - {leader})
    asker = leader if asks_leader else third
    term = town.node(leader).mark.term
    town.node(asker).transfer_leadership(7, heir, now=town.now)
    town.run_until(lambda: 7 in town[asker].answers, limit_s=10.0)
    assert town[asker].answers[7] == ""
    assert town.leader() == heir
    assert town.node(heir).mark.term == term + 1


def test_leadership_goes_to_nobody_without_a_seat() -> None:
    town, leader = led_town("abc", late="d")
    town.node("b").transfer_leadership(7, "d", now=town.now)
    town.run_until(lambda: 7 in town["b"].answers, limit_s=10.0)
    assert town["b"].answers[7] == "leader: expected a worker with a seat (a, b, c), got 'd'"
    assert town.leader() == leader


def test_a_transfer_to_who_does_not_answer_is_given_up_and_told() -> None:
    town, leader = led_town("abcde")
    heir = next(name for name in "edc" if name != leader)
    town.cut = {heir}
    town.node(leader).transfer_leadership(7, heir, now=town.now)
    town.run_until(lambda: 7 in town[leader].answers, limit_s=60.0)
    assert town[leader].answers[7].startswith("leader: ")
    assert town.leader() == leader


# --- a council that is lost -----------------------------------------------------------------------


def lost_town() -> tuple[Town, str]:
    """Return a town of five whose council of three has lost two seats, and who is left of it."""
    town, _ = led_town("abc", late="de")
    for name in "ab":
        town.crash(name)
    town.run_for(GONE_S)
    return town, "c"


def test_a_worker_goes_on_alone_when_a_person_says_that_the_council_is_lost() -> None:
    town, name = lost_town()
    assert not town.leader()
    before = town.node(name).mark.term
    town.node(name).recover_council(7, town.node(name).plan.cluster_id, now=town.now)
    town.carry_out()
    assert town[name].answers[7] == ""
    assert town.node(name).is_leader
    assert town.node(name).mark.term > before + 1_000
    assert any("declared by a person at c" in each.reason for each in town.node(name).plan.decisions)


def test_everybody_follows_a_recovered_council_which_grows_back() -> None:
    town, name = lost_town()
    town.node(name).recover_council(7, town.node(name).plan.cluster_id, now=town.now)
    town.run_until(lambda: all_hold(town, "cde"), limit_s=6 * STABLE_S)
    town.submit("e", spec := job())
    town.run_until(lambda: spec.name in town.node("d").plan.jobs, limit_s=10.0)


def test_a_worker_without_a_seat_can_recover_the_council() -> None:
    town, _ = lost_town()
    town.crash("c")
    town.run_for(GONE_S)
    town.node("d").recover_council(7, town.node("d").plan.cluster_id, now=town.now)
    town.carry_out()
    assert (town["d"].answers[7], town.leader()) == ("", "d")


def test_a_lost_seat_that_comes_back_follows_the_recovered_council() -> None:
    town, name = lost_town()
    disk = town["a"].disk
    town.node(name).recover_council(7, town.node(name).plan.cluster_id, now=town.now)
    town.run_until(lambda: all_hold(town, "cde"), limit_s=6 * STABLE_S)
    town.settle_in("a", disk=disk)
    town.run_until(lambda: all_hold(town, "cde"), limit_s=30.0)
    assert town.leader() == name


def test_a_recovery_needs_the_clusters_id() -> None:
    town, name = lost_town()
    town.node(name).recover_council(7, 1, now=town.now)
    town.carry_out()
    assert town[name].answers[7].startswith("cluster: expected the id of this cluster")
    assert not town.leader()


def test_a_council_that_has_a_leader_is_not_recovered() -> None:
    town, leader = led_town("abc", late="d")
    for name in "abcd":
        town.node(name).recover_council(7, town.node(name).plan.cluster_id, now=town.now)
    town.carry_out()
    answers = {name: town[name].answers[7] for name in "abcd"}
    assert {answers[name] for name in "abc"} == {"council: it has a leader that a majority follows"}
    assert answers["d"].startswith("council: a majority of "), "who has no seat knows of that as well"
    assert town.leader() == leader


def test_a_worker_that_is_no_member_recovers_nothing() -> None:
    town, name = lost_town()
    town.node(name).leave(5, now=town.now)
    town.node(name).recover_council(7, town.node(name).plan.cluster_id, now=town.now)
    town.run_until(lambda: 5 in town[name].answers, limit_s=5.0)
    town.node(name).recover_council(8, town.node(name).plan.cluster_id, now=town.now)
    town.carry_out()
    assert (town[name].answers[7], town[name].answers[8]) == (
        "council: this worker is no member, and would lead nobody",
        "council: this worker takes part no more",
    )
    assert not any(each.what.startswith("council put") for each in town.node(name).plan.decisions)


def test_commands_that_wait_are_answered_when_the_worker_leaves() -> None:
    town, name = lost_town()
    town.node(name).resize_council(6, 5, now=town.now)
    town.node(name).transfer_leadership(7, "d", now=town.now)
    town.node(name).leave(5, now=town.now)
    town.run_until(lambda: 5 in town[name].answers, limit_s=5.0)
    assert town[name].answers[6] == town[name].answers[7] == "council: this worker takes part no more"


def test_leadership_goes_to_nobody_that_is_not_known() -> None:
    town, _ = led_town("abc")
    town.node("b").transfer_leadership(7, "nobody", now=town.now)
    assert _answer(town, "b") == "leader: expected the name of a worker that is known here, got 'nobody'"


def test_only_so_many_commands_wait() -> None:
    town, name = lost_town()
    for request in range(100, 100 + COMMANDS_MAX + 1):
        town.node(name).resize_council(request, 5, now=town.now)
    town.carry_out()
    assert list(town[name].answers)[1:] == [100 + COMMANDS_MAX]


def _answer(town: Town, name: str) -> str:
    town.carry_out()
    return town[name].answers[7]
