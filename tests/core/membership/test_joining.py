"""How a process becomes a member: read first, then speak. Real nodes at a table."""

from __future__ import annotations

import pytest

from swimstream.config import LOCAL
from swimstream.core.effects import Answer, PeersRecord
from swimstream.core.membership.addresses import SAVE_PAUSE_S
from swimstream.core.membership.joining import ATTEMPT_S
from swimstream.errors import UsageError
from swimstream.events import NameConflict, Superseded
from swimstream.model.identity import Address, Run
from swimstream.model.member import MemberState
from tests.core.lab import Lab


def answers(lab: Lab, name: str) -> list[str]:
    """Return the errors with which the joins of `name` were answered; empty text for success."""
    return [told.what.error for told in lab.told if told.who == name and isinstance(told.what, Answer)]


def test_without_seeds_a_node_is_a_member_at_once() -> None:
    lab = Lab()
    lab.start("a")
    assert answers(lab, "a") == [""]
    assert lab.live("a") == {"a"}


def test_a_newcomer_knows_everybody_when_its_join_is_answered() -> None:
    lab = Lab()
    lab.start_group("abc")
    lab.start("d", seeds=("b",))
    lab.run_until(lambda: bool(answers(lab, "d")))
    assert lab.live("d") == set("abcd")


def test_two_newcomers_that_are_seeds_of_each_other_find_together() -> None:
    lab = Lab()
    lab.start("a", seeds=())
    lab.crash("a")
    lab.start("b", seeds=("a",))
    lab.start("a", host=1, seeds=("b",))
    lab.run_until(lambda: lab.live("a") == lab.live("b") == {"a", "b"})


def test_a_newcomer_is_unknown_until_it_has_read() -> None:
    lab = Lab()
    lab.start("a")
    lab.start("b", seeds=("a",))
    lab.run_for(0.0015)
    assert lab.live("a") == {"a"}
    assert answers(lab, "b") == []


def test_while_every_seed_is_silent_a_node_keeps_trying() -> None:
    lab = Lab()
    lab.start("a")
    lab.crash("a")
    lab.start("b", seeds=("a",))
    lab.run_for(60.0)
    assert answers(lab, "b") == []
    lab.start("a", host=1)
    lab.run_until(lambda: lab.live("b") == {"a", "b"}, limit_s=5.0)


def test_a_seed_that_is_reached_but_does_not_answer_is_given_up_for_the_next() -> None:
    lab = Lab()
    lab.start_group("ab")
    lab.pause("a")
    lab.start("c", seeds=("a", "b"))
    lab.run_until(lambda: bool(answers(lab, "c")), limit_s=2 * ATTEMPT_S)


def test_a_name_that_a_live_worker_has_is_refused() -> None:
    lab = Lab()
    lab.start_group("ab")
    lab.start("b", host=9, seeds=("a",))
    lab.run_for(1.0)
    [_, refusal] = answers(lab, "b")
    assert refusal == "name: 'b' is taken by a live worker at 10.0.0.2:7946 (boot 1001)"


def test_a_namesake_whose_first_answer_is_lost_is_asked_again_before_its_name_is_taken() -> None:
    lab = Lab()
    lab.start_group("abc")
    namesake = lab.seat("b")
    namesake.is_paused = True  # the first question waits, as in a connection that loses its packets
    lab.start("b", host=9, seeds=("a",))
    lab.run_for(0.9 * ATTEMPT_S / 2)
    namesake.mailbox.clear()
    namesake.is_paused = False
    lab.run_for(ATTEMPT_S)
    [_, refusal] = answers(lab, "b")
    assert refusal.startswith("name: 'b' is taken by a live worker")


def conflicts(lab: Lab, run: Run) -> list[str]:
    """Return who was told that `run` goes by its name."""
    return [told.who for told in lab.told if told.what == NameConflict(run)]


def test_both_workers_of_one_name_are_told_of_each_other_once() -> None:
    lab = Lab()
    lab.start_group("ab")
    lab.start("b", host=9, seeds=("a",), boot=5_000)
    lab.run_for(10.0)
    assert conflicts(lab, Run("b", 5_000)) == ["b"]  # to the one that was there
    assert conflicts(lab, Run("b", 1_001)) == ["b"]  # to the one that came


def test_both_are_told_when_two_of_one_name_meet_after_a_partition() -> None:
    lab = Lab()
    lab.start_group("abc")
    old = lab.seat("c").node.run
    lab.isolate("c")
    lab.run_until(lambda: lab.state("a", "c") is MemberState.DEAD)
    new = lab.start("c", host=9, seeds=("a",), boot=2_000).run
    lab.run_for(1.0)
    lab.mend()
    lab.run_until(lambda: bool(conflicts(lab, old)))
    superseded = [told.what.by for told in lab.told if isinstance(told.what, Superseded)]
    assert superseded == [new]


def test_a_restart_in_place_is_no_conflict() -> None:
    lab = Lab()
    lab.start_group("abc")
    old = lab.seat("c").node.run
    lab.crash("c")
    lab.start("c", host=3, seeds=("a",), boot=2_000)
    lab.run_for(10.0)
    assert conflicts(lab, old) == conflicts(lab, Run("c", 2_000)) == []


def test_a_refused_newcomer_leaves_no_trace() -> None:
    lab = Lab()
    lab.start_group("ab")
    lab.start("b", host=9, seeds=("a",))
    lab.run_for(10.0)
    held = lab.member("a", "b")
    assert held is not None
    assert (held.run, held.state, held.incarnation) == (Run("b", 1001), MemberState.ALIVE, 0)
    assert lab.node("b").next_deadline() == float("inf")


def test_a_dead_worker_is_replaced_at_once_from_another_address() -> None:
    lab = Lab()
    lab.start_group("abc")
    lab.crash("c")
    lab.start("c", host=9, seeds=("a",), boot=2_000)
    lab.run_until(lambda: all(_run(lab, who) == Run("c", 2_000) for who in "ab"), limit_s=ATTEMPT_S + 1.0)


def test_a_restart_at_the_same_address_asks_nobody_whether_it_may() -> None:
    lab = Lab()
    lab.start_group("abc")
    lab.start("c", host=3, seeds=("a",), boot=2_000)
    lab.run_until(lambda: all(_run(lab, who) == Run("c", 2_000) for who in "ab"), limit_s=1.0)


@pytest.mark.parametrize("host", [3, 9])
def test_a_newcomer_whose_clock_was_set_back_raises_its_boot_above_its_namesake(host: int) -> None:
    lab = Lab()
    lab.start_group("abc")
    lab.crash("c")
    lab.start("c", host=host, seeds=("a",), boot=5)
    lab.run_until(lambda: all(_boot(lab, who) > 1_002 for who in "ab"), limit_s=ATTEMPT_S + 1.0)


def test_the_boot_is_raised_above_a_namesake_that_is_dead_already() -> None:
    lab = Lab()
    lab.start_group("abc")
    lab.crash("c")
    lab.run_until(lambda: lab.state("a", "c") is MemberState.DEAD)
    lab.start("c", host=9, seeds=("a",), boot=5)
    lab.run_until(lambda: _boot(lab, "b") > 1_002, limit_s=1.0)


def test_a_worker_that_was_only_away_stops_when_a_later_run_has_taken_over() -> None:
    lab = Lab()
    lab.start_group("abc")
    old = lab.seat("c")
    lab.isolate("c")
    lab.run_until(lambda: lab.state("a", "c") is MemberState.DEAD)
    lab.start("c", host=9, seeds=("a",), boot=2_000)
    lab.run_for(1.0)
    lab.mend()
    lab.run_until(lambda: old.node.next_deadline() == float("inf"))
    assert any(isinstance(told.what, Superseded) for told in lab.told)


def test_a_worker_that_was_only_away_finds_back_when_its_successor_has_died() -> None:
    lab = Lab()
    lab.start_group("abc")
    old = lab.seat("c")
    lab.isolate("c")
    lab.run_until(lambda: lab.state("a", "c") is MemberState.DEAD)
    lab.start("c", host=9, seeds=("a",), boot=2_000)
    lab.run_for(1.0)
    lab.crash("c")
    lab.run_until(lambda: lab.state("a", "c") is MemberState.DEAD)
    lab.mend()
    lab.run_for(120.0)
    assert old.node.next_deadline() == float("inf") or lab.state("a", "c") is MemberState.ALIVE


def test_a_worker_whose_kinds_fill_a_datagram_is_refused_for_it_could_never_refute() -> None:
    lab = Lab(timing=LOCAL)
    with pytest.raises(UsageError, match=r"kinds: .* expected at most half of packet_bytes_max"):
        lab.start("a", kinds=64)


def _run(lab: Lab, who: str) -> Run | None:
    member = lab.member(who, "c")
    return member.run if member is not None else None


# --- addresses on the disk ------------------------------------------------------------------------


def remembered(lab: Lab, name: str) -> list[tuple[Address, ...]]:
    """Return what a worker had its disk remember, in order."""
    return [record.addresses for who, record in lab.stored if who == name and isinstance(record, PeersRecord)]


def test_the_live_members_addresses_are_stored_and_stored_again_when_others_live() -> None:
    lab = Lab()
    lab.start_group("abc")
    lab.run_for(3 * SAVE_PAUSE_S)
    assert remembered(lab, "a") == [(lab.seat("b").address, lab.seat("c").address)]
    lab.crash("c")
    lab.run_for(30.0)
    assert remembered(lab, "a")[-1] == (lab.seat("b").address,)


def test_a_worker_that_is_left_alone_keeps_the_addresses_it_has_stored() -> None:
    lab = Lab()
    lab.start_group("ab")
    lab.run_for(2 * SAVE_PAUSE_S)
    lab.crash("b")
    lab.run_for(60.0)
    assert remembered(lab, "a")[-1] == (lab.seat("b").address,)


def test_a_restarted_worker_finds_its_cluster_without_its_seeds() -> None:
    lab = Lab()
    lab.start_group("abc")
    lab.run_for(2 * SAVE_PAUSE_S)
    (peers,) = remembered(lab, "c")
    lab.crash("c")
    lab.start("c", host=3, boot=2_000, peers=peers)
    lab.run_until(lambda: lab.live("c") == set("abc"))


def test_a_restarted_worker_that_finds_nobody_at_first_tries_again() -> None:
    lab = Lab()
    lab.start_group("ab")
    address = lab.seat("b").address
    lab.crash("a")
    lab.crash("b")
    lab.start("a", host=1, boot=2_000, peers=(address,))
    lab.run_for(5.0)
    assert answers(lab, "a") == ["", ""]
    lab.start("b", host=2, boot=2_001)
    lab.run_until(lambda: lab.live("a") == {"a", "b"})


def _boot(lab: Lab, who: str) -> int:
    run = _run(lab, who)
    return run.boot if run is not None else 0
