"""The small print of following and leading: each claim is of a condition that could be changed unnoticed."""

from __future__ import annotations

from swimstream.core.effects import Saved, VoteRecord
from swimstream.wire.council_messages import AppendReply, Snapshot
from tests.core.council.peers import (
    MEMORY,
    Peer,
    answers,
    append,
    entry,
    founding,
    plan_after,
    saved_after,
)

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
