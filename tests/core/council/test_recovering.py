"""A council whose majority is lost: when one worker may go on alone, and what it then does."""

from __future__ import annotations

import pytest

from swimstream.core.council.beacons import Proof
from swimstream.core.council.recovering import TERMS_JUMPED
from swimstream.model.changes import Entry, Noop, RecoverCouncil, Seat, SetAuthority
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Table,
    append,
    entry,
    founding,
    mark,
    run_of,
    saved_after,
    seats_of,
)

CLUSTER = 7
LATER = 100.0


def left_over(*, extra: int = 0) -> Peer:
    """Return `c` of the council abc, which has heard nobody for long; its log ends at 2, after the founding."""
    log = [founding("abc"), entry(2, 1), *(entry(3 + each, 1) for each in range(extra))]
    peer = Peer("c", saved_after(log, term=4))
    peer.hear("a", append(4, prev=(1, 2), commit=2), 1.0)
    peer.take()
    return peer


def recover(peer: Peer, *, cluster_id: int = CLUSTER, live: str = "c", now: float = LATER) -> str:
    return peer.council.recover(cluster_id=cluster_id, live=seats_of(live), asked_by=peer.name, now=now)


def test_it_leads_alone_and_at_once_in_a_term_far_above() -> None:
    peer = left_over()
    assert not recover(peer)
    assert peer.council.is_leader
    assert peer.council.term == 4 + TERMS_JUMPED
    assert peer.council.plan.council == seats_of("c")
    assert peer.council.is_settled


def test_it_is_refused_as_long_as_the_old_council_may_have_stood_a_moment_ago() -> None:
    """A seat of its own is not needed to know that: any worker may have heard of it."""
    log = [founding("abc"), Entry(index=2, term=1, change=SetAuthority(isolation_ms=4_000, drift_ppm=0))]
    peer = Peer("c", saved_after(log, term=4))
    peer.hear("a", append(4, prev=(1, 2), commit=2), 1.0)
    peer.council.authority.learn(Proof(term=4, index=2, issued=LATER - 4.0))
    assert "stood less than 4 s ago" in recover(peer)
    assert not recover(peer, now=LATER + 0.001)


def test_the_plan_says_who_was_declared_lost_and_where() -> None:
    peer = left_over()
    recover(peer)
    (found,) = [each.change for each in peer.entries() if isinstance(each.change, RecoverCouncil)]
    assert (found.lost, found.asked_by) == (("a", "b"), "c")


def test_the_recovered_council_wants_as_many_seats_as_the_lost_one_had() -> None:
    peer = left_over()
    recover(peer)
    assert peer.council.plan.seats_wanted == 3


def test_what_may_have_been_committed_by_the_lost_ones_is_kept() -> None:
    peer = left_over(extra=2)
    assert peer.council.log.commit == 2
    recover(peer)
    assert peer.entries()[-4:-2] == (entry(3, 1), entry(4, 1))
    assert [type(each.change) for each in peer.entries()[-2:]] == [RecoverCouncil, Noop]
    assert peer.council.is_settled


def test_a_crash_at_any_moment_leaves_a_log_that_can_go_on() -> None:
    for cut in range(6):
        peer = left_over()
        recover(peer)
        peer.take(upto=cut)
        peer.start(LATER)
        assert peer.council.log.council in (seats_of("abc"), seats_of("c"))
        peer.council.fire_timers(LATER + 3 * ELECTION_S)
        assert peer.council.is_leader is (peer.council.log.council == seats_of("c"))


def test_who_has_no_seat_can_recover_as_well() -> None:
    table = Table("ab", seatless="c")
    table.elect("a")
    table.tell_marks("a", "c")
    table.cut = {"a", "b"}
    assert not recover(table.peers["c"], now=table.now + LATER)
    assert table["c"].is_leader


def test_an_old_leader_steps_down_when_it_hears_of_the_recovered_council() -> None:
    table = Table("abc")
    table.elect("a")
    table.cut = {"c"}
    table.beat("a", times=round(3 * ELECTION_S / HEARTBEAT_S))
    recover(table.peers["c"], now=table.now)
    table.cut = set()
    table["a"].hear_mark(run_of("c"), table["c"].mark, table.now)
    assert not table["a"].is_leader


def test_the_lost_ones_follow_when_they_come_back_without_news_of_their_own() -> None:
    table = Table("abc")
    table.elect("a")
    table.cut = {"a", "b"}
    table.now += 10 * ELECTION_S
    assert not recover(table.peers["c"], now=table.now)
    table.cut = set()
    for name in "ab":
        table.now += 4 * HEARTBEAT_S
        table.tell_marks("c", name)
    assert {table[name].log.council for name in "abc"} == {seats_of("c")}


# --- when not -------------------------------------------------------------------------------------


def refused(peer: Peer, error: str) -> bool:
    """Return whether nothing has happened but an answer."""
    return bool(error) and peer.take() == [] and not peer.council.is_leader


def test_another_clusters_id_is_no_confirmation() -> None:
    peer = left_over()
    assert "expected the id of this cluster, 7," in (error := recover(peer, cluster_id=8))
    assert refused(peer, error)


def test_who_knows_no_cluster_recovers_none() -> None:
    peer = Peer("c", saved_after((), term=0))
    assert "knows no cluster" in (error := recover(peer, cluster_id=0))
    assert refused(peer, error)


def test_a_leader_that_spoke_of_late_stands() -> None:
    peer = left_over()
    assert recover(peer, now=1.0 + 0.9 * ELECTION_S) == "council: it has a leader that a majority follows"


def test_a_leader_itself_recovers_nothing() -> None:
    table = Table("a")
    table.elect("a")
    assert recover(table.peers["a"], live="a", now=table.now + LATER) == (
        "council: it has a leader that a majority follows"
    )


def test_a_majority_that_is_alive_elects() -> None:
    peer = left_over()
    assert "a majority of its seats is alive (b, c)" in (error := recover(peer, live="bcde"))
    assert refused(peer, error)


def test_seats_whose_workers_lost_their_memory_are_no_majority() -> None:
    peer = left_over()
    live = [*seats_of("c"), Seat("a", MEMORY + 1), Seat("b", MEMORY + 1)]
    assert not peer.council.recover(cluster_id=CLUSTER, live=live, asked_by="c", now=LATER)


@pytest.mark.parametrize(("index", "live", "refuses"), [(3, "cd", True), (2, "cd", False), (3, "c", False)])
def test_it_is_done_where_most_of_the_plan_is_known(index: int, live: str, *, refuses: bool) -> None:
    peer = left_over()
    peer.council.hear_mark(run_of("d"), mark(index, term=4), LATER)
    peer.take()
    error = recover(peer, live=live)
    assert error == ("plan: d has more of it than this worker; recover the council there" if refuses else "")


def test_who_has_caught_up_since_may_recover() -> None:
    peer = left_over()
    peer.council.hear_mark(run_of("d"), mark(3, term=4), LATER)
    peer.hear("d", append(4, [entry(3, 4)], prev=(1, 2), commit=3), 2.0)
    peer.take()
    assert not recover(peer, live="cd")
