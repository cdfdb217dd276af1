"""What the Raft paper claims (Ongaro & Ousterhout, USENIX ATC 2014).

In the order of the paper, a test for each claim that can be checked on one server or a few. What it claims of all
servers together, whatever happens to them, `tests/core/council/test_council_machine.py` and the worlds check too.
Changes of the council, transfer, pre-vote and reads without the log are in Ongaro's thesis: `test_raft_thesis.py`.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from swimstream.config import PRESETS
from swimstream.core.council.log import COMPACT_AFTER
from swimstream.core.council.pace import Pace
from swimstream.core.council.standing import Role
from swimstream.core.effects import Persist, Saved, VoteRecord
from swimstream.model.changes import Entry, Noop, SubmitJob
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.wire.council_messages import Append, AppendReply, Snapshot, SnapshotPiece, VoteReply, VoteRequest
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Sent,
    Table,
    answers,
    append,
    entry,
    founding,
    plan_after,
    saved_after,
    seats_of,
    vote_request,
)
from tests.core.council.test_elections import LATER, become_candidate

if TYPE_CHECKING:
    from swimstream.config import Timing


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


def test_term_and_vote_outlive_a_crash() -> None:
    """§5.1, figure 2: currentTerm and votedFor are persistent state on all servers."""
    peer = follower()
    peer.hear("a", vote_request(7, last=(1, 1)), LATER)
    peer.take()
    peer.start(LATER)
    assert peer.council.term == 7
    peer.hear("c", vote_request(7, last=(9, 9)), LATER + 10 * ELECTION_S)
    (reply,) = peer.said()
    assert isinstance(reply, VoteReply)
    assert not reply.granted


@pytest.mark.parametrize(
    "reply",
    [
        VoteReply(term=9, voter=MEMORY, granted=False, pre=False),
        AppendReply(term=9, voter=MEMORY, round=1, success=False, index=1),
    ],
    ids=["vote", "append"],
)
def test_a_larger_term_in_an_answer_makes_a_follower(reply: VoteReply | AppendReply) -> None:
    """§5.1, figure 2: if an RPC request *or response* contains a larger term, convert to follower."""
    table = Table("abc")
    table.elect("a")
    table.peers["a"].hear("b", reply, table.now)
    assert (table["a"].role, table["a"].term) == (Role.FOLLOWER, 9)


def test_an_answer_of_an_older_term_is_not_counted() -> None:
    """§5.1: terms let servers detect obsolete information."""
    peer = Peer("a", saved_after([founding("abc")]))
    become_candidate(peer, LATER)
    peer.hear("b", VoteReply(term=1, voter=MEMORY, granted=True, pre=False), LATER)
    assert peer.council.role is Role.CANDIDATE


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


def test_a_vote_counts_once_however_often_it_comes() -> None:
    """§5.2: a majority of the servers, not of the messages."""
    peer = Peer("a", saved_after([founding("abcde")]))
    become_candidate(peer, LATER)
    for _ in range(5):
        peer.hear("b", VoteReply(term=2, voter=MEMORY, granted=True, pre=False), LATER)
    assert peer.council.role is Role.CANDIDATE


def test_a_vote_is_repeated_to_whom_it_was_given() -> None:
    """§5.5: RPCs are idempotent, so a candidate whose answer was lost may ask again."""
    peer = follower()
    for _ in range(2):
        peer.hear("a", vote_request(2, last=(1, 1)), LATER)
    assert [reply.granted for reply in peer.said() if isinstance(reply, VoteReply)] == [True, True]


def test_a_candidate_gives_its_vote_to_nobody_else() -> None:
    """§5.2: it votes for itself, and for at most one in a term."""
    peer = follower()
    become_candidate(peer, LATER)
    peer.hear("a", vote_request(peer.council.term, last=(9, 9)), LATER)
    (reply,) = peer.said()
    assert isinstance(reply, VoteReply)
    assert not reply.granted


def test_election_safety_two_candidates_of_a_term_never_both_win() -> None:
    """§5.2, figure 3, Election Safety: however the votes of the other three are split, and whoever asks first."""
    for order in itertools.product("ab", repeat=3):
        table = Table("abcde")
        table.now = LATER
        for name in "ab":
            become_candidate(table.peers[name], LATER)
        for voter, first in zip("cde", order, strict=True):
            for name in (first, "b" if first == "a" else "a"):
                table.peers[voter].hear(name, vote_request(2, last=(1, 1)), LATER)
        table.deliver()
        assert [table[name].is_leader for name in "ab"].count(True) == 1


def test_a_new_leader_tells_all_others_at_once() -> None:
    """§5.2: it sends heartbeats to all of the others to establish its authority and prevent new elections."""
    peer = Peer("a", saved_after([founding("abc")]))
    become_candidate(peer, LATER)
    peer.hear("b", VoteReply(term=2, voter=MEMORY, granted=True, pre=False), LATER)
    assert [sent.to for sent in peer.take() if isinstance(sent.message, Append)] == ["b", "c"]


def test_giving_a_vote_puts_off_ones_own_campaign() -> None:
    """§5.2, figure 2: a follower campaigns if it neither hears a leader *nor grants a vote* in its time-out."""
    peer = follower()
    now = peer.council.next_deadline()
    peer.hear("a", vote_request(2, last=(1, 1)), now)
    assert peer.council.next_deadline() >= now + ELECTION_S


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


def test_an_entry_that_a_minority_holds_is_not_committed() -> None:
    """§5.3: nor applied, however often it is sent."""
    table = Table("abcde")
    table.elect("a")
    table.cut = {"c", "d", "e"}
    table.propose("a", "x")
    table.beat("a", times=3)
    assert [table[name].log.commit for name in "ab"] == [2, 2]


def test_a_slow_follower_is_sent_entries_until_it_has_them() -> None:
    """§5.3: if packets are lost, the leader retries AppendEntries indefinitely, even after it has committed."""
    table = Table("abc")
    table.elect("a")
    table.cut = {"c"}
    table.propose("a", "x", "y")
    table.beat("a", times=20)
    assert table["a"].log.commit == 4
    table.cut = set()
    table.beat("a", times=2)
    assert table.peers["c"].entries() == table.peers["a"].entries()


def test_a_leader_tries_a_follower_first_with_what_follows_its_own_log() -> None:
    """§5.3: when a leader first comes to power, it initializes all nextIndex values to just after its last entry."""
    table = Table("abc", entries=[founding("abc"), entry(2, 1), entry(3, 1)])
    table.now += 10 * ELECTION_S
    table["a"].fire_timers(table.now)
    firsts = [sent.message for _, sent in table.deliver() if isinstance(sent.message, Append)]
    assert (firsts[0].prev_index, firsts[0].prev_term) == (3, 1)


def test_a_refusal_moves_the_leader_back_to_where_the_logs_may_agree() -> None:
    """§5.3: after a rejection the leader decrements nextIndex and retries; the follower may say how far."""
    table = Table("abc", entries=[founding("abc"), *(entry(index, 1) for index in range(2, 20))])
    table.peers["c"] = Peer("c", saved_after([founding("abc"), entry(2, 1)]))
    table.now += 10 * ELECTION_S
    table["a"].fire_timers(table.now)
    tried = [
        sent.message.prev_index for _, sent in table.deliver() if sent.to == "c" and isinstance(sent.message, Append)
    ]
    assert (tried[0], tried[1]) == (19, 2)
    table.beat("a")
    assert table["c"].plan == table["a"].plan


def test_log_matching_equal_index_and_term_mean_equal_logs_up_to_there() -> None:
    """§5.3, figure 3, Log Matching: after any two leaders, whoever of the others was cut off meanwhile."""
    for cut_first, cut_then in itertools.product("bcde", repeat=2):
        table = Table("abcde")
        table.elect("a")
        table.cut = {cut_first}
        table.propose("a", "x")
        table.beat("a")
        table.cut = {"a", cut_then}
        leader = next(name for name in "bcde" if name not in {cut_first, cut_then})
        table.elect(leader)
        table.propose(leader, "y")
        table.beat(leader)
        logs = [{each.index: each for each in peer.entries()} for peer in table.peers.values()]
        for one, other in itertools.combinations(logs, 2):
            agreed = [index for index in one if index in other and one[index].term == other[index].term]
            assert all(one[index] == other[index] for index in one if index in other and index <= max(agreed))


def test_what_a_follower_holds_beyond_an_older_request_stays() -> None:
    """§5.3, figure 2: only a *conflicting* entry deletes those after it; a late request must not shorten the log."""
    peer = follower((2, 1), (3, 1), (4, 1))
    peer.hear("a", append(1, [entry(2, 1)], commit=2), LATER)
    assert peer.council.log.last_index == 4


def test_a_conflicting_entry_deletes_all_that_follow() -> None:
    """§5.3, figure 2: if an existing entry conflicts with a new one, delete it and all that follow it."""
    peer = follower((2, 1), (3, 1), (4, 1))
    peer.hear("a", append(2, [entry(2, 2)]), LATER)
    assert peer.entries() == (founding("abc"), entry(2, 2))


def test_a_follower_commits_no_further_than_it_agrees_with_its_leader() -> None:
    """§5.3, figure 2: commitIndex = min(leaderCommit, index of last new entry)."""
    peer = follower((2, 1), (3, 1))
    peer.hear("a", append(2, [entry(2, 1)], commit=9), LATER)
    assert peer.council.log.commit == 2


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


def test_figure_8_an_older_entry_is_committed_along_with_one_of_the_own_term() -> None:
    """§5.4.2: once an entry from the current term has been committed, all prior entries are committed indirectly."""
    leader = Peer("a", saved_after([founding("abcde"), entry(2, 2)], term=3))
    become_candidate(leader, LATER)
    for name in "bc":
        leader.hear(name, VoteReply(term=4, voter=MEMORY, granted=True, pre=False), LATER)
    for name in "bc":
        leader.hear(name, AppendReply(term=4, voter=MEMORY, round=1, success=True, index=3), LATER)
    assert leader.council.log.commit == 3


@pytest.mark.parametrize("lacking", ["bc", "bd", "be", "cd", "ce", "de"])
def test_leader_completeness_who_lacks_a_committed_entry_is_not_elected(lacking: str) -> None:
    """§5.4, figure 3, Leader Completeness: entries committed in a term are in the logs of all later leaders."""
    table = Table("abcde")
    table.elect("a")
    table.cut = set(lacking)
    table.propose("a", "x")
    table.beat("a")
    assert table["a"].log.commit == 3
    table.cut = {"a"}
    for candidate in lacking * 5:
        table.now += 10 * ELECTION_S
        table[candidate].fire_timers(table.now)
        table.deliver()
        assert not table[candidate].is_leader
    assert table.elect(min(set("bcde") - set(lacking))).log.commit > 3


def test_state_machine_safety_nothing_is_applied_in_the_place_of_what_was() -> None:
    """§5.4.3, figure 3, State Machine Safety: a leader that would change what is committed here is no leader."""
    peer = follower()
    peer.hear("a", append(2, [entry(2, 2)], commit=2), LATER)
    before = peer.council.plan
    peer.hear("c", append(3, [entry(2, 3)], commit=2), LATER)
    assert peer.council.plan == before
    assert peer.counters["protocol_violations"] == 1


# --- §5.5 crashes, §5.6 timing --------------------------------------------------------------------


def test_requests_are_idempotent() -> None:
    """§5.5: a follower that receives an AppendEntries request with entries it has already ignores those entries."""
    peer = follower()
    peer.hear("a", append(1, [entry(2, 1)], commit=2), LATER)
    before = (answers(peer), peer.entries())
    peer.hear("a", append(1, [entry(2, 1)], commit=2), LATER)
    assert (answers(peer), peer.entries()) == before


def test_a_follower_that_crashed_is_brought_up_to_date_when_it_restarts() -> None:
    """§5.5: if the crashed server restarts, the RPC will complete successfully."""
    table = Table("abc")
    table.elect("a")
    table.cut = {"c"}
    table.propose("a", "x")
    table.beat("a")
    table.peers["c"].start(table.now)
    table.cut = set()
    table.beat("a", times=2)
    assert table["c"].plan == table["a"].plan


def test_what_was_acked_is_there_after_a_crash() -> None:
    """§5.3, figure 2: the log is persistent state, updated before responding to RPCs."""
    peer = follower()
    peer.hear("a", append(1, [entry(2, 1)], commit=1), LATER)
    stored, answered, *_ = peer.outbox.done
    assert (type(stored), type(answered)) == (Persist, Sent)
    peer.take()
    peer.start(LATER)
    assert peer.council.log.last_index == 2


@pytest.mark.parametrize("timing", PRESETS.values(), ids=PRESETS)
def test_the_election_timeout_is_several_times_the_broadcast_time(timing: Timing) -> None:
    """§5.6: broadcastTime << electionTimeout; where it is measured to be longer, the time-out follows."""
    for round_trip_s in (0.0, timing.heartbeat_interval_s, 1.5 * timing.heartbeat_interval_s):
        pace = Pace(timing)
        pace.measure(seats_of("b")[0], round_trip_s, voters=seats_of("ab"))
        assert pace.election_timeout_s_min >= 2 * timing.election_heartbeats * round_trip_s


# --- §6 who takes part ----------------------------------------------------------------------------


def test_who_has_no_seat_neither_campaigns_nor_counts() -> None:
    """§6: new servers join the cluster as non-voting members: not considered for majorities."""
    peer = Peer("z", saved_after([founding("abc")]))
    peer.council.fire_timers(LATER)
    assert (peer.council.role, peer.said()) == (Role.FOLLOWER, [])
    candidate = Peer("a", saved_after([founding("abc")]))
    become_candidate(candidate, LATER)
    candidate.hear("z", VoteReply(term=2, voter=MEMORY, granted=True, pre=False), LATER)
    assert candidate.council.role is Role.CANDIDATE


def test_the_seat_of_another_memory_does_not_count() -> None:
    """§5.2: a server that has forgotten its vote is not the one that was counted; here by the identity of its disk."""
    candidate = Peer("a", saved_after([founding("abc")]))
    become_candidate(candidate, LATER)
    candidate.hear("b", VoteReply(term=2, voter=MEMORY + 1, granted=True, pre=False), LATER)
    assert candidate.council.role is Role.CANDIDATE


# --- §7 snapshots ---------------------------------------------------------------------------------


def snapshot_of(log: list[Entry], *, term: int) -> Snapshot:
    return Snapshot(term=term, voter=MEMORY, round=1, plan=plan_after(log))


def test_each_server_takes_snapshots_by_itself_and_goes_on_from_them() -> None:
    """§7: servers take snapshots independently, covering just the committed entries in their logs."""
    count = COMPACT_AFTER + 50
    peer = follower()
    for first in range(2, count, 200):
        entries = [entry(index, 1) for index in range(first, min(first + 200, count))]
        peer.hear("a", append(1, entries, prev=(1, first - 1), commit=entries[-1].index), LATER)
        peer.take()
    log = peer.council.log
    assert 1 < log.base.index < log.commit == count - 1
    peer.start(LATER)
    assert peer.council.log.base == log.base


def test_a_snapshot_keeps_index_and_term_of_its_last_entry() -> None:
    """§7: to support the consistency check for the first entry that follows."""
    peer = follower()
    peer.hear("a", snapshot_of([founding("abc"), entry(2, 1), entry(3, 2)], term=2), LATER)
    peer.take()
    log = peer.council.log
    assert (log.base.index, log.last_term, log.council) == (3, 2, seats_of("abc"))  # and the latest configuration
    for prev, accepted in (((2, 4), False), ((2, 3), True)):
        peer.hear("a", append(2, [entry(prev[1] + 1, 2)], prev=prev, beat=2), LATER)
        assert [reply.success for reply in peer.said() if isinstance(reply, AppendReply)] == [accepted]


def test_a_snapshot_of_what_is_not_there_replaces_the_whole_log() -> None:
    """§7: usually the follower discards its entire log; it is all superseded."""
    peer = follower((2, 1), (3, 1))
    plan = plan_after([founding("abc"), *(entry(index, 2) for index in range(2, 9))])
    peer.hear("a", Snapshot(term=2, voter=MEMORY, round=1, plan=plan), LATER)
    peer.take()
    assert (peer.council.plan, peer.entries()) == (plan, ())


def test_a_snapshot_that_the_log_disagrees_with_replaces_what_follows_too() -> None:
    """§7: entries that conflict with the snapshot are superseded, and with them all that was built on them."""
    peer = follower((2, 1), (3, 1))
    peer.hear("a", snapshot_of([founding("abc"), entry(2, 2)], term=2), LATER)
    peer.take()
    assert (peer.council.log.last_index, peer.entries()) == (2, ())


def test_a_snapshot_of_a_prefix_leaves_what_follows() -> None:
    """§7: entries covered by the snapshot are deleted but entries following are still valid and must be retained."""
    log = [founding("abc"), entry(2, 1), entry(3, 1)]
    peer = Peer("b", saved_after(log))
    peer.hear("a", snapshot_of(log[:2], term=1), LATER)
    peer.take()
    assert (peer.council.log.commit, peer.entries()) == (2, (entry(3, 1),))


def test_a_snapshot_of_an_older_term_is_refused() -> None:
    """§7, figure 13: reply immediately if term < currentTerm."""
    peer = follower(term=5)
    peer.hear("a", snapshot_of([founding("abc"), entry(2, 1)], term=4), LATER)
    (reply,) = peer.said()
    assert isinstance(reply, AppendReply)
    assert (reply.success, reply.term, peer.council.log.commit) == (False, 5, 0)


def test_a_snapshot_is_sent_only_to_who_needs_entries_that_were_discarded() -> None:
    """§7: the leader must occasionally send snapshots to followers that lag behind; normal operation needs none."""
    table = Table("abc", entries=[founding("abc"), *(entry(index, 1) for index in range(2, COMPACT_AFTER + 50))])
    table.peers["c"] = Peer("c", Saved(voter=MEMORY, plan=plan_after([founding("abc")])))
    table.now += 10 * ELECTION_S
    table["a"].fire_timers(table.now)
    sent = table.deliver()
    for _ in range(4):
        table.now += HEARTBEAT_S
        table["a"].fire_timers(table.now)
        sent += table.deliver()
    assert {letter.to for _, letter in sent if isinstance(letter.message, Snapshot | SnapshotPiece)} == {"c"}
    assert table["c"].plan == table["a"].plan


def test_a_large_snapshot_goes_in_chunks_each_of_which_is_a_heartbeat() -> None:
    """§7: split into chunks, so that each gives the follower a sign of life and it can reset its election timer."""
    peer = Peer("b", saved_after([founding("abc")]))
    now = LATER
    for _ in range(20):
        now += ELECTION_S / 2
        part = SnapshotPiece(term=1, voter=MEMORY, round=1, index=9, offset=0, total=100, data=bytes(10))
        peer.hear("a", part, now)
        peer.council.fire_timers(now)
        peer.take()
    assert peer.council.role is Role.FOLLOWER


# --- §8 clients -----------------------------------------------------------------------------------


def test_a_leader_begins_its_term_with_an_entry_that_does_nothing() -> None:
    """§8: each leader commits a blank no-op entry at the start of its term, to learn what is committed."""
    table = Table("abc", entries=[founding("abc"), entry(2, 1)])
    table.elect("a")
    newest = table.peers["a"].entries()[-1]
    assert (newest.index, newest.term, newest.change) == (3, 2, Noop())
    assert table["a"].log.commit == 3


def test_a_command_that_is_sent_twice_is_carried_out_once() -> None:
    """§8: if the state machine receives a command that it has executed already, it does not execute it again."""
    job = JobSpec(name="flights", operators=(OperatorSpec(name="read", kind="source"),))
    twice = [Entry(index=index, term=1, change=SubmitJob(job=job)) for index in (2, 3)]
    once, again = (plan_after([founding("abc"), *twice[:count]]) for count in (1, 2))
    assert again.jobs == once.jobs == {"flights": job}
