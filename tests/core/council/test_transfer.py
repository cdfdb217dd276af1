"""Handing over: the heir has everything, campaigns at once and wins, or the old leader leads on (thesis §3.10)."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.council.standing import NOBODY, Role
from swimstream.core.effects import VoteRecord
from swimstream.wire.council_messages import TimeoutNow, VoteRequest
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Table,
    append,
    founding,
    saved_after,
    vote_request,
)

LATER = 100.0


def led(names: str = "abc", *, seatless: str = "") -> Table:
    """Return a table at which `a` leads term 2, and everybody has answered its heartbeats."""
    table = Table(names, seatless=seatless)
    table.elect("a")
    table.beat("a", times=2)
    return table


def follower(*, name: str = "b") -> Peer:
    """Return a voter that follows `a` in term 1 and has just heard from it."""
    peer = Peer(name, saved_after([founding("abc")]))
    peer.hear("a", append(1), LATER)
    peer.take()
    return peer


def test_the_heir_leads_within_the_same_moment() -> None:
    table = led()
    assert table["a"].hand_over(table.now, to="c")
    table.deliver()
    assert (table["c"].role, table["c"].term) == (Role.LEADER, 3)
    assert table["a"].role is Role.FOLLOWER


def test_the_heir_campaigns_without_a_pre_vote_and_says_why() -> None:
    peer = follower()
    peer.hear("a", TimeoutNow(term=1), LATER)
    requests = [message for message in peer.said() if isinstance(message, VoteRequest)]
    assert [(each.term, each.pre, each.transfer) for each in requests] == [(2, False, True)] * 2


def test_an_ordinary_campaign_claims_no_transfer() -> None:
    table = led()
    table.now += 10 * ELECTION_S
    table["b"].fire_timers(table.now)
    assert not any(sent.message.transfer for _, sent in table.deliver() if isinstance(sent.message, VoteRequest))


def test_a_vote_for_an_heir_does_not_wait_until_the_leader_is_forgotten() -> None:
    peer = follower()
    peer.hear("c", vote_request(2, last=(1, 1)), LATER)
    assert peer.council.voted_for == NOBODY
    peer.hear("c", attrs.evolve(vote_request(2, last=(1, 1)), transfer=True), LATER)
    peer.take()
    assert peer.disk.saved().vote == VoteRecord(2, "c", MEMORY)


def test_an_heir_that_lacks_entries_gets_no_vote() -> None:
    peer = Peer("b", saved_after([founding("abc")], term=1))
    peer.hear("c", attrs.evolve(vote_request(2, last=(0, 0)), transfer=True), LATER)
    assert peer.council.voted_for == NOBODY


@pytest.mark.parametrize(
    ("sender", "term"),
    [("c", 1), ("a", 0), ("a", 2)],
    ids=["who does not lead", "of a term that is over", "of a term to come"],
)
def test_only_the_leader_of_this_very_term_can_call_for_a_campaign(sender: str, term: int) -> None:
    peer = follower()
    peer.hear(sender, TimeoutNow(term=term), LATER)
    assert peer.take() == []


def test_who_has_no_seat_does_not_campaign_when_called() -> None:
    peer = Peer("d", saved_after([founding("abc")]))
    peer.hear("a", append(1), LATER)
    peer.take()
    peer.hear("a", TimeoutNow(term=1), LATER)
    assert peer.take() == []


def test_an_heir_that_is_behind_is_brought_up_to_date_first() -> None:
    table = led()
    table.propose("a", "x")
    table.peers["a"].take()  # lost
    table["a"].hand_over(table.now, to="c")
    assert not any(isinstance(sent.message, TimeoutNow) for sent in table.peers["a"].take())
    table.beat("a")
    assert table["c"].is_leader
    assert table["c"].log.last_index == 4


def test_a_leader_that_hands_over_proposes_nothing() -> None:
    table = led()
    table.cut = {"c"}
    table["a"].hand_over(table.now, to="c")
    last = table["a"].log.last_index
    assert not table["a"].is_settled
    table.propose("a", "x", "y")
    assert table["a"].log.last_index == last
    assert table.peers["a"].counters["proposals_refused"] == 2


def test_a_transfer_that_fails_is_given_up_and_the_leader_leads_on() -> None:
    table = led()
    table.cut = {"c"}
    table["a"].hand_over(table.now, to="c")
    table.beat("a", times=round(ELECTION_S / HEARTBEAT_S) - 1)
    assert table["a"].transfer is not None
    table.beat("a", times=2)
    assert table["a"].is_settled
    assert table.peers["a"].counters["transfers_given_up"] == 1
    table.propose("a", "x")
    table.deliver()
    assert table["a"].is_settled


def test_a_lost_call_is_said_again() -> None:
    table = led()
    table["a"].hand_over(table.now, to="c")
    table.peers["a"].take()
    table.beat("a")
    assert table["c"].is_leader


def test_a_leader_hands_over_to_who_has_the_most() -> None:
    table = led("abcde")
    table.cut = {"b", "c", "d"}
    table.propose("a", "x")
    table.deliver()
    assert not table["a"].is_settled
    table.cut = set()
    assert table["a"].hand_over(table.now)
    table.deliver()
    assert table["e"].is_leader


@pytest.mark.parametrize("to", ["a", "d", "x"])
def test_nobody_but_another_voter_can_be_heir(to: str) -> None:
    table = led(seatless="d")
    assert not table["a"].hand_over(table.now, to=to)
    assert table["a"].is_settled


def test_who_has_not_answered_of_late_is_no_heir() -> None:
    table = led()
    table.cut = {"c"}
    table.beat("a", times=round(2 * ELECTION_S / HEARTBEAT_S))
    assert not table["a"].hand_over(table.now, to="c")
    assert table["a"].hand_over(table.now, to="b")


def test_a_second_heir_waits_for_the_end_of_the_first_transfer() -> None:
    table = led()
    table.cut = {"b", "c"}
    assert table["a"].hand_over(table.now, to="c")
    assert not table["a"].hand_over(table.now, to="b")
    assert table["a"].hand_over(table.now)


def test_who_does_not_lead_hands_over_nothing() -> None:
    table = led()
    assert not table["b"].hand_over(table.now)
