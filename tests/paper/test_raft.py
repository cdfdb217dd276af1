"""What the Raft paper claims (Ongaro & Ousterhout, USENIX ATC 2014), and two chapters of Ongaro's thesis (2014)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from swimstream.core.council.standing import Role
from swimstream.core.effects import Persist, VoteRecord
from swimstream.model.changes import Noop
from swimstream.wire.council_messages import Append, AppendReply, VoteReply, VoteRequest
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Table,
    answers,
    append,
    entry,
    founding,
    saved_after,
    vote_request,
)
from tests.core.council.test_elections import LATER, become_candidate

if TYPE_CHECKING:
    from swimstream.model.changes import Entry


def follower(*extra: tuple[int, int], term: int = 1) -> Peer:
    """Return `b` of the council abc with further entries of these (index, term)."""
    log = [founding("abc"), *(entry(*place) for place in extra)]
    return Peer("b", saved_after(log, term=term))


# --- §5.1 terms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.CANDIDATE, Role.LEADER])
def test_a_larger_term_updates_the_smaller_and_makes_a_follower(role: Role) -> None:
    """§5.1: if one server's current term is smaller than the other's, it updates; candidates and leaders revert."""
    table = Table("abc")
    peer = table.peers["a"]
    if role is Role.LEADER:
        table.elect("a")
    elif role is Role.CANDIDATE:
        become_candidate(peer, LATER)
    peer.hear("b", append(9), max(table.now, LATER))
    assert (peer.council.term, peer.council.role) == (9, Role.FOLLOWER)


def test_a_request_of_a_stale_term_is_rejected() -> None:
    """§5.1: if a server receives a request with a stale term number, it rejects the request."""
    peer = follower(term=5)
    peer.hear("a", append(4, [entry(2, 4)]), LATER)
    peer.hear("a", vote_request(4, last=(9, 9)), LATER)
    refused = peer.said()
    assert [(type(reply), reply.term) for reply in refused if isinstance(reply, AppendReply | VoteReply)] == [
        (AppendReply, 5),
        (VoteReply, 5),
    ]
    assert peer.council.log.last_index == 1


def test_term_and_vote_are_stored_before_the_answer() -> None:
    """§5, figure 2: currentTerm and votedFor are updated on stable storage before responding to RPCs."""
    peer = follower()
    peer.hear("a", vote_request(2, last=(1, 1)), LATER)
    *records, _answer = peer.outbox.done
    assert records == [Persist(VoteRecord(2, "")), Persist(VoteRecord(2, "a", MEMORY))]


# --- §5.2 elections -------------------------------------------------------------------------------


def test_servers_start_as_followers() -> None:
    """§5.2: when servers start up, they begin as followers."""
    assert follower().council.role is Role.FOLLOWER


def test_a_leader_sends_heartbeats_in_its_interval_to_all() -> None:
    """§5.2: leaders send periodic heartbeats (AppendEntries that carry no log entries) to all followers."""
    table = Table("abcde")
    leader = table.elect("a")
    table.beat("a", times=2)
    assert leader.next_deadline() == pytest.approx(table.now + HEARTBEAT_S)
    leader.fire_timers(leader.next_deadline())
    beats = [sent for sent in table.peers["a"].take() if isinstance(sent.message, Append) and not sent.message.entries]
    assert [beat.to for beat in beats] == list("bcde")


def test_a_follower_that_hears_nothing_for_an_election_timeout_campaigns() -> None:
    """§5.2: if a follower receives no communication over the election timeout, it begins an election."""
    peer = follower()
    peer.council.fire_timers(2 * ELECTION_S)
    assert peer.council.role is Role.PRECANDIDATE


def test_heartbeats_keep_a_follower_a_follower() -> None:
    """§5.2: a server remains a follower as long as it receives valid RPCs from a leader."""
    peer = follower()
    for beat in range(50):
        now = beat * HEARTBEAT_S
        peer.hear("a", append(1, beat=beat + 1), now)
        peer.council.fire_timers(now)
        peer.take()
    assert peer.council.role is Role.FOLLOWER


def test_a_candidate_raises_its_term_votes_for_itself_and_asks_all() -> None:
    """§5.2: it increments its current term, votes for itself and issues RequestVote to each of the others."""
    peer = Peer("a", saved_after([founding("abcde")]))
    peer.council.fire_timers(LATER)
    peer.take()
    for voter in "bc":
        peer.hear(voter, VoteReply(term=2, voter=MEMORY, granted=True, pre=True), LATER)
    asked = [sent for sent in peer.take() if isinstance(sent.message, VoteRequest)]
    assert [(sent.to, sent.message.term) for sent in asked if isinstance(sent.message, VoteRequest)] == [
        (name, 2) for name in "bcde"
    ]
    assert peer.disk.saved().vote == VoteRecord(2, "a", MEMORY)


@pytest.mark.parametrize(
    ("names", "votes", "wins"),
    [
        ("abc", "", False),
        ("abc", "b", True),
        ("abcde", "b", False),
        ("abcde", "bc", True),
        ("abcdefg", "bc", False),
        ("abcdefg", "bcd", True),
    ],
)
def test_a_candidate_wins_with_the_votes_of_a_majority(*, names: str, votes: str, wins: bool) -> None:
    """§5.2: a candidate wins an election if it receives votes from a majority of the servers in the full cluster."""
    peer = Peer("a", saved_after([founding(names)]))
    become_candidate(peer, LATER)
    for name in votes:
        peer.hear(name, VoteReply(term=2, voter=MEMORY, granted=True, pre=False), LATER)
    assert peer.council.is_leader is wins


def test_votes_are_given_first_come_first_served() -> None:
    """§5.2: each server will vote for at most one candidate in a given term, on a first-come-first-served basis."""
    for first, second in itertools.permutations("ac"):
        peer = follower()
        for name in (first, second):
            peer.hear(name, vote_request(2, last=(1, 1)), LATER)
        given = [reply.granted for reply in peer.said() if isinstance(reply, VoteReply)]
        assert given == [True, False]


def test_a_candidate_that_hears_a_leader_of_its_term_follows_it() -> None:
    """§5.2: if the leader's term is at least as large as the candidate's, the candidate returns to follower state."""
    peer = follower()
    become_candidate(peer, LATER)
    peer.hear("a", append(2), LATER)
    assert peer.council.role is Role.FOLLOWER


def test_a_candidate_rejects_a_leader_of_an_older_term() -> None:
    """§5.2: if the term in the RPC is smaller, the candidate rejects it and continues in candidate state."""
    peer = follower()
    become_candidate(peer, LATER)
    peer.hear("a", append(1), LATER)
    assert peer.council.role is Role.CANDIDATE


def test_a_split_vote_ends_with_another_timeout() -> None:
    """§5.2: each candidate will time out and start a new election."""
    peer = follower()
    become_candidate(peer, LATER)
    assert peer.council.next_deadline() < float("inf")
    become_candidate(peer, peer.council.next_deadline())
    assert peer.council.term == 3


def test_election_timeouts_are_randomized() -> None:
    """§5.2: election timeouts are chosen randomly from a fixed interval, so that split votes are rare."""
    timeouts = {Peer("a", saved_after([founding("abc")]), seed=seed).council.next_deadline() for seed in range(20)}
    assert len(timeouts) == 20
    assert all(ELECTION_S <= timeout <= 2 * ELECTION_S for timeout in timeouts)


# --- §5.3 replication -----------------------------------------------------------------------------


def test_a_command_is_appended_then_sent_to_all() -> None:
    """§5.3: the leader appends the command to its log as a new entry, then issues AppendEntries in parallel."""
    table = Table("abc")
    table.elect("a")
    table.propose("a", "x")
    sent = table.peers["a"].take()
    assert [each.to for each in sent] == ["b", "c"]
    assert all(isinstance(each.message, Append) and each.message.prev_index == 2 for each in sent)


def test_an_entry_is_committed_once_a_majority_has_replicated_it() -> None:
    """§5.3: a log entry is committed once the leader that created it has replicated it on a majority."""
    table = Table("abcde")
    table.elect("a")
    table.propose("a", "x")
    leader = table.peers["a"]
    leader.hear("b", AppendReply(term=2, voter=MEMORY, round=2, success=True, index=3), table.now)
    assert leader.council.log.commit == 2
    leader.hear("c", AppendReply(term=2, voter=MEMORY, round=2, success=True, index=3), table.now)
    assert leader.council.log.commit == 3


def test_committing_an_entry_commits_all_before_it() -> None:
    """§5.3: this also commits all preceding entries in the leader's log, those of previous leaders included."""
    log = [founding("abc"), entry(2, 1), entry(3, 1)]
    table = Table("abc", entries=log)
    assert table.elect("a").log.commit == 4


def test_the_leader_includes_its_commit_index_so_that_followers_apply() -> None:
    """§5.3: once a follower learns that a log entry is committed, it applies the entry in log order."""
    peer = follower()
    peer.hear("a", append(1, [entry(2, 1), entry(3, 1)], commit=2), LATER)
    assert peer.council.log.commit == 2
    peer.hear("a", append(1, prev=(1, 3), commit=3), LATER)
    assert [line.index for line in peer.council.plan.decisions] == [1, 2, 3]


@pytest.mark.parametrize(
    ("prev", "accepted"),
    [((1, 1), True), ((1, 2), True), ((2, 3), True), ((2, 2), False), ((1, 3), False), ((2, 4), False)],
)
def test_a_follower_refuses_what_does_not_follow_on_its_log(*, prev: tuple[int, int], accepted: bool) -> None:
    """§5.3: if it does not find an entry with the same index and term as the preceding one, it refuses the new."""
    peer = follower((2, 1), (3, 2))
    peer.hear("a", append(3, [entry(prev[1] + 1, 3)], prev=prev), LATER)
    (reply,) = peer.said()
    assert isinstance(reply, AppendReply)
    assert reply.success is accepted


FIGURE_7 = {
    "a": [1, 1, 1, 4, 4, 5, 5, 6, 6],
    "b": [1, 1, 1, 4],
    "c": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    "d": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    "e": [1, 1, 1, 4, 4, 4, 4],
    "f": [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
}


@pytest.mark.parametrize("name", sorted(FIGURE_7))
def test_the_leader_brings_every_log_of_figure_7_to_its_own(name: str) -> None:
    """§5.3: the leader finds the latest entry where the two logs agree, deletes what follows, and sends its own."""

    def log_of(terms: list[int]) -> list[Entry]:
        return [founding("xyz"), *(entry(index, term) for index, term in enumerate(terms[1:], start=2))]

    table = Table("xyz")
    logs = {"x": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6], "y": FIGURE_7[name], "z": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]}
    table.peers = {each: Peer(each, saved_after(log_of(terms), term=7)) for each, terms in logs.items()}
    table.elect("x")
    table.beat("x", times=3)
    assert table.peers["y"].entries() == table.peers["x"].entries()
    assert table["y"].log.commit == table["x"].log.last_index == 11


def test_a_leader_never_overwrites_its_own_log() -> None:
    """§5.3, Leader Append-Only: a leader never overwrites or deletes entries in its log; it only appends."""
    log = [founding("abc"), entry(2, 1), entry(3, 1)]
    table = Table("abc", entries=log)
    table.elect("a")
    assert table.peers["a"].entries()[:2] == tuple(log[1:])  # the founding is in the snapshot by now
    assert isinstance(table.peers["a"].entries()[2].change, Noop)


# --- §5.4 safety ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "candidate", "granted"),
    [
        ([(2, 1)], (1, 2), True),
        ([(2, 1)], (1, 3), True),
        ([(2, 1)], (1, 1), False),
        ([(2, 1)], (2, 1), True),
        ([(2, 2)], (1, 9), False),
        ([(2, 2)], (2, 2), True),
    ],
)
def test_a_voter_denies_its_vote_if_its_own_log_is_more_up_to_date(
    *, own: list[tuple[int, int]], candidate: tuple[int, int], granted: bool
) -> None:
    """§5.4.1: the later last term is more up-to-date; with equal terms, the longer log is."""
    peer = follower(*own, term=2)
    peer.hear("a", vote_request(3, last=candidate), LATER)
    (reply,) = peer.said()
    assert isinstance(reply, VoteReply)
    assert reply.granted is granted


def test_figure_8_an_entry_of_an_older_term_is_not_committed_by_counting_replicas() -> None:
    """§5.4.2: only log entries from the leader's current term are committed by counting replicas."""
    log = [founding("abcde"), entry(2, 2)]
    leader = Peer("a", saved_after(log, term=3))
    become_candidate(leader, LATER)
    for name in "bc":
        leader.hear(name, VoteReply(term=4, voter=MEMORY, granted=True, pre=False), LATER)
    assert leader.council.is_leader
    for name in "bcde":
        leader.hear(name, AppendReply(term=4, voter=MEMORY, round=1, success=True, index=2), LATER)
    assert leader.council.log.commit == 0


# --- §5.5 crashes, §7 snapshots -------------------------------------------------------------------


def test_requests_are_idempotent() -> None:
    """§5.5: a follower that receives an AppendEntries request with entries it has already ignores those entries."""
    peer = follower()
    peer.hear("a", append(1, [entry(2, 1)], commit=2), LATER)
    before = (answers(peer), peer.entries())
    peer.hear("a", append(1, [entry(2, 1)], commit=2), LATER)
    assert (answers(peer), peer.entries()) == before


# --- thesis ---------------------------------------------------------------------------------------


def test_a_server_that_was_partitioned_disrupts_nobody_when_it_comes_back() -> None:
    """Thesis §9.6 (PreVote): it cannot raise its term while cut off, and the others hear a leader."""
    table = Table("abc")
    table.elect("a")
    table.cut = {"c"}
    for _ in range(40):
        table.beat("a")
        table["c"].fire_timers(table.now)
    table.cut = set()
    table.beat("a", times=3)
    assert table["a"].is_leader
    assert table["c"].term == table["a"].term
    assert table["c"].mark.leader == "a"


def test_a_pre_vote_is_granted_only_to_who_could_win() -> None:
    """Thesis §9.6: a voter says yes only if the log is up-to-date and it has heard no leader for a timeout."""
    for last, now, granted in (((1, 1), LATER, False), ((1, 2), LATER, True), ((1, 2), ELECTION_S / 2, False)):
        peer = follower((2, 1))
        peer.hear("a", vote_request(2, last=last, pre=True), now)
        (reply,) = peer.said()
        assert isinstance(reply, VoteReply)
        assert reply.granted is granted


def test_a_leader_steps_down_if_an_election_timeout_passes_without_a_majority() -> None:
    """Thesis §6.2: so that clients do not wait at a leader that is cut off."""
    table = Table("abc")
    table.elect("a")
    table.cut = {"b", "c"}
    table.beat("a", times=int(ELECTION_S / HEARTBEAT_S) + 2)
    assert table["a"].role is Role.FOLLOWER


def test_a_vote_request_does_not_depose_a_leader_that_is_heard() -> None:
    """Thesis §4.2.3: a request within the minimum election timeout of hearing a leader updates no term."""
    peer = follower()
    peer.hear("a", append(1), LATER)
    peer.take()
    peer.hear("c", vote_request(50, last=(50, 50)), LATER + ELECTION_S / 2)
    assert peer.council.term == 1
