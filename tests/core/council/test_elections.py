"""Elections: pre-vote, one vote a term, stickiness, and what a restart must not forget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swimstream.config import LAN
from swimstream.core.council.standing import Role
from swimstream.core.effects import Persist, Saved, VoteRecord
from swimstream.model.changes import Seat
from swimstream.wire.council_messages import AppendReply, VoteReply, VoteRequest
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
    saved_after,
    vote_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.wire.messages import Message

LATER = 100.0
"""Long after any contact with a leader was forgotten."""


def voter(*, term: int = 1, extra: int = 0, voted_for: str = "") -> Peer:
    """Return `a` of the council abc, whose log ends at index 1 + `extra`, all of term 1."""
    log = [founding("abc"), *(entry(2 + position, 1) for position in range(extra))]
    return Peer("a", saved_after(log, term=term, voted_for=voted_for))


def the_reply(peer: Peer) -> VoteReply:
    (reply,) = peer.said()
    assert isinstance(reply, VoteReply)
    return reply


def asks(messages: Iterable[Message], *, pre: bool) -> list[VoteRequest]:
    return [message for message in messages if isinstance(message, VoteRequest) and message.pre is pre]


# --- the vote -------------------------------------------------------------------------------------


def test_a_voter_gives_one_vote_a_term() -> None:
    peer = voter()
    peer.hear("b", vote_request(2, last=(1, 1)), LATER)
    assert the_reply(peer).granted
    peer.hear("c", vote_request(2, last=(1, 1)), LATER)
    assert not the_reply(peer).granted


def test_a_vote_is_given_again_to_the_candidate_that_has_it() -> None:
    peer = voter()
    for _ in range(2):
        peer.hear("b", vote_request(2, last=(1, 1)), LATER)
        assert the_reply(peer).granted


def test_a_vote_survives_a_restart() -> None:
    peer = voter()
    peer.hear("b", vote_request(2, last=(1, 1)), LATER)
    peer.take()
    peer.start(LATER)
    peer.hear("c", vote_request(2, last=(1, 1)), 2 * LATER)
    assert not the_reply(peer).granted


def test_a_new_term_frees_the_vote() -> None:
    peer = voter(term=2, voted_for="b")
    peer.hear("c", vote_request(3, last=(1, 1)), LATER)
    assert the_reply(peer).granted


def test_the_vote_is_on_disk_before_it_is_answered() -> None:
    peer = voter()
    peer.hear("b", vote_request(2, last=(1, 1)), LATER)
    kinds = [type(effect) for effect in peer.outbox.done]
    assert kinds.index(Sent) > max(i for i, kind in enumerate(kinds) if kind is Persist)
    peer.take()
    assert peer.disk.saved().vote == VoteRecord(2, "b", MEMORY)


def test_a_candidate_has_its_own_vote_on_disk_before_it_asks() -> None:
    table = Table("abc")
    table.now = LATER
    table["a"].fire_timers(table.now)
    (asked, _) = (sent for sent in table.peers["a"].take())
    table.peers["a"].hear(asked.to, VoteReply(term=2, voter=MEMORY, granted=True, pre=True), table.now)
    assert table.peers["a"].outbox.done[0] == Persist(VoteRecord(2, "a", MEMORY))


def test_a_candidate_votes_for_nobody_else() -> None:
    table = Table("abc")
    table.cut = {"b", "c"}
    become_candidate(table.peers["a"], LATER)
    table.peers["a"].hear("b", vote_request(2, last=(1, 1)), 2 * LATER)
    assert not the_reply(table.peers["a"]).granted


def test_a_vote_of_an_older_term_is_refused_with_the_newer_term() -> None:
    peer = voter(term=5)
    peer.hear("b", vote_request(4, last=(9, 9)), LATER)
    reply = the_reply(peer)
    assert (reply.granted, reply.term) == (False, 5)


@pytest.mark.parametrize(
    ("last", "granted"),
    [((1, 3), True), ((1, 4), True), ((2, 1), True), ((1, 2), False), ((0, 9), False)],
)
def test_the_vote_goes_only_to_who_is_up_to_date(*, last: tuple[int, int], granted: bool) -> None:
    peer = voter(extra=2)
    peer.hear("b", vote_request(2, last=last), LATER)
    assert the_reply(peer).granted is granted


def test_a_refusal_for_a_stale_log_still_moves_the_voter_to_the_newer_term() -> None:
    peer = voter(extra=2)
    peer.hear("b", vote_request(7, last=(1, 1)), LATER)
    assert (the_reply(peer).term, peer.council.term) == (7, 7)


# --- the pre-vote ---------------------------------------------------------------------------------


def test_a_pre_vote_changes_nothing_at_the_voter() -> None:
    peer = voter()
    peer.hear("b", vote_request(9, last=(1, 1), pre=True), LATER)
    assert [effect for effect in peer.outbox.done if isinstance(effect, Persist)] == []
    assert the_reply(peer).granted
    assert (peer.council.term, peer.council.role) == (1, Role.FOLLOWER)


def test_a_pre_vote_takes_no_vote_away() -> None:
    peer = voter(term=2, voted_for="b")
    peer.hear("c", vote_request(3, last=(1, 1), pre=True), LATER)
    assert the_reply(peer).granted
    peer.hear("b", vote_request(2, last=(1, 1)), LATER)
    assert the_reply(peer).granted


def test_a_pre_vote_does_not_put_off_the_voters_own_campaign() -> None:
    peer = voter()
    before = peer.council.next_deadline()
    peer.hear("b", vote_request(2, last=(1, 1), pre=True), LATER)
    assert peer.council.next_deadline() == before


def test_a_peer_that_nobody_answers_never_raises_its_term() -> None:
    """A worker behind a bad link must not come back with a term that deposes the leader (thesis §9.6)."""
    peer = voter()
    now = 0.0
    for _ in range(20):
        now = max(now, peer.council.next_deadline())
        peer.council.fire_timers(now)
        assert asks(peer.said(), pre=False) == []
    assert peer.council.term == 1


def test_a_majority_of_pre_votes_starts_the_election() -> None:
    peer = voter()
    peer.council.fire_timers(LATER)
    assert [ask.term for ask in asks(peer.said(), pre=True)] == [2, 2]
    peer.hear("b", VoteReply(term=2, voter=MEMORY, granted=True, pre=True), LATER)
    assert [ask.term for ask in asks(peer.said(), pre=False)] == [2, 2]
    assert peer.council.term == 2


def become_candidate(peer: Peer, now: float) -> None:
    peer.council.fire_timers(now)
    peer.take()
    reply = VoteReply(term=peer.council.term + 1, voter=MEMORY, granted=True, pre=True)
    for seat in peer.council.log.council:
        if seat.name != peer.name and peer.council.role is Role.PRECANDIDATE:
            peer.hear(seat.name, reply, now)
    assert peer.council.role is Role.CANDIDATE
    peer.take()


def test_a_pre_vote_does_not_count_as_a_vote() -> None:
    peer = voter()
    become_candidate(peer, LATER)
    peer.hear("c", VoteReply(term=2, voter=MEMORY, granted=True, pre=True), LATER)
    assert peer.council.role is Role.CANDIDATE


@pytest.mark.parametrize(
    "reply",
    [
        VoteReply(term=1, voter=MEMORY, granted=True, pre=False),
        VoteReply(term=2, voter=MEMORY + 1, granted=True, pre=False),
        VoteReply(term=2, voter=MEMORY, granted=False, pre=False),
    ],
    ids=["of an older term", "by another memory", "a refusal"],
)
def test_what_is_no_vote_of_this_election_is_not_counted(reply: VoteReply) -> None:
    peer = voter()
    become_candidate(peer, LATER)
    peer.hear("b", reply, LATER)
    assert peer.council.role is Role.CANDIDATE


def test_a_vote_of_who_has_no_seat_is_not_counted() -> None:
    peer = voter()
    become_candidate(peer, LATER)
    peer.hear("z", VoteReply(term=2, voter=MEMORY, granted=True, pre=False), LATER)
    assert peer.council.role is Role.CANDIDATE


def test_the_same_vote_counts_once() -> None:
    peer = Peer("a", saved_after([founding("abcde")]))
    become_candidate(peer, LATER)
    for _ in range(3):
        peer.hear("b", VoteReply(term=2, voter=MEMORY, granted=True, pre=False), LATER)
    assert not peer.council.is_leader
    peer.hear("c", VoteReply(term=2, voter=MEMORY, granted=True, pre=False), LATER)
    assert peer.council.is_leader


def test_a_refusal_of_a_newer_term_ends_the_candidacy() -> None:
    peer = voter()
    become_candidate(peer, LATER)
    peer.hear("b", VoteReply(term=5, voter=MEMORY, granted=False, pre=False), LATER)
    assert (peer.council.role, peer.council.term) == (Role.FOLLOWER, 5)


def test_a_campaign_that_fails_is_tried_again_with_a_pre_vote_first() -> None:
    peer = voter()
    become_candidate(peer, LATER)
    peer.council.fire_timers(peer.council.next_deadline())
    assert asks(peer.said(), pre=True)
    assert peer.council.role is Role.PRECANDIDATE


def test_a_council_of_one_elects_itself_at_once() -> None:
    peer = Peer("a", saved_after([founding("a")]))
    peer.council.fire_timers(LATER)
    assert peer.council.is_leader
    assert peer.council.is_settled


def test_who_has_no_seat_never_campaigns() -> None:
    peer = Peer("z", saved_after([founding("abc")]))
    now = 0.0
    for _ in range(10):
        now = max(now, peer.council.next_deadline())
        peer.council.fire_timers(now)
        assert peer.said() == []


def test_who_lost_its_memory_has_lost_its_seat() -> None:
    """The same name with another state directory must not use the old vote (authority by memory, not by name)."""
    peer = Peer("a", saved_after([founding("abc")], voter=MEMORY + 1))
    peer.council.fire_timers(LATER)
    assert (peer.council.has_seat, peer.said()) == (False, [])


# --- stickiness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pre", [True, False])
def test_who_hears_a_leader_gives_no_vote(*, pre: bool) -> None:
    peer = voter()
    peer.hear("b", append(1), LATER)
    peer.take()
    peer.hear("c", vote_request(2, last=(9, 9), pre=pre), LATER + 0.9 * ELECTION_S)
    assert not the_reply(peer).granted
    assert peer.council.term == 1


def test_the_vote_is_free_one_shortest_election_timeout_after_the_leader_was_heard() -> None:
    peer = voter()
    peer.hear("b", append(1), LATER)
    peer.take()
    peer.hear("c", vote_request(2, last=(1, 1)), LATER + ELECTION_S)
    assert the_reply(peer).granted


@pytest.mark.parametrize("pre", [True, False])
def test_a_leader_gives_no_vote(*, pre: bool) -> None:
    table = Table("abc")
    table.elect("a")
    table.peers["a"].hear("b", vote_request(9, last=(9, 9), pre=pre), table.now)
    assert not the_reply(table.peers["a"]).granted
    assert table["a"].is_leader


@pytest.mark.parametrize("pre", [True, False])
def test_a_voter_that_comes_back_gives_no_vote_at_first(*, pre: bool) -> None:
    """It has forgotten whom it heard last."""
    peer = voter()
    peer.start(LATER)
    peer.hear("c", vote_request(2, last=(9, 9), pre=pre), LATER + 0.9 * ELECTION_S)
    assert not the_reply(peer).granted
    peer.hear("c", vote_request(2, last=(9, 9), pre=pre), LATER + ELECTION_S)
    assert the_reply(peer).granted


def test_a_voter_that_was_never_in_a_cluster_votes_at_once() -> None:
    """Else the founding would wait for a time-out that protects nobody."""
    peer = Peer("b", Saved(voter=MEMORY), now=LATER)
    peer.hear("a", vote_request(2, last=(1, 1)), LATER)
    assert the_reply(peer).granted


def test_news_of_the_leaders_death_brings_the_campaign_forward_but_not_the_vote() -> None:
    table = Table("abc")
    table.elect("a")
    table["b"].leader_is_gone("a", table.now)
    assert table["b"].next_deadline() <= table.now + HEARTBEAT_S
    table.peers["c"].hear("b", vote_request(3, last=(9, 9), pre=True), table.now + HEARTBEAT_S)
    assert not the_reply(table.peers["c"]).granted


def test_news_of_the_death_of_somebody_else_changes_nothing() -> None:
    table = Table("abc")
    table.elect("a")
    before = table["b"].next_deadline()
    table["b"].leader_is_gone("c", table.now)
    assert table["b"].next_deadline() == before


def test_an_election_timeout_is_drawn_between_once_and_twice_the_shortest() -> None:
    deadlines = [Peer("a", saved_after([founding("abc")]), seed=seed).council.next_deadline() for seed in range(50)]
    assert all(ELECTION_S <= deadline <= 2 * ELECTION_S for deadline in deadlines)
    assert max(deadlines) - min(deadlines) > ELECTION_S / 2


# --- terms ----------------------------------------------------------------------------------------


def test_a_newer_term_in_any_reply_makes_a_leader_step_down() -> None:
    for message in (
        AppendReply(term=9, voter=MEMORY, round=1, success=False, index=0),
        VoteReply(term=9, voter=MEMORY, granted=False, pre=False),
    ):
        table = Table("abc")
        table.elect("a")
        table.peers["a"].hear("b", message, table.now)
        table.peers["a"].take()
        assert (table["a"].role, table["a"].term) == (Role.FOLLOWER, 9)


def test_a_candidate_follows_a_leader_of_its_own_term() -> None:
    peer = voter()
    become_candidate(peer, LATER)
    peer.hear("b", append(2), LATER)
    assert (peer.council.role, peer.council.mark.leader) == (Role.FOLLOWER, "b")


def test_a_step_down_forgets_that_one_led() -> None:
    table = Table("abc")
    table.elect("a")
    table["a"].step_down(table.now)
    assert (table["a"].mark.leader, table["a"].is_leader) == ("", False)


def test_a_term_that_was_seen_survives_a_restart() -> None:
    peer = voter()
    peer.hear("b", append(6), LATER)
    peer.take()
    peer.start(LATER)
    assert peer.council.term == 6


def test_the_seat_of_the_table_is_the_one_in_the_founding() -> None:
    assert voter().council.log.council[0] == Seat("a", MEMORY)
    assert LAN.election_timeout_s_min == ELECTION_S
