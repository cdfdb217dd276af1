"""Leading: what is sent, what may be committed, and when a leader must stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swimstream.core.council.leading import ROUNDS_KEPT, reached_by_majority
from swimstream.core.council.log import COMPACT_AFTER, ENTRIES_PER_MESSAGE_MAX
from swimstream.core.effects import EntriesRecord, Persist
from swimstream.model.changes import Noop
from swimstream.wire.council_messages import Append, AppendReply, Snapshot
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
    saved_after,
)

if TYPE_CHECKING:
    from swimstream.model.changes import Entry
    from swimstream.wire.messages import Message


def appends(messages: list[Message]) -> list[Append]:
    return [message for message in messages if isinstance(message, Append)]


def ack(term: int, index: int, *, beat: int = 1, success: bool = True, voter: int = MEMORY) -> AppendReply:
    return AppendReply(term=term, voter=voter, round=beat, success=success, index=index)


# --- committing -----------------------------------------------------------------------------------


def test_a_new_leader_commits_an_entry_of_its_own_term_first() -> None:
    table = Table("abc")
    leader = table.elect("a")
    assert isinstance(table.peers["a"].entries()[-1].change, Noop)
    assert leader.log.commit == 2


def test_nothing_is_committed_without_a_majority() -> None:
    table = Table("abcde")
    table.elect("a")
    table.cut = {"c", "d", "e"}
    table.propose("a", "x")
    table.deliver()
    assert (table["a"].log.last_index, table["a"].log.commit) == (3, 2)


def test_a_majority_commits() -> None:
    table = Table("abcde")
    table.elect("a")
    table.cut = {"d", "e"}
    table.propose("a", "x")
    table.deliver()
    assert table["a"].log.commit == 3


def test_an_entry_of_an_older_term_commits_only_along_with_one_of_the_leaders_own() -> None:
    """Raft figure 8 (§5.4.2): a majority holds entry 2 of term 2, and yet it may still be replaced."""
    table = Table("abcde", entries=[founding("abcde"), entry(2, 2)])
    table.now = 10 * ELECTION_S
    table["a"].fire_timers(table.now)
    grant_and_lead(table)
    for follower in "bcd":
        table.peers["a"].hear(follower, ack(3, 2), table.now)
    assert table["a"].log.commit == 0
    for follower in "bc":
        table.peers["a"].hear(follower, ack(3, 3), table.now)
    assert table["a"].log.commit == 3


def grant_and_lead(table: Table) -> None:
    """Let the others vote for `a`, but hear none of its entries."""
    leader = table.peers["a"]
    while not leader.council.is_leader:
        for sent in leader.take():
            if not isinstance(sent.message, Append) and not leader.council.is_leader:
                table.peers[sent.to].hear("a", sent.message, table.now)
                for reply in table.peers[sent.to].take():
                    leader.hear(sent.to, reply.message, table.now)
    leader.take()


def test_acks_of_workers_without_a_seat_never_count() -> None:
    table = Table("abc")
    table.elect("a")
    table.propose("a", "x")
    for stranger in "xyz":
        table.peers["a"].hear(stranger, ack(2, 3), table.now)
    table.peers["a"].hear("b", ack(2, 3, voter=MEMORY + 1), table.now)
    assert table["a"].log.commit == 2


def test_acks_of_an_older_term_never_count() -> None:
    table = Table("abc")
    table.elect("a")
    table.propose("a", "x")
    table.peers["a"].hear("b", ack(1, 3), table.now)
    assert table["a"].log.commit == 2


def test_an_ack_beyond_the_log_counts_no_further_than_the_log() -> None:
    table = Table("abc")
    table.elect("a")
    table.peers["a"].hear("b", ack(2, 10**9), table.now)
    table.propose("a", "x")
    assert table["a"].log.commit == 2


def test_followers_apply_what_the_leader_has_committed() -> None:
    table = Table("abc")
    table.elect("a")
    table.propose("a", "x")
    table.deliver()
    table.beat("a")
    assert table["b"].plan == table["c"].plan == table["a"].plan
    assert table["a"].plan.index == 3


def test_followers_hear_of_a_commit_at_once_not_a_heartbeat_later() -> None:
    table = Table("abc")
    table.elect("a")
    table.propose("a", "x")
    table.deliver()
    assert table["a"].next_deadline() <= table.now


def test_the_leaders_entries_are_on_disk_before_they_are_sent() -> None:
    table = Table("abc")
    table.elect("a")
    table.propose("a", "x")
    first, *rest = table.peers["a"].outbox.done
    assert isinstance(first, Persist)
    assert isinstance(first.record, EntriesRecord)
    assert all(isinstance(effect, Sent) for effect in rest)


def test_a_followers_entries_are_on_disk_before_they_are_acked() -> None:
    peer = Peer("b", saved_after([founding("abc")]))
    peer.hear("a", append(1, [entry(2, 1)]), 0.0)
    assert [type(effect) for effect in peer.outbox.done] == [Persist, Sent]


def test_a_follower_commits_no_further_than_its_log_is_known_to_agree() -> None:
    """The tail may be another leader's: `commit` says nothing of what this message did not check (Raft fig. 2)."""
    peer = Peer("b", saved_after([founding("abc"), entry(2, 1), entry(3, 1)]))
    peer.hear("a", append(2, commit=3, prev=(1, 1)), 0.0)
    assert peer.council.log.commit == 1


# --- repairing logs -------------------------------------------------------------------------------


def test_a_follower_that_lacks_entries_says_where_its_log_ends() -> None:
    peer = Peer("b", saved_after([founding("abc")]))
    peer.hear("a", append(1, [entry(9, 1)], prev=(1, 8)), 0.0)
    assert answers(peer) == [ack(1, 1, success=False)]


def test_a_follower_refuses_entries_after_one_that_it_does_not_have() -> None:
    peer = Peer("b", saved_after([founding("abc"), entry(2, 1)]))
    peer.hear("a", append(3, [entry(3, 3)], prev=(2, 2)), 0.0)
    assert answers(peer) == [ack(3, 1, success=False)]
    assert peer.council.log.last_index == 2


@pytest.mark.parametrize("behind", [[], [entry(2, 1), entry(3, 1), entry(4, 1)]], ids=["short", "divergent"])
def test_a_leader_brings_a_follower_to_its_own_log(behind: list[Entry]) -> None:
    log = [founding("abc"), *(entry(index, 2) for index in range(2, 10))]
    table = Table("abc", entries=log)
    mine = [founding("abc"), *(entry(2 + position, 1) for position in range(len(behind)))]
    table.peers["c"] = Peer("c", saved_after(mine))
    table.elect("a")
    table.beat("a", times=3)
    assert table.peers["c"].entries() == table.peers["a"].entries()
    assert table["c"].plan == table["a"].plan


def test_a_refusal_that_arrives_late_takes_no_agreement_back() -> None:
    table = Table("abcde")
    table.elect("a")
    table.propose("a", "x")
    leader = table.peers["a"]
    leader.hear("b", ack(2, 3), table.now)
    leader.hear("b", ack(2, 0, success=False), table.now)
    leader.hear("c", ack(2, 3), table.now)
    assert table["a"].log.commit == 3


def test_a_message_carries_a_bounded_number_of_entries() -> None:
    log = [founding("abc"), *(entry(index, 1) for index in range(2, 3 * ENTRIES_PER_MESSAGE_MAX))]
    table = Table("abc", entries=log)
    table.peers["c"] = Peer("c", saved_after(log[:1]))
    table.elect("a")
    sent = [len(sent.message.entries) for _, sent in table.deliver() if isinstance(sent.message, Append)]
    table.beat("a", times=4)
    assert max(sent, default=0) <= ENTRIES_PER_MESSAGE_MAX
    assert table["c"].log.last_index == table["a"].log.last_index


def test_a_follower_far_behind_gets_a_snapshot() -> None:
    log = [founding("abc"), *(entry(index, 1) for index in range(2, COMPACT_AFTER + 100))]
    table = Table("abc", entries=log)
    table.cut = {"c"}
    table.peers["c"] = Peer("c", saved_after(log[:1]))
    table.elect("a")
    table.cut = set()
    table.now += HEARTBEAT_S
    table["a"].fire_timers(table.now)
    delivered = table.deliver()
    table.beat("a", times=2)
    assert any(isinstance(sent.message, Snapshot) and sent.to == "c" for _, sent in delivered)
    assert table["c"].plan == table["a"].plan


def test_a_snapshot_of_an_older_term_is_refused() -> None:
    table = Table("abc")
    table.elect("a")
    peer = Peer("b", saved_after([founding("abc")], term=5))
    peer.hear("a", Snapshot(term=2, voter=MEMORY, round=1, plan=table["a"].plan), 0.0)
    assert answers(peer) == [ack(5, 1, success=False)]
    assert peer.council.log.commit == 0


def test_a_snapshot_that_says_nothing_new_is_acked_all_the_same() -> None:
    table = Table("abc")
    table.elect("a")
    old = Snapshot(term=2, voter=MEMORY, round=3, plan=table["b"].plan)
    table.peers["b"].take()
    table.peers["b"].hear("a", old, table.now)
    assert answers(table.peers["b"]) == [ack(2, 2, beat=3)]


# --- what breaks the rules ------------------------------------------------------------------------


def test_entries_that_would_change_what_is_committed_are_dropped_and_counted() -> None:
    table = Table("abc")
    table.elect("a")
    peer = table.peers["b"]
    peer.hear("c", append(9, [entry(2, 9)], prev=(1, 1), commit=2), table.now)
    assert (peer.said(), peer.counters["protocol_violations"]) == ([], 1)
    assert peer.entries() == table.peers["a"].entries()


@pytest.mark.parametrize(
    "entries", [[entry(4, 1)], [entry(2, 1), entry(4, 1)], [entry(2, 5)]], ids=["gap", "hole", "of a later term"]
)
def test_entries_out_of_order_are_dropped_and_counted(entries: list[Entry]) -> None:
    peer = Peer("b", saved_after([founding("abc")]))
    peer.hear("a", append(1, entries, prev=(1, 1)), 0.0)
    assert (peer.said(), peer.counters["protocol_violations"]) == ([], 1)
    assert peer.council.log.last_index == 1


def test_a_second_leader_of_the_own_term_is_refused_and_counted() -> None:
    table = Table("abc")
    table.elect("a")
    table.peers["a"].hear("b", append(2, prev=(1, 1)), table.now)
    assert (table["a"].is_leader, table.peers["a"].counters["protocol_violations"]) == (True, 1)


def test_a_leader_of_an_older_term_is_told_of_the_newer() -> None:
    peer = Peer("b", saved_after([founding("abc")], term=5))
    peer.hear("a", append(4, [entry(2, 4)]), 0.0)
    assert answers(peer) == [ack(5, 1, success=False)]
    assert peer.council.mark.leader == ""


# --- check quorum (thesis §6.2) -------------------------------------------------------------------


def test_a_leader_that_loses_its_majority_steps_down_within_an_election_timeout() -> None:
    table = Table("abc")
    table.elect("a")
    table.cut = {"a"}
    lost_at = table.now
    while table["a"].is_leader:
        table.beat("a")
        assert table.now - lost_at <= ELECTION_S + 2 * HEARTBEAT_S
    assert table.peers["a"].counters["quorums_lost"] == 1


def test_a_leader_with_a_bare_majority_stays() -> None:
    table = Table("abcde")
    table.elect("a")
    table.cut = {"d", "e"}
    table.beat("a", times=30)
    assert table["a"].is_leader


def test_a_leader_beats_once_an_interval_and_remembers_few_of_its_heartbeats() -> None:
    table = Table("abc")
    leader = table.elect("a")
    table.beat("a", times=2 * ROUNDS_KEPT)
    assert leader.next_deadline() == pytest.approx(table.now + HEARTBEAT_S)
    leader.fire_timers(table.now)
    assert table.peers["a"].said() == []
    assert leader._standing.leadership is not None
    assert len(leader._standing.leadership._rounds) == ROUNDS_KEPT


def test_strangers_keep_no_leader_in_office() -> None:
    table = Table("abc")
    table.elect("a")
    table.cut = {"a"}
    for beat in range(2, 40):
        table.now += HEARTBEAT_S
        table["a"].fire_timers(table.now)
        table.peers["a"].hear("z", ack(2, 2, beat=beat), table.now)
        table.peers["a"].take()
    assert not table["a"].is_leader


def test_a_late_ack_of_an_old_heartbeat_keeps_no_leader_in_office() -> None:
    """What counts is when the heartbeat was sent, not when its ack arrived."""
    table = Table("abc")
    table.elect("a")
    table.cut = {"a"}
    for _ in range(40):
        table.now += HEARTBEAT_S
        table["a"].fire_timers(table.now)
        table.peers["a"].hear("b", ack(2, 2, beat=2), table.now)
        table.peers["a"].take()
    assert not table["a"].is_leader


def test_a_new_leader_has_an_election_timeout_to_be_heard() -> None:
    table = Table("abc")
    table.now = 10 * ELECTION_S
    table["a"].fire_timers(table.now)
    grant_and_lead(table)
    table.now += 0.9 * ELECTION_S
    table["a"].fire_timers(table.now)
    assert table["a"].is_leader


def test_a_council_of_one_needs_nobody_else_to_stay() -> None:
    peer = Peer("a", saved_after([founding("a")]))
    peer.council.fire_timers(100.0)
    for beat in range(100):
        peer.council.fire_timers(100.0 + beat * HEARTBEAT_S)
    assert peer.council.is_leader


@pytest.mark.parametrize(
    ("values", "seats", "reached"),
    [
        ([5], 1, 5),
        ([5, 3], 2, 3),
        ([5, 3, 1], 3, 3),
        ([5], 3, float("-inf")),
        ([5, 4], 3, 4),
        ([5, 4], 5, float("-inf")),
        ([9, 7, 5, 3, 1], 5, 5),
        ([], 0, float("-inf")),
    ],
)
def test_the_majority_is_that_of_all_seats_heard_from_or_not(values: list[float], seats: int, reached: float) -> None:
    assert reached_by_majority(values, seats=seats) == reached
