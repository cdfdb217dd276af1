"""The small print of following and leading: each claim is of a condition that could be changed unnoticed."""

from __future__ import annotations

from swimstream.core.council.standing import Role
from swimstream.core.effects import Saved, VoteRecord
from swimstream.wire.council_messages import AppendReply, Snapshot
from tests.core.council.peers import (
    MEMORY,
    Peer,
    Table,
    answers,
    append,
    entry,
    founding,
    plan_after,
    saved_after,
)
from tests.core.council.test_elections import become_candidate

LATER = 100.0


def test_entries_that_begin_before_what_is_compacted_are_taken() -> None:
    """What is compacted is committed, so it agrees though its terms are forgotten here."""
    log = [founding("abc"), *(entry(index, 1) for index in range(2, 6))]
    peer = Peer("b", Saved(voter=MEMORY, vote=VoteRecord(1, "", 0), plan=plan_after(log)))
    peer.hear("a", append(1, [*log[2:], entry(6, 1)], prev=(1, 2), commit=6), LATER)
    assert [(each.success, each.index) for each in answers(peer)] == [(True, 6)]
    assert peer.council.log.commit == 6


def test_a_plan_that_was_asked_for_is_taken_from_who_is_in_an_older_term() -> None:
    """What is committed stays true; that the giver has not heard of a newer term takes nothing from it."""
    peer = Peer("a", saved_after([founding("abc")], term=7))
    plan = plan_after([founding("abc"), entry(2, 2)])
    peer.hear("z", Snapshot(term=2, voter=MEMORY, round=0, plan=plan), LATER)
    assert not any(isinstance(message, AppendReply) for message in peer.said())
    assert (peer.council.plan, peer.council.term) == (plan, 7)


def test_who_gives_a_plan_is_not_taken_for_the_leader() -> None:
    peer = Peer("a", saved_after([founding("abc")], term=2))
    plan = plan_after([founding("abc"), entry(2, 2)])
    peer.hear("z", Snapshot(term=2, voter=MEMORY, round=0, plan=plan), LATER)
    peer.take()
    assert peer.council.mark.leader == ""


def test_who_hears_its_leader_does_not_campaign() -> None:
    table = Table("abc")
    table.elect("a")
    for _ in range(40):
        table.beat("a")
        table["b"].fire_timers(table.now)
        assert table["b"].role is Role.FOLLOWER
    assert table.peers["b"].said() == []


def test_a_campaign_waits_for_answers_before_it_is_begun_anew() -> None:
    peer = Peer("a", saved_after([founding("abc")]))
    peer.council.fire_timers(LATER)
    assert len(peer.said()) == 2
    peer.council.fire_timers(LATER)
    assert peer.said() == []


def test_a_candidate_has_a_whole_timeout_of_its_own_however_late_the_pre_votes_came() -> None:
    peer = Peer("a", saved_after([founding("abc")]))
    peer.council.fire_timers(LATER)
    late = peer.council.next_deadline()
    become_candidate(peer, late - 0.001)
    peer.council.fire_timers(late)
    assert (peer.said(), peer.council.role) == ([], Role.CANDIDATE)


def test_a_handing_over_is_counted_when_it_begins_and_nobody_hands_over_to_itself() -> None:
    table = Table("abc")
    leader = table.elect("a")
    assert not leader.hand_over(table.now, to="a")
    assert table.peers["a"].counters["transfers_begun"] == 0
    assert leader.hand_over(table.now, to="b")
    assert table.peers["a"].counters["transfers_begun"] == 1
