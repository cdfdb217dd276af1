"""A plan that is too large for one message goes in pieces: to followers by their leader, to everyone who pulls."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.council import pieces
from swimstream.core.council.log import COMPACT_AFTER, Log
from swimstream.core.council.pieces import Assembly, Shelf, Stamp
from swimstream.core.council.pulls import TRIES_MAX
from swimstream.core.council.standing import Role
from swimstream.core.effects import Saved
from swimstream.errors import WireError
from swimstream.wire.council_messages import Append, AppendReply, PiecePull, PlanPull, Snapshot, SnapshotPiece
from swimstream.wire.plan_codec import encode_plan
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Sent,
    Table,
    entry,
    founding,
    mark,
    plan_after,
    run_of,
    saved_after,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.model.changes import Entry

PIECE = 1_024
LATER = 100.0
STAMP = Stamp(term=2, voter=MEMORY, round=0)


@pytest.fixture(autouse=True)
def small_pieces() -> Iterator[None]:
    """Cut plans of a few hundred decisions into several pieces."""
    with patch.object(pieces, "PIECE_BYTES", PIECE):
        yield


def long_log(names: str = "abc", *, count: int = COMPACT_AFTER + 100) -> list[Entry]:
    return [founding(names), *(entry(index, 1) for index in range(2, count))]


def log_at(index: int) -> Log:
    """Return a log that holds a snapshot at `index` and nothing else."""
    return Log(Saved(voter=MEMORY, plan=plan_after(long_log(count=index + 1))))


def cut(index: int) -> list[SnapshotPiece]:
    """Return all pieces of the plan at `index`, in order."""
    shelf = Shelf(log_at(index))
    found = [shelf.begin(STAMP)]
    while isinstance(found[-1], SnapshotPiece) and found[-1].offset + len(found[-1].data) < found[-1].total:
        found.append(shelf.go_on(index, found[-1].offset + len(found[-1].data), STAMP))
    return [piece for piece in found if isinstance(piece, SnapshotPiece)]


def behind() -> Peer:
    """Return one without a seat that has been shown a plan by `a` and has asked for it."""
    peer = Peer("z", saved_after([], term=0))
    peer.council.hear_mark(run_of("a"), mark(300), LATER)
    assert peer.said() == [PlanPull(index=0)]
    return peer


# --- giving ---------------------------------------------------------------------------------------


def test_a_plan_that_fits_one_piece_goes_whole_as_older_peers_read_it() -> None:
    assert isinstance(Shelf(log_at(10)).begin(STAMP), Snapshot)


def test_pieces_together_are_the_plan() -> None:
    found = cut(300)
    assert len(found) > 3
    assert all(len(piece.data) <= PIECE for piece in found)
    assert b"".join(piece.data for piece in found) == encode_plan(log_at(300).plan)


def test_pieces_fit_together_though_more_is_committed_between_them() -> None:
    log = log_at(300)
    shelf = Shelf(log)
    first = shelf.begin(STAMP)
    log.append([entry(301, 2)])
    log.commit_to(301)
    second = shelf.go_on(300, PIECE, STAMP)
    assert isinstance(first, SnapshotPiece)
    assert isinstance(second, SnapshotPiece)
    assert (first.index, first.total) == (second.index, second.total) == (300, len(encode_plan(log_at(300).plan)))


def test_a_plan_that_entries_follow_on_is_given_again_without_encoding_it() -> None:
    log = log_at(300)
    shelf = Shelf(log)
    shelf.begin(STAMP)
    log.append([entry(301, 2)])
    log.commit_to(301)
    with patch.object(pieces, "encode_plan", side_effect=AssertionError):
        again = shelf.begin(STAMP)
    assert isinstance(again, SnapshotPiece)
    assert again.index == 300


def test_the_plan_before_is_kept_while_it_is_read_and_the_one_before_that_is_not() -> None:
    log = log_at(300)
    shelf = Shelf(log)
    for index in (400, 500):
        shelf.begin(STAMP)
        log.install(log_at(index).plan)
    shelf.begin(STAMP)
    indices = [shelf.go_on(index, PIECE, STAMP) for index in (500, 400, 300)]
    assert [piece.index for piece in indices if isinstance(piece, SnapshotPiece)] == [500, 400, 500]


def test_the_plan_before_is_dropped_once_its_last_piece_is_given() -> None:
    log = log_at(300)
    shelf = Shelf(log)
    total = len(encode_plan(log.plan))
    shelf.begin(STAMP)
    log.install(log_at(400).plan)
    shelf.begin(STAMP)
    shelf.go_on(300, total - 1, STAMP)
    begun = shelf.go_on(300, PIECE, STAMP)
    assert isinstance(begun, SnapshotPiece)
    assert (begun.index, begun.offset) == (400, 0)


@pytest.mark.parametrize("offset", [10**6, 2**62])
def test_who_asks_beyond_the_end_is_given_the_beginning(offset: int) -> None:
    begun = Shelf(log_at(300)).go_on(300, offset, STAMP)
    assert isinstance(begun, SnapshotPiece)
    assert begun.offset == 0


# --- putting together -----------------------------------------------------------------------------


def test_pieces_in_order_make_the_plan() -> None:
    assembly = Assembly()
    assert all(assembly.add(piece) for piece in cut(300))
    assert assembly.take_untrusted() == log_at(300).plan
    assert assembly.offset == 0


@given(st.lists(st.tuples(st.sampled_from([300, 320]), st.integers(0, 12)), max_size=60))
def test_pieces_in_any_order_never_make_anything_else(order: list[tuple[int, int]]) -> None:
    found = {index: cut(index) for index in (300, 320)}
    assembly = Assembly()
    for index, place in order:
        assembly.add(found[index][place % len(found[index])])
        if assembly.is_whole:
            assert assembly.take_untrusted() in (log_at(300).plan, log_at(320).plan)


def test_a_plan_of_another_index_than_announced_is_refused() -> None:
    data = encode_plan(log_at(10).plan)
    assembly = Assembly()
    assembly.add(SnapshotPiece(term=1, voter=1, round=0, index=11, offset=0, total=len(data), data=data))
    with pytest.raises(WireError, match=r"SnapshotPiece\.index: expected that of the plan, 10, got 11"):
        assembly.take_untrusted()


def test_what_is_kept_is_never_more_than_was_announced() -> None:
    assembly = Assembly()
    assembly.add(SnapshotPiece(term=1, voter=1, round=0, index=5, offset=0, total=10, data=b"12345678"))
    assert not assembly.add(SnapshotPiece(term=1, voter=1, round=0, index=5, offset=8, total=10, data=b"90x"))
    assert assembly.offset == 8


# --- pulling --------------------------------------------------------------------------------------


def test_who_is_far_behind_has_the_whole_plan_after_one_mark() -> None:
    table = Table("abc", entries=long_log(), seatless="z")
    table.elect("a")
    table.tell_marks("a", "z")
    table["z"].fire_timers(table.now)
    table.deliver()
    assert table["z"].plan == table["a"].plan


def test_entries_that_were_committed_meanwhile_are_asked_for_at_once() -> None:
    table = Table("abc", entries=long_log(), seatless="yz")
    table.elect("a")
    table.tell_marks("a", "y")
    table.propose("a", *range(10))
    table.beat("a")
    table.tell_marks("a", "z")
    assert table["z"].plan.index < table["a"].plan.index
    table["z"].fire_timers(table.now)
    table.deliver()
    assert table["z"].plan == table["a"].plan


def test_each_piece_is_asked_for_when_the_one_before_is_there() -> None:
    peer = behind()
    first, second, *_ = cut(300)
    peer.hear("a", first, LATER)
    assert peer.said() == [PiecePull(index=300, offset=PIECE, round=0)]
    peer.hear("a", second, LATER)
    assert peer.said() == [PiecePull(index=300, offset=2 * PIECE, round=0)]


def test_a_question_that_is_lost_is_asked_again_and_not_for_ever() -> None:
    peer = behind()
    peer.hear("a", cut(300)[0], LATER)
    peer.take()
    now, asked = LATER, []
    for _ in range(3 * TRIES_MAX):
        now += HEARTBEAT_S
        peer.council.fire_timers(now)
        asked += peer.said()
    assert asked == [PiecePull(index=300, offset=PIECE, round=0)] * (TRIES_MAX - 1)


def test_another_giver_goes_on_where_the_first_has_ended() -> None:
    peer = behind()
    first, second, *_ = cut(300)
    peer.hear("a", first, LATER)
    peer.take()
    peer.council.hear_mark(run_of("b"), mark(310), LATER + HEARTBEAT_S)
    assert peer.said() == [PiecePull(index=300, offset=PIECE, round=0)]
    peer.hear("b", second, LATER + HEARTBEAT_S)
    assert peer.said() == [PiecePull(index=300, offset=2 * PIECE, round=0)]


def test_a_giver_that_no_longer_has_that_plan_begins_with_another() -> None:
    peer = behind()
    peer.hear("a", cut(300)[0], LATER)
    peer.take()
    for piece in cut(320):
        peer.hear("a", piece, LATER)
    peer.take()
    assert peer.council.plan == log_at(320).plan


def test_a_piece_that_comes_twice_is_asked_on_from_once() -> None:
    peer = behind()
    first = cut(300)[0]
    peer.hear("a", first, LATER)
    peer.take()
    peer.hear("a", first, LATER)
    assert peer.said() == []


def test_bytes_that_are_no_plan_are_dropped_and_not_asked_for_again() -> None:
    peer = behind()
    peer.hear("a", SnapshotPiece(term=1, voter=1, round=0, index=300, offset=0, total=9, data=b"no plan !"), LATER)
    peer.council.fire_timers(LATER)
    assert (peer.said(), peer.council.log.commit, peer.counters["plans_malformed"]) == ([], 0, 1)


def test_pieces_that_were_not_asked_for_are_refused() -> None:
    peer = Peer("z", saved_after([], term=0))
    peer.hear("a", cut(300)[0], LATER)
    asked = behind()
    asked.hear("x", cut(300)[0], LATER)
    assert [each.counters["pieces_refused"] for each in (peer, asked)] == [1, 1]
    assert [each.said() for each in (peer, asked)] == [[], []]


def test_pieces_are_taken_from_who_is_in_an_older_term() -> None:
    """The plan that was asked for is committed; whoever gives it need not know of this peer's election."""
    peer = Peer("z", saved_after([], term=9))
    peer.council.hear_mark(run_of("a"), mark(300), LATER)
    for piece in cut(300):
        peer.hear("a", piece, LATER)
    assert (peer.council.log.commit, peer.council.term) == (300, 9)


def test_a_plan_of_an_unbelievable_term_is_not_taken_from_pieces() -> None:
    """It would be the last term of this voter: above it none is left to be elected in."""
    forged = encode_plan(plan_after([founding("abc"), entry(2, 2**60)]))
    peer = behind()
    piece = SnapshotPiece(term=1, voter=MEMORY, round=0, index=2, offset=0, total=len(forged), data=forged)
    peer.hear("a", piece, LATER)
    peer.take()
    assert (peer.council.log.commit, peer.counters["term_jumps_refused"]) == (0, 1)


# --- from the leader ------------------------------------------------------------------------------


def led_table() -> Table:
    """Return three of whom `c` lacks what the others have compacted away."""
    table = Table("abc", entries=long_log())
    table.peers["c"] = Peer("c", Saved(voter=MEMORY, plan=plan_after([founding("abc")])))
    return table


def test_the_leader_brings_a_follower_up_to_date_in_pieces() -> None:
    table = led_table()
    table.elect("a")
    for _ in range(4):
        table.beat("a")
    assert table["c"].plan == table["a"].plan


def step(table: Table, *, deaf: str = "") -> list[Sent]:
    """Deliver what has been said so far, and nothing that comes of it; return what `a` has sent to `c`."""
    letters = [(name, sent) for name, peer in table.peers.items() for sent in peer.take()]
    for name, sent in letters:
        if type(sent.message).__name__ != deaf:
            table.peers[sent.to].hear(name, sent.message, table.now)
    return [sent for name, sent in letters if (name, sent.to) == ("a", "c")]


def reading() -> Table:
    """Return a table whose `c` has been sent a first piece and has asked for the second."""
    table = led_table()
    table.now += 10 * ELECTION_S
    table["a"].fire_timers(table.now)
    for _ in range(20):
        if any(isinstance(sent.message, SnapshotPiece) for sent in step(table)):
            return table
    raise AssertionError("a piece is sent")


def test_every_piece_of_a_leader_is_acked_as_a_heartbeat() -> None:
    table = reading()
    said = table.peers["c"].said()
    assert [type(message) for message in said] == [PiecePull, AppendReply]
    reply = said[1]
    assert isinstance(reply, AppendReply)
    assert reply.success


def test_a_follower_that_reads_pieces_does_not_campaign() -> None:
    table = reading()
    for _ in range(60):
        table.now += HEARTBEAT_S
        table["a"].fire_timers(table.now)
        table["c"].fire_timers(table.now)
        step(table, deaf="PiecePull")
    assert table["c"].role is Role.FOLLOWER
    assert table["c"].plan.index == 1


def test_a_piece_that_is_lost_is_sent_again_within_two_heartbeats() -> None:
    table = reading()
    step(table, deaf="PiecePull")
    sent: list[Sent] = []
    for _ in range(2):
        table.now += HEARTBEAT_S
        table["a"].fire_timers(table.now)
        for _ in range(3):
            sent += step(table, deaf="PiecePull")
    assert [type(each.message) for each in sent if isinstance(each.message, SnapshotPiece)] == [SnapshotPiece]
    assert any(isinstance(each.message, Append) for each in sent)


def test_one_piece_at_a_time_is_under_way_however_often_the_leader_beats() -> None:
    table = reading()
    sent = []
    for _ in range(30):
        sent += [each.message for each in step(table) if isinstance(each.message, SnapshotPiece)]
        table["a"].fire_timers(table.now)
    offsets = [piece.offset for piece in sent]
    assert offsets == sorted(set(offsets))
    assert table["c"].plan == table["a"].plan


def test_a_follower_that_starts_again_is_given_the_beginning() -> None:
    table = reading()
    step(table)
    table.peers["c"].start(table.now)
    for _ in range(8):
        table.beat("a")
    assert table["c"].plan == table["a"].plan


def test_a_leader_of_an_older_term_is_refused() -> None:
    peer = Peer("c", saved_after([founding("abc")], term=5))
    peer.hear("a", attrs.evolve(cut(300)[0], round=3), LATER)
    (reply,) = peer.said()
    assert isinstance(reply, AppendReply)
    assert (reply.success, reply.term) == (False, 5)
