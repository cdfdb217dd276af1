"""Changes of the council in the log: one seat at a time, in effect at once, and counted by the newest council."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.council.changing import admitted, refusal
from swimstream.core.council.log import Log
from swimstream.core.council.standing import Role
from swimstream.model.changes import SEATS_MAX, ChangeCouncil, Entry, Found, RecoverCouncil, Seat
from swimstream.wire.council_messages import Append, AppendReply, VoteReply
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Table,
    append,
    change,
    entry,
    founding,
    saved_after,
    seats_of,
    vote_request,
)

LATER = 100.0


def to(names: str) -> ChangeCouncil:
    """Return the change to a council of one-letter names."""
    return ChangeCouncil(council=seats_of(sorted(names)), reason="test", evidence=())


def changed(index: int, term: int, names: str) -> Entry:
    return Entry(index=index, term=term, change=to(names))


def council(table: Table, name: str) -> str:
    return "".join(seat.name for seat in table[name].log.council)


def led(names: str, *, seatless: str = "") -> Table:
    """Return a table at which `a` leads and has committed an entry of its own."""
    table = Table(names, seatless=seatless)
    table.elect("a")
    return table


def change_to(table: Table, names: str) -> None:
    table["a"].propose([to(names)], table.now)


# --- in the log -----------------------------------------------------------------------------------


def test_a_council_counts_as_soon_as_it_is_in_the_log() -> None:
    peer = Peer("b", saved_after([founding("abc")]))
    peer.hear("a", append(1, [changed(2, 1, "abcd")]), LATER)
    assert peer.council.log.commit == 0
    assert peer.council.log.council == seats_of("abcd")


def test_a_truncated_council_no_longer_counts() -> None:
    peer = Peer("b", saved_after([founding("abc"), changed(2, 1, "abcd")]))
    peer.hear("c", append(2, [entry(2, 2)]), LATER)
    assert peer.council.log.council == seats_of("abc")
    peer.take()  # compares the disk as well


def test_a_restart_finds_the_newest_council() -> None:
    peer = Peer("b", saved_after([founding("abc"), changed(2, 1, "abcd"), entry(3, 1)]))
    assert peer.council.log.council == seats_of("abcd")


def test_a_recovered_council_counts_like_any_other() -> None:
    change = RecoverCouncil(council=seats_of("b"), lost=("a", "c"), asked_by="b")
    log = Log(saved_after([founding("abc"), Entry(index=2, term=9, change=change)]))
    assert log.council == seats_of("b")


# --- what may enter -------------------------------------------------------------------------------


def test_no_council_changes_before_the_leader_has_committed_in_its_term() -> None:
    """The very case of the bug of 2015: everything older is committed, but by another leader."""
    table = led("abc", seatless="d")
    table.beat("a", times=2)
    table.now += 10 * ELECTION_S
    table["b"].fire_timers(table.now)
    while not table["b"].is_leader:
        for name in "abc":
            for sent in table.peers[name].take():
                table.peers[sent.to].hear(name, sent.message, table.now)
    assert table["b"].log.commit == table["b"].log.last_index - 1  # all but its own first entry
    table["b"].propose([to("abcd")], table.now)
    assert council(table, "b") == "abc"
    assert table.peers["b"].counters["council_changes_refused"] == 1
    table.deliver()
    table["b"].propose([to("abcd")], table.now)
    assert council(table, "b") == "abcd"


def test_a_second_change_waits_until_the_first_is_committed() -> None:
    table = led("abc", seatless="de")
    table.cut = {"b", "c"}
    change_to(table, "abcd")
    change_to(table, "abcde")
    assert council(table, "a") == "abcd"
    table.cut = set()
    table.beat("a", times=2)
    change_to(table, "abcde")
    assert council(table, "a") == "abcde"


def test_of_two_changes_in_one_batch_the_second_is_refused() -> None:
    table = led("abc", seatless="de")
    table["a"].propose([to("abcd"), change("x"), to("abce")], table.now)
    assert council(table, "a") == "abcd"
    table.deliver()
    assert [each.change for each in table.peers["a"].entries()[-2:]] == [to("abcd"), change("x")]


def test_when_all_is_refused_nothing_is_appended() -> None:
    table = led("abc")
    last = table["a"].log.last_index
    change_to(table, "abcde")
    assert table["a"].log.last_index == last


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (seats_of("abcde"), "one seat more or one seat less"),
        (seats_of("abd"), "one seat more or one seat less"),
        (seats_of("abc"), "one seat more or one seat less"),
        (seats_of("aabc"), "one seat more or one seat less"),
        (seats_of("abccd"), "one seat more or one seat less"),
        ((*seats_of("ab"), Seat("c", MEMORY + 1)), "one seat more or one seat less"),
        ((*seats_of("abc"), Seat("c", MEMORY + 1)), ""),
        (seats_of("ab"), ""),
        (seats_of("abcd"), ""),
    ],
)
def test_only_one_seat_changes_at_a_time(after: tuple[Seat, ...], why: str) -> None:
    table = led("abc")
    asked = ChangeCouncil(council=after, reason="", evidence=())
    error = refusal(asked, table["a"].log, term=table["a"].term)
    assert (why in error) if why else not error


def test_the_last_seat_is_never_removed() -> None:
    table = led("a")
    assert "expected 1 to" in refusal(to(""), table["a"].log, term=table["a"].term)


def test_a_council_has_no_more_seats_than_the_largest_and_one() -> None:
    table = led("abcdefgh")
    assert len(table["a"].log.council) == SEATS_MAX
    assert f"expected 1 to {SEATS_MAX} seats, got 9" in refusal(to("abcdefghi"), table["a"].log, term=table["a"].term)


@pytest.mark.parametrize(
    "alien",
    [
        Found(cluster_id=9, council=seats_of("abcd")),
        RecoverCouncil(council=seats_of("abcd"), lost=(), asked_by="a"),
    ],
)
def test_foundings_and_recoveries_are_not_proposed(alien: Found | RecoverCouncil) -> None:
    table = led("abc")
    counters = table.peers["a"].counters
    assert admitted([alien], table["a"].log, term=table["a"].term, counters=counters) == []
    assert counters["council_changes_refused"] == 1


# --- the newest council decides -------------------------------------------------------------------


def test_a_new_seat_gets_the_entries_and_counts_at_once() -> None:
    table = led("ab", seatless="c")
    change_to(table, "abc")
    table.cut = {"b"}
    table.beat("a", times=3)
    assert table["a"].log.commit == table["a"].log.last_index  # by a and c, two of three
    assert table["c"].has_seat


def test_an_entry_after_the_addition_needs_the_larger_majority() -> None:
    table = led("abc", seatless="d")
    table.cut = {"c", "d"}
    change_to(table, "abcd")
    table.beat("a", times=3)
    assert not table["a"].log.is_council_settled  # two of four are no majority, though two of three were one


def test_a_removed_seat_counts_no_more() -> None:
    table = led("abcd")
    table.cut = {"c", "d"}
    change_to(table, "abc")
    table.beat("a", times=2)
    assert table["a"].log.is_council_settled  # two of three
    table.cut = {"b", "c"}
    table.propose("a", "x")
    table.beat("a", times=2)
    assert table["a"].log.commit < table["a"].log.last_index


def test_the_removed_gets_no_more_entries() -> None:
    table = led("abcd")
    change_to(table, "abc")
    sent = table.deliver()
    assert "d" not in {letter.to for name, letter in sent if name == "a"}


def test_a_removed_leader_does_not_count_its_own_copy() -> None:
    table = led("abc")
    table.cut = {"c"}
    change_to(table, "bc")
    table.beat("a", times=3)
    assert not table["a"].log.is_council_settled  # b alone is one of two
    table.cut = set()
    table.beat("a", times=2)
    assert table["a"].log.is_council_settled


def test_a_removed_leader_leads_until_its_removal_is_committed() -> None:
    table = led("abc")
    table.cut = {"b", "c"}
    change_to(table, "bc")
    table.deliver()
    assert table["a"].is_leader
    table.cut = set()
    table.beat("a", times=2)
    assert table["a"].role is Role.FOLLOWER
    assert table.peers["a"].counters["leaders_unseated"] == 1
    assert council(table, "b") == "bc"


def test_a_commit_before_the_removal_does_not_end_the_office() -> None:
    table = led("abc")
    table.cut = {"b", "c"}
    table.propose("a", "x")
    change_to(table, "bc")
    table.deliver()
    last = table["a"].log.last_index
    for name in "bc":
        ack = AppendReply(term=2, voter=MEMORY, round=1, success=True, index=last - 1)
        table.peers["a"].hear(name, ack, table.now)
    assert table["a"].log.commit == last - 1
    assert table["a"].is_leader


def test_a_removed_leader_needs_a_majority_of_the_others_to_stay() -> None:
    table = led("abc")
    change_to(table, "bc")
    table.cut = {"c"}
    table.beat("a", times=round(3 * ELECTION_S / HEARTBEAT_S))
    assert not table["a"].is_leader
    assert table.peers["a"].counters["quorums_lost"] == 1


def test_who_has_no_seat_does_not_campaign() -> None:
    table = led("abcd")
    change_to(table, "abc")
    table.beat("a", times=3)
    table.tell_marks("a", "d")
    assert not table["d"].has_seat
    table.now += 10 * ELECTION_S
    table["d"].fire_timers(table.now)
    assert table.peers["d"].take() == []


def test_a_removed_voter_that_does_not_know_it_deposes_nobody() -> None:
    """Thesis §4.2.3: its log is behind and it campaigns on and on; the others stick to their leader."""
    table = led("abcd")
    table.cut = {"d"}
    change_to(table, "abc")
    table.beat("a", times=round(3 * ELECTION_S / HEARTBEAT_S))
    table.cut = set()
    table["d"].fire_timers(table.now)
    asked = table.deliver()
    assert asked
    assert (table["a"].is_leader, table["a"].term, table["d"].term) == (True, 2, 2)


# --- the memory behind a seat ---------------------------------------------------------------------


def two_memories() -> Table:
    """Return a council of a, b, c and c's new memory, where a leads and c runs with the new one."""
    table = Table("abc")
    table.peers["c"] = Peer("c", saved_after((), term=0, voter=MEMORY + 1))
    table.elect("a")
    council = tuple(sorted([*seats_of("abc"), Seat("c", MEMORY + 1)]))
    table["a"].propose([ChangeCouncil(council=council, reason="", evidence=())], table.now)
    table.beat("a", times=3)
    return table


def test_the_new_memory_acks_for_its_own_seat_alone() -> None:
    table = two_memories()
    assert table["c"].has_seat
    table.cut = {"b"}
    table.propose("a", "x")
    table.beat("a", times=3)
    assert table["a"].log.commit < table["a"].log.last_index  # a and the new c: two of four


def test_the_new_memory_votes_for_its_own_seat_alone() -> None:
    table = two_memories()
    table.cut = {"a"}
    table.now += 10 * ELECTION_S
    table["b"].fire_timers(table.now)
    table.deliver()
    assert table["b"].role is Role.PRECANDIDATE  # two of four


def test_a_vote_for_a_lost_memory_is_no_vote_for_the_new_one() -> None:
    """Otherwise both could be elected in one term: the first before it lost its memory, the second after."""
    peer = Peer("a", saved_after([founding("abc")]))
    peer.hear("c", vote_request(2, last=(1, 1)), LATER)
    again = VoteReply(term=2, voter=MEMORY, granted=False, pre=False)
    peer.take()
    peer.hear("c", attrs.evolve(vote_request(2, last=(1, 1)), voter=MEMORY + 1), LATER)
    assert peer.said() == [again]


# --- learners -------------------------------------------------------------------------------------


def test_a_learner_gets_the_log_and_has_no_vote() -> None:
    table = led("abc", seatless="d")
    table["a"].teach(Seat("d", MEMORY))
    table.beat("a", times=3)
    assert table["d"].log.last_index == table["a"].log.last_index
    assert not table["d"].has_seat
    table.cut = {"b", "c"}
    table.propose("a", "x")
    table.beat("a", times=2)
    assert table["a"].log.commit < table["a"].log.last_index


def test_a_learner_keeps_no_leader_in_office() -> None:
    table = led("abc", seatless="de")
    table["a"].teach(Seat("d", MEMORY))
    table.cut = {"b", "c"}
    table.beat("a", times=round(3 * ELECTION_S / HEARTBEAT_S))
    assert not table["a"].is_leader


def test_a_learner_is_level_once_it_has_what_is_committed() -> None:
    table = led("abc", seatless="d")
    learner = Seat("d", MEMORY)
    assert not table["a"].is_level(learner, table.now)
    table.cut = {"d"}
    table["a"].teach(learner)
    table.beat("a", times=2)
    assert not table["a"].is_level(learner, table.now)
    table.cut = set()
    table.beat("a", times=3)
    assert table["a"].is_level(learner, table.now)


def test_a_learner_that_lacks_what_was_committed_since_is_level_no_more() -> None:
    table = led("abc", seatless="d")
    table["a"].teach(Seat("d", MEMORY))
    table.beat("a", times=3)
    table.cut = {"d"}
    table.propose("a", "x")
    table.deliver()
    assert not table["a"].is_level(Seat("d", MEMORY), table.now)


def test_a_learner_that_fell_silent_is_level_no_more() -> None:
    table = led("abc", seatless="d")
    table["a"].teach(Seat("d", MEMORY))
    table.beat("a", times=3)
    table.cut = {"d"}
    table.beat("a", times=round(2 * ELECTION_S / HEARTBEAT_S))
    assert not table["a"].is_level(Seat("d", MEMORY), table.now)


def test_who_is_taught_no_more_hears_no_more() -> None:
    table = led("abc", seatless="d")
    table["a"].teach(Seat("d", MEMORY))
    table.beat("a", times=3)
    table["a"].teach(None)
    table.now += HEARTBEAT_S
    table["a"].fire_timers(table.now)
    assert "d" not in {sent.to for sent in table.peers["a"].take()}


def test_a_promoted_learner_keeps_its_place() -> None:
    table = led("abc", seatless="d")
    table["a"].teach(Seat("d", MEMORY))
    table.beat("a", times=3)
    change_to(table, "abcd")
    (sent,) = [each.message for each in table.peers["a"].take() if each.to == "d"]
    assert isinstance(sent, Append)
    assert [each.change for each in sent.entries] == [to("abcd")]  # nothing is looked for again
