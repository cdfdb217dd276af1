"""What Ongaro's thesis claims ("Consensus: Bridging Theory and Practice", 2014) beyond the paper of `test_raft.py`.

In the order of the thesis, a test for each claim that can be checked on one council or a few. Our council changes
seats one at a time (chapter 4), so the paper's joint consensus has no tests here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.core.council.standing import NOBODY, Role
from swimstream.core.effects import VoteRecord
from swimstream.model.changes import ChangeCouncil, Entry, Seat
from swimstream.model.identity import Run
from swimstream.wire.council_messages import Append, AppendReply, Beacon, TimeoutNow, VoteReply, VoteRequest
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Table,
    append,
    entry,
    founding,
    run_of,
    saved_after,
    seats_of,
    vote_request,
)
from tests.core.council.test_elections import LATER

if TYPE_CHECKING:
    from collections.abc import Collection

A_WHILE = round(3 * ELECTION_S / HEARTBEAT_S)
"""So many heartbeats outlast every time-out."""


def follower(*extra: tuple[int, int], term: int = 1) -> Peer:
    """Return `b` of the council abc with further entries of these (index, term)."""
    log = [founding("abc"), *(entry(*place) for place in extra)]
    return Peer("b", saved_after(log, term=term))


def led(names: str, *, seatless: str = "") -> Table:
    """Return a table at which `a` leads term 2, has committed in it, and has been answered by everybody."""
    table = Table(names, seatless=seatless)
    table.elect("a")
    table.beat("a", times=2)
    return table


def to(names: str) -> ChangeCouncil:
    """Return the change to a council of one-letter names."""
    return ChangeCouncil(council=seats_of(sorted(names)), reason="test", evidence=())


def seats(table: Table, name: str) -> str:
    """Return the newest council in the log of `name`."""
    return "".join(seat.name for seat in table[name].log.council)


def step(table: Table, name: str, *, hearing: Collection[str], appends: bool = True) -> None:
    """Let `name` say what it has to say to `hearing`, and have them answer; the rest of it is lost."""
    for sent in table.peers[name].take():
        if sent.to in hearing and (appends or not isinstance(sent.message, Append)):
            table.peers[sent.to].hear(name, sent.message, table.now)
    for other in hearing:
        for sent in table.peers[other].take():
            if sent.to == name:
                table.peers[name].hear(other, sent.message, table.now)


def beat_among(table: Table, name: str, *, hearing: str) -> None:
    """Let a leader send a heartbeat round that only these hear and answer."""
    table.now += HEARTBEAT_S
    table[name].fire_timers(table.now)
    step(table, name, hearing=hearing)


def win(table: Table, name: str, *, votes_of: str) -> None:
    """Let `name` win an election by these votes once all have forgotten their leader; its first entry stays its own."""
    for _ in range(5):  # it may lead an older term, or find a term in which the votes are given
        table.now += 10 * ELECTION_S
        table[name].fire_timers(table.now)
        for _ in range(3):
            step(table, name, hearing=votes_of, appends=False)
        if table[name].is_leader:
            break
    assert table[name].is_leader
    table.peers[name].take()


# --- 3.10 leadership transfer ---------------------------------------------------------------------


def test_a_leader_that_hands_over_accepts_no_proposals() -> None:
    """3.10, step 1: the prior leader stops accepting new client requests."""
    table = led("abc")
    table.cut = {"c"}
    table["a"].hand_over(table.now, to="c")
    last = table["a"].log.last_index
    table.propose("a", "x")
    assert table["a"].log.last_index == last


def test_the_target_of_a_transfer_is_brought_up_to_date_before_it_is_called() -> None:
    """3.10, step 2: the prior leader fully updates the target's log to match its own."""
    table = led("abc")
    table.propose("a", "x")
    table.peers["a"].take()  # lost
    table["a"].hand_over(table.now, to="c")
    assert not any(isinstance(sent.message, TimeoutNow) for sent in table.peers["a"].take())
    last = table["a"].log.last_index
    table.beat("a")
    assert table["c"].is_leader
    assert last < table["c"].log.last_index


def test_a_leader_calls_the_target_of_a_transfer_by_timeout_now() -> None:
    """3.10, step 3: the prior leader sends a TimeoutNow request to the target server, and to nobody else."""
    table = led("abc")
    table["a"].hand_over(table.now, to="c")
    calls = [sent.to for sent in table.peers["a"].take() if isinstance(sent.message, TimeoutNow)]
    assert calls
    assert set(calls) == {"c"}


def test_the_target_of_a_transfer_campaigns_at_once() -> None:
    """3.10: it starts a new election, incrementing its term and becoming a candidate, without any waiting."""
    peer = follower()
    peer.hear("a", append(1), LATER)
    peer.take()
    peer.hear("a", TimeoutNow(term=1), LATER)
    assert (peer.council.role, peer.council.term) == (Role.CANDIDATE, 2)
    asked = [sent.message for sent in peer.take() if isinstance(sent.message, VoteRequest)]
    assert [(request.pre, request.transfer) for request in asked] == [(False, True)] * 2


def test_a_vote_for_the_target_of_a_transfer_skips_stickiness() -> None:
    """4.2.3: a candidate says by a special flag in its requests that it has permission to disrupt the leader."""
    peer = follower()
    peer.hear("a", append(1), LATER)
    peer.take()
    request = vote_request(2, last=(1, 1))
    peer.hear("c", request, LATER)
    assert peer.council.voted_for == NOBODY
    peer.hear("c", attrs.evolve(request, transfer=True), LATER)
    assert peer.council.voted_for == Seat("c", MEMORY)


def test_a_transfer_ends_the_term_of_the_prior_leader() -> None:
    """3.10: the target's next message includes its new term number, causing the prior leader to step down."""
    table = led("abc")
    table["a"].hand_over(table.now, to="c")
    table.deliver()
    assert (table["a"].role, table["a"].term) == (Role.FOLLOWER, 3)
    assert (table["c"].role, table["c"].term) == (Role.LEADER, 3)


def test_a_transfer_that_takes_longer_than_an_election_timeout_is_given_up() -> None:
    """3.10: if it does not complete after about an election timeout, the prior leader resumes accepting requests."""
    table = led("abc")
    table.cut = {"c"}
    table["a"].hand_over(table.now, to="c")
    table.beat("a", times=round(ELECTION_S / HEARTBEAT_S) - 1)
    assert table["a"].transfer is not None
    table.beat("a", times=2)
    last = table["a"].log.last_index
    table.propose("a", "x")
    assert table["a"].log.last_index == last + 1


def test_a_transfer_never_elects_who_lacks_entries() -> None:
    """3.10: safe since the target needs votes like anybody: who was called too soon is refused by the others."""
    table = led("abc")
    table.cut = {"c"}
    table.propose("a", "x")
    table.beat("a")
    table.cut = {"a"}
    table["c"].receive_timeout_now(run_of("a"), TimeoutNow(term=2), table.now)
    table.deliver()
    assert table["c"].role is Role.CANDIDATE


# --- 4.1 safety of membership changes -------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "is_let_in"),
    [("abcd", True), ("ab", True), ("abcde", False), ("abd", False), ("a", False), ("de", False)],
)
def test_only_one_server_is_added_or_removed_at_a_time(*, after: str, is_let_in: bool) -> None:
    """4.1: so that any majority of the old configuration overlaps with any majority of the new one."""
    table = led("abc", seatless="de")
    table["a"].propose([to(after)], table.now)
    assert seats(table, "a") == (after if is_let_in else "abc")


def test_a_new_configuration_takes_effect_as_soon_as_it_is_in_the_log() -> None:
    """4.1: a server always uses the latest configuration in its log, whether or not the entry is committed."""
    peer = Peer("b", saved_after([founding("abc")]))
    peer.hear("a", append(1, [Entry(index=2, term=1, change=to("abcd"))]), LATER)
    assert (peer.council.log.commit, peer.council.log.council) == (0, seats_of("abcd"))


def test_a_configuration_entry_commits_by_a_majority_of_the_new_configuration() -> None:
    """4.1: C_new is committed once a majority of C_new has it; a majority of C_old is not enough."""
    table = led("abc", seatless="d")
    table.cut = {"c", "d"}
    table["a"].propose([to("abcd")], table.now)
    table.beat("a", times=3)
    assert not table["a"].log.is_council_settled
    table.cut = {"c"}
    table.beat("a", times=3)
    assert table["a"].log.is_council_settled


def test_entries_after_a_configuration_entry_commit_by_the_new_configuration() -> None:
    """4.1: the new configuration takes effect for whatever else is committed, from the moment of its append."""
    table = led("abcd")
    table.cut = {"c", "d"}
    table.propose("a", "x")
    table.beat("a", times=2)
    assert table["a"].log.commit < table["a"].log.last_index  # two of four
    table["a"].propose([to("abc")], table.now)
    table.beat("a", times=2)
    assert table["a"].log.commit == table["a"].log.last_index  # two of three


def test_elections_are_won_by_a_majority_of_the_newest_configuration() -> None:
    """4.1: also in elections, and though the configuration is not committed."""
    table = Table("ab", entries=[founding("ab"), Entry(index=2, term=1, change=to("abc"))])
    table.peers["c"] = Peer("c", saved_after((), term=0))
    table.cut = {"b"}
    table.now += 10 * ELECTION_S
    table["a"].fire_timers(table.now)
    table.deliver()
    assert table["a"].is_leader  # two of three: c votes, although it knows no configuration at all


def test_a_server_falls_back_to_the_configuration_before_when_an_entry_is_removed() -> None:
    """4.1: it must be able to fall back, since the entry may be overwritten."""
    peer = Peer("b", saved_after([founding("abc"), Entry(index=2, term=1, change=to("abcd"))]))
    assert peer.council.log.council == seats_of("abcd")
    peer.hear("c", append(2, [entry(2, 2)]), LATER)
    assert peer.council.log.council == seats_of("abc")


def test_a_second_change_waits_until_the_first_is_committed() -> None:
    """4.1: if the leader appended another, quorums of servers that are two apart would not overlap."""
    table = led("abc", seatless="de")
    table.cut = {"b", "c"}
    table["a"].propose([to("abcd")], table.now)
    table["a"].propose([to("abcde")], table.now)
    assert seats(table, "a") == "abcd"
    table.cut = set()
    table.beat("a", times=2)
    table["a"].propose([to("abcde")], table.now)
    assert seats(table, "a") == "abcde"


def before_the_bug() -> Table:
    """Return the council abcd, where a has committed in term 2, with e and f to be added.

    Follows "bug in single-server membership changes" (raft-dev, July 2015): its S1 to S4 are a to d, and S5 is e.
    """
    return led("abcd", seatless="ef")


def test_the_bug_of_2015_a_change_before_an_entry_of_the_own_term_is_refused() -> None:
    """4.1, corrected in 2015: a leader changes no configuration before it has committed an entry in its term.

    The schedule: S1 leads, adds S5, and only S5 has the entry beside it; S2 is elected by S3 and S4, removes S1 with
    a majority of its own, and S1 is elected again by S5 and one more. Without the rule S2 would commit its removal
    of S1 by S2 and S3, and S1 its addition of S5 by S1, S4 and S5: two histories.
    """
    table = before_the_bug()
    table.cut = {"b", "c", "d"}
    table["a"].propose([to("abcde")], table.now)
    table.deliver()
    assert (seats(table, "a"), seats(table, "e")) == ("abcde", "abcde")
    win(table, "b", votes_of="cd")
    table["b"].propose([to("bcd")], table.now)
    assert seats(table, "b") == "abcd"
    assert table.peers["b"].counters["council_changes_refused"] == 1


def test_the_bug_of_2015_of_the_two_leaders_only_one_comes_to_commit_its_change() -> None:
    """4.1, corrected in 2015: the whole schedule, each leader insisting; what one has committed is never overwritten.

    With the rule S2 must first commit an entry by three of four, one of whom S1 then needs and does not get.
    """
    table = before_the_bug()
    table.cut = {"b", "c", "d"}
    table["a"].propose([to("abcde")], table.now)
    table.deliver()
    win(table, "b", votes_of="cd")
    table["b"].propose([to("bcd")], table.now)
    for _ in range(4):
        beat_among(table, "b", hearing="c")
    removed = table["b"].log.commit
    win(table, "a", votes_of="de")
    for _ in range(4):
        beat_among(table, "a", hearing="de")
    added = table["a"].log.commit
    assert added > 3  # its change among them
    logs = {name: {each.index: each for each in table.peers[name].entries()} for name in "ab"}
    common = range(3, min(removed, added) + 1)
    assert [logs["a"][index] for index in common] == [logs["b"][index] for index in common]
    assert (seats(table, "a"), seats(table, "b")) == ("abcde", "abcd")


def test_the_bug_of_2015_the_first_entry_of_a_term_lets_changes_in_again() -> None:
    """4.1, corrected in 2015: the no-op at the beginning of a term is the entry that is waited for."""
    table = before_the_bug()
    win(table, "b", votes_of="cd")
    table.beat("b", times=2)
    table["b"].propose([to("bcd")], table.now)
    assert seats(table, "b") == "bcd"


# --- 4.2.1 catching up new servers ----------------------------------------------------------------


def test_a_new_server_is_sent_the_log_before_it_has_a_vote() -> None:
    """4.2.1: it joins as a non-voting member to which the leader replicates log entries."""
    table = led("abc", seatless="d")
    table["a"].teach(Seat("d", MEMORY))
    table.beat("a", times=3)
    assert table["d"].log.last_index == table["a"].log.last_index
    assert not table["d"].has_seat


def test_a_new_server_is_not_counted_for_commits_before_it_has_a_seat() -> None:
    """4.2.1: it is not yet counted towards majorities for commitment purposes."""
    table = led("abc", seatless="d")
    table["a"].teach(Seat("d", MEMORY))
    table.beat("a", times=3)
    table.cut = {"b", "c"}
    table.propose("a", "x")
    table.beat("a", times=2)
    assert table["d"].log.last_index == table["a"].log.last_index
    assert table["a"].log.commit < table["a"].log.last_index


def test_a_new_server_is_not_counted_for_votes_before_it_has_a_seat() -> None:
    """4.2.1: nor for voting, though it grants its vote to whoever asks (4.1)."""
    table = led("abc", seatless="d")
    table["a"].teach(Seat("d", MEMORY))
    table.beat("a", times=3)
    table.cut = {"a", "c"}
    table.now += 10 * ELECTION_S
    table["b"].fire_timers(table.now)
    table.deliver()
    table.peers["b"].hear("d", VoteReply(term=3, voter=MEMORY, granted=True, pre=True), table.now)
    assert table["b"].role is Role.PRECANDIDATE


def test_a_new_server_is_ready_only_once_it_has_caught_up() -> None:
    """4.2.1: the leader waits until it is caught up, so that the change costs no availability."""
    table = led("abc", seatless="d")
    learner = Seat("d", MEMORY)
    table["a"].teach(learner)
    table.beat("a", times=3)
    table.cut = {"d"}
    table.propose("a", "x")
    table.deliver()
    assert not table["a"].is_level(learner, table.now)  # it has answered just now, but lacks what was committed since
    table.cut = set()
    table.beat("a", times=3)
    assert table["a"].is_level(learner, table.now)


def test_a_new_server_that_has_become_unavailable_is_not_ready() -> None:
    """4.2.1: the leader should abort the change if the new server is unavailable or too slow."""
    table = led("abc", seatless="d")
    table["a"].teach(Seat("d", MEMORY))
    table.beat("a", times=3)
    table.cut = {"d"}
    table.beat("a", times=A_WHILE)
    assert not table["a"].is_level(Seat("d", MEMORY), table.now)


# --- 4.2.2 removing the current leader ------------------------------------------------------------


def test_a_leader_leads_until_its_own_removal_is_committed() -> None:
    """4.2.2: there will be a period while a leader can manage a cluster that does not include itself."""
    table = led("abc")
    table.cut = {"b", "c"}
    table["a"].propose([to("bc")], table.now)
    table.deliver()
    assert table["a"].is_leader
    assert not table["a"].has_seat


def test_a_leader_steps_down_once_its_removal_is_committed() -> None:
    """4.2.2: it steps down once C_new is committed; earlier, it might have to be elected again."""
    table = led("abc")
    table["a"].propose([to("bc")], table.now)
    table.deliver()
    assert table["a"].role is Role.FOLLOWER
    assert table["a"].log.is_council_settled


def test_a_leader_that_is_removed_does_not_count_itself() -> None:
    """4.2.2: it replicates log entries but does not count itself in majorities."""
    table = led("abc")
    table.cut = {"c"}
    table["a"].propose([to("bc")], table.now)
    table.beat("a", times=3)
    assert not table["a"].log.is_council_settled  # one of two


def test_a_leader_that_was_removed_does_not_campaign() -> None:
    """4.2.2: a server that is not part of its own latest configuration does not start elections."""
    table = led("abc")
    table["a"].propose([to("bc")], table.now)
    table.deliver()
    table.now += 10 * ELECTION_S
    table["a"].fire_timers(table.now)
    assert (table["a"].role, table.peers["a"].take()) == (Role.FOLLOWER, [])


def test_the_others_go_on_without_the_leader_that_was_removed() -> None:
    """4.2.2: another server takes its place, by a majority of the configuration without it."""
    table = led("abc")
    table["a"].propose([to("bc")], table.now)
    table.beat("a")
    table.cut = {"a"}
    assert table.elect("b").log.council == seats_of("bc")


# --- 4.2.3 disruptive servers ---------------------------------------------------------------------


def test_a_removed_server_is_sent_no_heartbeats() -> None:
    """4.2.3: the leader does not send them to servers that are not in C_new, so those will time out."""
    table = led("abcd")
    table["a"].propose([to("abc")], table.now)
    table.deliver()
    table.now += HEARTBEAT_S
    table["a"].fire_timers(table.now)
    assert {sent.to for sent in table.peers["a"].take()} == {"b", "c"}


def test_a_removed_server_that_does_not_know_it_disrupts_nobody() -> None:
    """4.2.3: it times out again and again; the others hear a leader, and update no term for it."""
    table = led("abcd")
    table.cut = {"d"}
    table["a"].propose([to("abc")], table.now)
    table.beat("a")
    table.cut = set()
    asked = []
    for _ in range(2 * A_WHILE):
        table.beat("a")
        table["d"].fire_timers(table.now)
        asked += [letter for name, letter in table.deliver() if name == "d"]
    assert any(isinstance(letter.message, VoteRequest) for letter in asked)
    assert (table["a"].is_leader, table["a"].term, seats(table, "d")) == (True, 2, "abcd")


def test_a_removed_server_disrupts_nobody_though_its_log_is_up_to_date() -> None:
    """4.2.3: the Pre-Vote check of logs alone is not enough: a change may be under way that only the leader has."""
    table = led("abcd")
    table["a"].propose([to("abc")], table.now)
    table.peers["a"].take()  # nobody has it yet
    table["d"].fire_timers(table.now + 2 * ELECTION_S)
    table.deliver()
    assert (table["a"].is_leader, table["a"].term) == (True, 2)
    assert table["d"].role is Role.PRECANDIDATE


def test_a_vote_request_does_not_depose_a_leader_that_is_heard() -> None:
    """4.2.3: a request within the minimum election timeout of hearing a leader updates no term, and gets no vote."""
    peer = follower()
    peer.hear("a", append(1), LATER)
    peer.take()
    peer.hear("c", vote_request(50, last=(50, 50)), LATER + ELECTION_S / 2)
    assert (peer.council.term, peer.council.voted_for) == (1, NOBODY)


def test_a_vote_request_does_not_depose_the_leader_itself() -> None:
    """4.2.3: a leader that goes on getting heartbeats to its cluster is not deposed by larger terms."""
    table = led("abc")
    table.peers["a"].hear("c", vote_request(50, last=(50, 50)), table.now)
    assert (table["a"].is_leader, table["a"].term) == (True, 2)


def test_a_voter_that_restarts_sticks_to_the_leader_that_it_may_have_heard() -> None:
    """4.2.3: it has forgotten when it heard one last, so it gives no vote for a minimum election time-out."""
    peer = follower()
    peer.start(LATER)
    peer.hear("c", vote_request(9, last=(9, 9)), LATER + 0.9 * ELECTION_S)
    peer.hear("c", vote_request(9, last=(9, 9)), LATER + 1.1 * ELECTION_S)
    assert [reply.granted for reply in peer.said() if isinstance(reply, VoteReply)] == [False, True]


# --- 6.2 leaders that are cut off -----------------------------------------------------------------


def test_a_leader_steps_down_if_an_election_timeout_passes_without_a_majority() -> None:
    """6.2: so that clients do not wait at a leader that is cut off."""
    table = Table("abc")
    table.elect("a")
    table.cut = {"b", "c"}
    table.beat("a", times=int(ELECTION_S / HEARTBEAT_S) + 2)
    assert table["a"].role is Role.FOLLOWER


def test_a_leader_with_acks_of_a_majority_goes_on() -> None:
    """6.2: with a minority cut off it keeps its office."""
    table = Table("abcde")
    table.elect("a")
    table.cut = {"d", "e"}
    table.beat("a", times=10 * int(ELECTION_S / HEARTBEAT_S))
    assert table["a"].is_leader


# --- 6.4 (paper §8) answering from the state machine ----------------------------------------------
# What is answered here is "is there still a quorum, and have I all that it has decided?", by a beacon: made by rounds
# like ReadIndex (6.4), good for a while like a lease (6.4.1). Its other rules are those of `docs/guarantees.md`.


def issued(peer: Peer) -> float:
    """Return when the newest proof of a quorum was issued that `peer` may act on."""
    peer.council.authority.review(peer.council.plan, Run(peer.name, 1))
    return peer.council.authority.usable_at


def test_a_leader_proves_nothing_before_it_has_committed_an_entry_of_its_term() -> None:
    """6.4, step 1 (§8): until then it does not know which entries are committed."""
    table = led("abc")
    win(table, "b", votes_of="ac")
    leader = table.peers["b"]
    held = table["b"].log.last_index - 1
    ack = AppendReply(term=3, voter=MEMORY, round=1, success=True, index=held)
    leader.hear("c", ack, table.now)
    assert issued(leader) < table.now  # a majority has answered, but has not stored the no-op
    leader.hear("c", attrs.evolve(ack, index=held + 1), table.now)
    assert issued(leader) == table.now


def test_a_leader_proves_its_commit_index_of_the_moment() -> None:
    """6.4, step 2: it saves its current commit index as a lower bound of what the reader's state must have."""
    table = led("abc")
    table.beat("a", times=2)
    sent = table.peers["a"]
    table.now += HEARTBEAT_S
    sent.council.fire_timers(table.now)
    beacons = [each.message.beacon for each in sent.take() if isinstance(each.message, Append)]
    assert [each.index for each in beacons if each is not None] == [table["a"].log.commit] * 2


def test_a_leader_exchanges_heartbeats_with_a_majority_before_it_proves_itself() -> None:
    """6.4, step 3 (§8): it must check that it has not been deposed, by a round of heartbeats, before it answers."""
    table = led("abcde")
    before = issued(table.peers["a"])
    table.cut = {"b", "c", "d"}
    table.beat("a", times=2)
    assert issued(table.peers["a"]) == before  # two of five
    table.cut = {"b", "c"}
    table.beat("a")
    assert issued(table.peers["a"]) == table.now


def test_a_proof_counts_from_the_sending_of_the_round_that_was_acked() -> None:
    """6.4.1, figure 6.3: a lease starts when the round was *sent*, not when it was acknowledged."""
    table = led("abc")
    leader = table.peers["a"]
    table.now += HEARTBEAT_S
    sent_at = table.now
    leader.council.fire_timers(sent_at)
    (beat,) = {each.message.round for each in leader.take() if isinstance(each.message, Append)}
    ack = AppendReply(term=2, voter=MEMORY, round=beat, success=True, index=table["a"].log.last_index)
    leader.hear("b", ack, sent_at + HEARTBEAT_S / 2)
    assert issued(leader) == sent_at


def test_a_reader_waits_until_its_state_is_as_new_as_the_proof() -> None:
    """6.4, step 4: it waits for its state machine to advance at least as far as the read index."""
    reader = follower((2, 1), (3, 1))
    reader.hear("a", append(1, prev=(1, 3), commit=2), LATER)
    token = reader.council.authority.token(LATER)
    beat = append(1, prev=(1, 3), commit=2, beat=2)
    reader.hear("a", attrs.evolve(beat, echo=token, beacon=Beacon(term=1, index=3, age_ms=0)), LATER)
    assert issued(reader) == float("-inf")
    reader.hear("a", attrs.evolve(beat, commit=3), LATER)
    assert issued(reader) == LATER


def test_a_leader_that_was_deposed_and_does_not_know_it_proves_nothing() -> None:
    """6.4 (§8): otherwise it would return stale information when a more recent leader has been elected."""
    table = led("abc")
    table.cut = {"a"}
    table.beat("a")
    before = issued(table.peers["a"])
    table.now += 10 * ELECTION_S
    table["b"].fire_timers(table.now)
    table.deliver()
    assert (table["b"].is_leader, table["a"].is_leader) == (True, True)
    table["a"].fire_timers(table.now)
    table.deliver()
    assert issued(table.peers["a"]) == before


# --- 9.6 pre-vote ---------------------------------------------------------------------------------


def test_a_server_that_was_partitioned_disrupts_nobody_when_it_comes_back() -> None:
    """9.6: it cannot raise its term while cut off, and the others hear a leader."""
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
    """9.6: a voter says yes only if the log is up-to-date and it has heard no leader for a timeout."""
    for last, now, granted in (((1, 1), LATER, False), ((1, 2), LATER, True), ((1, 2), ELECTION_S / 2, False)):
        peer = follower((2, 1))
        peer.hear("a", vote_request(2, last=last, pre=True), now)
        (reply,) = peer.said()
        assert isinstance(reply, VoteReply)
        assert reply.granted is granted


def test_a_pre_candidate_raises_no_term_before_a_majority_says_yes() -> None:
    """9.6: a candidate only increments its term if it first learns from a majority that it could win."""
    peer = Peer("a", saved_after([founding("abcde")]))
    peer.council.fire_timers(LATER)
    peer.take()
    for name, before in (("b", (1, Role.PRECANDIDATE)), ("c", (1, Role.PRECANDIDATE)), ("d", (2, Role.CANDIDATE))):
        assert (peer.council.term, peer.council.role) == before
        peer.hear(name, VoteReply(term=2, voter=MEMORY, granted=True, pre=True), LATER)


def test_a_yes_to_a_pre_vote_binds_nobody() -> None:
    """9.6: it is only a question; a voter may say yes to several, and keeps its term and its vote."""
    peer = follower()
    for name in "ac":
        peer.hear(name, vote_request(2, last=(1, 1), pre=True), LATER)
    assert [reply.granted for reply in peer.said() if isinstance(reply, VoteReply)] == [True, True]
    assert (peer.council.term, peer.disk.saved().vote) == (1, VoteRecord(1, ""))
