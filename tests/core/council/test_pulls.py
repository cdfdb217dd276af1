"""Following by pulls: how everybody without a seat, and a voter that was cut off, gets the committed plan."""

from __future__ import annotations

from swimstream.core.council.log import COMPACT_AFTER, ENTRIES_PER_MESSAGE_MAX
from swimstream.core.council.standing import Role
from swimstream.core.effects import Persist, Saved
from swimstream.wire.council_messages import PlanEntries, PlanPull, Snapshot, VoteReply
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Sent,
    Table,
    append,
    entry,
    founding,
    mark,
    plan_after,
    run_of,
    saved_after,
)
from tests.core.council.test_elections import become_candidate

LATER = 100.0


def test_who_has_no_seat_follows_by_marks() -> None:
    table = Table("abc", seatless="z")
    table.elect("a")
    table.propose("a", "x", "y")
    table.deliver()
    table.tell_marks("a", "z")
    assert table["z"].plan == table["a"].plan
    assert table["z"].mark.leader == "a"


def test_anyone_who_has_the_plan_can_give_it() -> None:
    table = Table("abc", seatless="yz")
    table.elect("a")
    table.tell_marks("a", "y")
    table.tell_marks("y", "z")
    assert table["z"].plan == table["a"].plan


def test_only_what_is_committed_is_given() -> None:
    table = Table("abc", seatless="z")
    table.elect("a")
    table.cut = {"b", "c"}
    table.propose("a", "x")
    table.deliver()
    table.peers["a"].hear("z", PlanPull(index=1), table.now)
    (answer,) = table.peers["a"].said()
    assert isinstance(answer, PlanEntries)
    assert answer.entries[-1].index == 2


def test_who_is_not_ahead_gives_nothing() -> None:
    table = Table("abc")
    table.elect("a")
    for index in (2, 3, 10**9):
        table.peers["a"].hear("z", PlanPull(index=index), table.now)
    assert table.peers["a"].said() == []


def test_who_is_far_behind_gets_the_whole_plan() -> None:
    log = [founding("abc"), *(entry(index, 1) for index in range(2, COMPACT_AFTER + 100))]
    table = Table("abc", entries=log, seatless="z")
    table.elect("a")
    table.tell_marks("a", "z")
    assert table["z"].plan == table["a"].plan
    assert table["z"].log.base.index == table["a"].log.commit


def test_an_answer_carries_a_bounded_number_of_entries_and_the_next_mark_asks_for_more() -> None:
    count = 2 * ENTRIES_PER_MESSAGE_MAX + 10
    table = Table("abc", entries=[founding("abc"), *(entry(index, 1) for index in range(2, count))])
    table.peers["z"] = Peer("z", Saved(voter=MEMORY, plan=plan_after([founding("abc")])))
    table.elect("a")
    table.tell_marks("a", "z")
    assert table["z"].log.commit == 1 + ENTRIES_PER_MESSAGE_MAX
    for _ in range(2):
        table.tell_marks("a", "z")
    assert table["z"].plan == table["a"].plan


def test_nothing_is_asked_of_who_is_not_ahead() -> None:
    table = Table("abc")
    table.elect("a")
    table.now += ELECTION_S
    table["b"].hear_mark(run_of("c"), mark(table["b"].log.commit), table.now)
    assert table.peers["b"].said() == []


def test_a_voter_that_hears_its_leader_does_not_ask_others() -> None:
    table = Table("abc")
    table.elect("a")
    table["b"].hear_mark(run_of("z"), mark(99), table.now)
    assert table.peers["b"].said() == []


def test_a_voter_that_no_longer_hears_its_leader_asks_others() -> None:
    table = Table("abc")
    table.elect("a")
    table["b"].hear_mark(run_of("c"), mark(99), table.now + 2 * HEARTBEAT_S)
    assert table.peers["b"].said() == [PlanPull(index=2)]


def test_one_pull_is_open_at_a_time() -> None:
    peer = Peer("z", saved_after([], term=0))
    for _ in range(10):
        peer.council.hear_mark(run_of("a"), mark(5), 1.0)
    assert peer.said() == [PlanPull(index=0)]
    peer.council.hear_mark(run_of("a"), mark(5), 1.0 + HEARTBEAT_S)
    assert peer.said() == [PlanPull(index=0)]


def test_the_next_pull_may_follow_an_answer_at_once() -> None:
    peer = Peer("z", saved_after([], term=0))
    peer.council.hear_mark(run_of("a"), mark(5), 1.0)
    peer.hear("a", PlanEntries(entries=(founding("abc"),)), 1.1)
    peer.take()
    peer.council.hear_mark(run_of("a"), mark(5), 1.1)
    assert peer.said() == [PlanPull(index=1)]


def test_a_pull_ends_a_candidacy() -> None:
    """Its votes were given to the log that it had before; see the module docstring of the council."""
    peer = Peer("a", saved_after([founding("abc")]))
    become_candidate(peer, LATER)
    peer.hear("z", PlanEntries(entries=(founding("abc"), entry(2, 2))), LATER)
    peer.take()
    assert peer.council.role is Role.FOLLOWER
    peer.hear("b", VoteReply(term=2, voter=MEMORY, granted=True, pre=False), LATER)
    assert not peer.council.is_leader


def test_a_pulled_snapshot_ends_a_candidacy() -> None:
    peer = Peer("a", saved_after([founding("abc")]))
    become_candidate(peer, LATER)
    plan = plan_after([founding("abc"), entry(2, 2)])
    peer.hear("z", Snapshot(term=2, voter=MEMORY, round=0, plan=plan), LATER)
    assert [type(effect) for effect in peer.outbox.done if isinstance(effect, Sent)] == []
    peer.take()
    assert (peer.council.role, peer.council.plan) == (Role.FOLLOWER, plan)


def test_a_pull_ends_a_pre_candidacy_too() -> None:
    peer = Peer("a", saved_after([founding("abc")]))
    peer.council.fire_timers(LATER)
    peer.take()
    peer.hear("z", PlanEntries(entries=(founding("abc"),)), LATER)
    peer.take()
    for voter in "bc":
        peer.hear(voter, VoteReply(term=2, voter=MEMORY, granted=True, pre=True), LATER)
    assert peer.council.role is Role.FOLLOWER


def test_a_pull_that_brings_nothing_new_ends_nothing() -> None:
    table = Table("abc")
    table.elect("a")
    table.peers["a"].hear("z", PlanEntries(entries=(founding("abc"),)), table.now)
    assert table["a"].is_leader


def test_a_gap_is_not_filled_but_asked_for_again() -> None:
    peer = Peer("z", saved_after([], term=0))
    peer.hear("a", PlanEntries(entries=(entry(3, 1), entry(4, 1))), LATER)
    assert (peer.said(), peer.council.log.last_index) == ([], 0)
    peer.council.hear_mark(run_of("a"), mark(4), LATER)
    assert peer.said() == [PlanPull(index=0)]


def test_pulled_entries_replace_a_tail_that_was_never_committed() -> None:
    peer = Peer("a", saved_after([founding("abc"), entry(2, 1), entry(3, 1)]))
    peer.hear("z", PlanEntries(entries=(founding("abc"), entry(2, 2))), LATER)
    peer.take()
    assert peer.entries() == (entry(2, 2),)
    assert peer.council.log.commit == 2


def test_pulled_entries_keep_a_tail_that_agrees() -> None:
    """It may have been acked to a leader that counts on it."""
    log = [founding("abc"), entry(2, 1), entry(3, 1)]
    peer = Peer("a", saved_after(log))
    peer.hear("z", PlanEntries(entries=tuple(log[:2])), LATER)
    peer.take()
    assert (peer.entries(), peer.council.log.commit) == (tuple(log[1:]), 2)


def test_pulled_entries_are_on_disk_like_any_others() -> None:
    peer = Peer("z", saved_after([], term=0))
    peer.hear("a", PlanEntries(entries=(founding("abc"), entry(2, 3))), LATER)
    assert {type(effect) for effect in peer.outbox.done} == {Persist}
    peer.take()
    peer.start(LATER)
    assert (peer.council.log.last_index, peer.council.term) == (2, 3)


def test_pulled_entries_never_change_what_is_committed() -> None:
    table = Table("abc")
    table.elect("a")
    peer = table.peers["b"]
    peer.hear("z", PlanEntries(entries=(founding("abc"), entry(2, 1), entry(3, 2))), table.now)
    assert peer.counters["protocol_violations"] == 1
    assert peer.entries() == table.peers["a"].entries()


def test_a_mark_tells_who_leads() -> None:
    peer = Peer("z", saved_after([], term=0))
    peer.council.hear_mark(run_of("b"), mark(0, leader="a", term=3), LATER)
    assert (peer.council.mark.leader, peer.council.mark.term) == ("a", 3)


def test_an_older_mark_takes_back_nothing() -> None:
    peer = Peer("z", saved_after([], term=0))
    peer.council.hear_mark(run_of("b"), mark(0, leader="a", term=3), LATER)
    peer.council.hear_mark(run_of("c"), mark(0, leader="b", term=2), LATER)
    peer.council.hear_mark(run_of("c"), mark(0, leader="", term=3), LATER)
    assert (peer.council.mark.leader, peer.council.mark.term) == ("a", 3)


def test_a_mark_raises_nobodys_term() -> None:
    """Marks come from anyone; only messages of the council move Raft's term."""
    peer = Peer("b", saved_after([founding("abc")]))
    peer.council.hear_mark(run_of("c"), mark(0, leader="a", term=9), LATER)
    assert peer.council.term == 1


def test_a_leader_pulls_from_nobody() -> None:
    table = Table("abc")
    table.elect("a")
    table["a"].hear_mark(run_of("z"), mark(99), LATER * 10)
    assert table.peers["a"].said() == []


def test_a_pulled_entry_of_a_newer_term_deposes_a_leader_that_was_cut_off() -> None:
    table = Table("abc")
    table.elect("a")
    old = table.peers["a"]
    newer = PlanEntries(entries=(entry(3, 5),))
    old.hear("z", newer, table.now)
    old.take()
    assert (old.council.is_leader, old.council.term, old.council.log.commit) == (False, 5, 3)


def test_the_log_of_a_voter_that_pulled_still_takes_the_leaders_entries() -> None:
    peer = Peer("b", saved_after([founding("abc")]))
    peer.hear("z", PlanEntries(entries=(founding("abc"), entry(2, 2))), LATER)
    peer.take()
    peer.hear("a", append(2, [entry(3, 2)], prev=(2, 2), commit=3), LATER)
    peer.take()
    assert peer.council.log.commit == 3
