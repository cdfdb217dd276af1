"""The judge of the council looks at the disks: what is committed, who voted for whom, and how the council changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swimstream.config import LOCAL
from swimstream.core.effects import EntriesRecord, Record, SnapshotRecord, VoteRecord
from swimstream.model.changes import Change, ChangeCouncil, Entry, Noop, Seat
from swimstream.model.plan import Plan
from swimstream.simulator import promises
from swimstream.simulator.clock import Clock
from swimstream.simulator.disks import Disk
from swimstream.simulator.faults import Faults
from swimstream.simulator.observer import Observer
from swimstream.simulator.promises import PromiseBroken
from tests.worlds.views import FOUNDED, FakeView, plan_after

if TYPE_CHECKING:
    from swimstream.simulator.watches import Watch

A, B, C = FOUNDED.council
D, E = Seat("d", 1), Seat("e", 1)
SEATS = {seat.name: seat for seat in (A, B, C, D, E)}


def council_of(*seats: Seat) -> ChangeCouncil:
    return ChangeCouncil(council=seats, reason="asked for", evidence=())


class Chamber:
    """A judge and five hosts with disks."""

    def __init__(self) -> None:
        self.observer = Observer(seed=1, gentle=False, clock=Clock(), timing=LOCAL, faults=Faults())
        self.disks = {name: Disk(voter=1) for name in SEATS}
        for name, disk in self.disks.items():
            self.observer.council.register(SEATS[name], disk)

    def begin(self, name: str, *, term: int = 2, is_leader: bool = True, plan: Plan | None = None) -> Watch:
        view = FakeView(name, plan=plan or Plan(), leader=name, is_leader=is_leader, term=term)
        return self.observer.begin(view, disk=self.disks[name])

    def write(self, name: str, *changes: Change, first: int = 1, term: int = 1) -> None:
        """Put entries on a disk without a word to the judge."""
        entries = (Entry(index=first + at, term=term, change=change) for at, change in enumerate(changes))
        self.disks[name].write(EntriesRecord(first, tuple(entries)))

    def persist(self, watch: Watch, record: Record) -> None:
        watch.disk.write(record)
        self.observer.write(watch, SEATS[watch.run.name], record)

    def append(self, watch: Watch, change: Change, *, index: int, term: int = 2) -> None:
        self.persist(watch, EntriesRecord(index, (Entry(index=index, term=term, change=change),)))

    def commits(self, watch: Watch, *changes: Change, term: int = 1) -> None:
        view = watch.view
        assert isinstance(view, FakeView)
        view.plan = plan_after(*changes, term=term)
        self.observer.step(watch)


# --- a majority -------------------------------------------------------------------------------------


def test_a_commit_that_only_a_minority_holds_is_caught() -> None:
    chamber = Chamber()
    watch = chamber.begin("a")
    chamber.write("a", FOUNDED, Noop())
    with pytest.raises(PromiseBroken, match=promises.MINORITY):
        chamber.commits(watch, FOUNDED, Noop())


def test_a_commit_that_a_majority_holds_is_allowed() -> None:
    chamber = Chamber()
    watch = chamber.begin("a")
    for name in "ac":
        chamber.write(name, FOUNDED, Noop())
    chamber.commits(watch, FOUNDED, Noop())


def test_who_has_no_seat_does_not_count_towards_a_majority() -> None:
    chamber = Chamber()
    watch = chamber.begin("a")
    for name in "ade":
        chamber.write(name, FOUNDED, Noop())
    with pytest.raises(PromiseBroken, match=promises.MINORITY):
        chamber.commits(watch, FOUNDED, Noop())


def test_an_entry_of_another_term_at_that_index_does_not_count() -> None:
    chamber = Chamber()
    watch = chamber.begin("a")
    chamber.write("a", FOUNDED, Noop())
    chamber.write("b", FOUNDED)
    chamber.write("b", Noop(), first=2, term=2)
    with pytest.raises(PromiseBroken, match=promises.MINORITY):
        chamber.commits(watch, FOUNDED, Noop())


def test_a_snapshot_that_covers_an_entry_holds_it() -> None:
    chamber = Chamber()
    watch = chamber.begin("a")
    chamber.write("a", FOUNDED, Noop())
    chamber.disks["b"].write(SnapshotRecord(plan_after(FOUNDED, Noop()), keeps_tail=False))
    chamber.commits(watch, FOUNDED, Noop())


def test_the_majority_is_that_of_the_newest_council_in_the_log_committed_or_not() -> None:
    chamber = Chamber()
    watch = chamber.begin("a")
    for name in "ab":
        chamber.write(name, FOUNDED, Noop(), council_of(A, B, C, D))
    chamber.observer.council.remember(watch)
    with pytest.raises(PromiseBroken, match=promises.MINORITY):
        chamber.commits(watch, FOUNDED, Noop())


def test_a_follower_may_learn_first_of_what_its_leader_committed() -> None:
    """The leader ended in the step in which it told."""
    chamber = Chamber()
    watch = chamber.begin("c", is_leader=False)
    for name in "ab":
        chamber.write(name, FOUNDED, Noop())
    chamber.commits(watch, FOUNDED, Noop())


def test_a_disk_counts_also_after_a_fault_has_taken_it() -> None:
    """Its voter had said so."""
    chamber = Chamber()
    watch = chamber.begin("a")
    for name in "ab":
        chamber.write(name, FOUNDED, Noop())
    chamber.observer.council.register(Seat("b", 9), Disk(voter=9))
    chamber.commits(watch, FOUNDED, Noop())


# --- leaders and votes ------------------------------------------------------------------------------


def test_a_leader_that_lacks_what_was_committed_is_caught() -> None:
    chamber = Chamber()
    watch = chamber.begin("a")
    for name in "ab":
        chamber.write(name, FOUNDED, Noop())
    chamber.commits(watch, FOUNDED, Noop())
    with pytest.raises(PromiseBroken, match="c@1 leads term 3 without entry 2 of term 1, committed in 2"):
        chamber.observer.step(chamber.begin("c", term=3))


def test_a_leader_whose_log_has_what_was_committed_is_allowed() -> None:
    """It need not know yet that it is committed."""
    chamber = Chamber()
    watch = chamber.begin("a")
    for name in "ab":
        chamber.write(name, FOUNDED, Noop())
    chamber.commits(watch, FOUNDED, Noop())
    chamber.observer.step(chamber.begin("b", term=3))


def test_a_leader_of_an_earlier_term_may_lack_it() -> None:
    """Its last vote was long under way; it can commit nothing."""
    chamber = Chamber()
    watch = chamber.begin("a", term=5)
    for name in "ab":
        chamber.write(name, FOUNDED, Noop())
    chamber.commits(watch, FOUNDED, Noop())
    chamber.observer.step(chamber.begin("c", term=4))


def test_a_second_leader_of_a_term_is_caught_after_the_first_has_restarted() -> None:
    chamber = Chamber()
    one = chamber.begin("a")
    chamber.observer.step(one)
    chamber.observer.end(one, crashed=True, running={})
    with pytest.raises(PromiseBroken, match=promises.ONE_LEADER):
        chamber.observer.step(chamber.begin("b"))


def test_a_vote_that_is_forgotten_is_caught_when_the_next_is_given() -> None:
    chamber = Chamber()
    one = chamber.begin("a", is_leader=False)
    chamber.persist(one, VoteRecord(3, "b"))
    again = chamber.begin("a", is_leader=False)
    with pytest.raises(PromiseBroken, match="a votes for c in term 3, after its vote for b"):
        chamber.persist(again, VoteRecord(3, "c"))


def test_a_vote_may_follow_on_entering_a_term_and_be_another_in_the_next() -> None:
    chamber = Chamber()
    watch = chamber.begin("a", is_leader=False)
    for vote in (VoteRecord(3, ""), VoteRecord(3, "b"), VoteRecord(4, ""), VoteRecord(4, "c")):
        chamber.persist(watch, vote)


# --- changes of the council -------------------------------------------------------------------------


def leader_with(chamber: Chamber, *, committed: int, term: int = 2) -> Watch:
    """Return a leader of term 2 whose log is the founding and an entry of its own, so much of it committed."""
    chamber.write("a", FOUNDED)
    chamber.write("a", Noop(), first=2, term=2)
    plan = plan_after(FOUNDED)
    if committed == 2:
        plan = plan.advance([Entry(index=2, term=term, change=Noop())])
    return chamber.begin("a", plan=plan)


def test_a_change_after_an_entry_of_the_leaders_own_term_is_allowed() -> None:
    chamber = Chamber()
    chamber.append(leader_with(chamber, committed=2), council_of(A, B, C, D), index=3)


def test_a_change_before_an_entry_of_the_leaders_own_term_is_caught() -> None:
    chamber = Chamber()
    with pytest.raises(PromiseBroken, match="has committed none of its own"):
        chamber.append(leader_with(chamber, committed=1), council_of(A, B, C, D), index=3)


def test_a_second_change_while_the_first_is_not_committed_is_caught() -> None:
    chamber = Chamber()
    watch = leader_with(chamber, committed=2)
    chamber.append(watch, council_of(A, B, C, D), index=3)
    with pytest.raises(PromiseBroken, match=promises.COUNCIL):
        chamber.append(watch, council_of(A, B, C, D, E), index=4)


def test_a_change_of_two_seats_at_once_is_caught() -> None:
    chamber = Chamber()
    with pytest.raises(PromiseBroken, match="entry 3 makes"):
        chamber.append(leader_with(chamber, committed=2), council_of(A, B, C, D, E), index=3)


def test_a_seat_that_is_replaced_in_one_step_is_caught() -> None:
    """Add the new one, then remove the other."""
    chamber = Chamber()
    with pytest.raises(PromiseBroken, match="entry 3 makes"):
        chamber.append(leader_with(chamber, committed=2), council_of(A, B, D), index=3)
