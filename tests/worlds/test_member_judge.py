"""What the judge says of members: evidence only rises, tombstones are kept, names are kept apart, excuses are few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.config import LOCAL
from swimstream.events import MemberChanged, Superseded
from swimstream.model.identity import Address, Run
from swimstream.model.member import Member, MemberState
from swimstream.simulator import promises
from swimstream.simulator.clock import Clock
from swimstream.simulator.faults import Faults
from swimstream.simulator.observer import Observer
from swimstream.simulator.promises import PromiseBroken
from tests.worlds.views import FakeView, member

if TYPE_CHECKING:
    from swimstream.simulator.watches import Watch

ALIVE, SUSPECT, DEAD, LEFT = MemberState
TOMBSTONE_S = 10.0


class Court:
    """A judge with a clock, and one view that holds what the test wants."""

    def __init__(self, *, gentle: bool = True, faults: Faults | None = None) -> None:
        self.clock = Clock()
        timing = attrs.evolve(LOCAL, tombstone_s=TOMBSTONE_S)
        self.observer = Observer(seed=1, gentle=gentle, clock=self.clock, timing=timing, faults=faults or Faults())
        self.view = FakeView("a")
        self.watch = self.join(self.view, "host-a")

    def join(self, view: FakeView, place: str) -> Watch:
        watch = self.observer.begin(view, place=place)
        self.observer.hear(watch, MemberChanged(member(view.name, boot=view.boot)))
        return watch

    def holds(self, held: Member, *, at: float) -> None:
        self.clock.run_until(at)
        self.view.held = (held,)
        self.observer.sample()

    def gives_way(self, watch: Watch, by: Run) -> None:
        self.observer.hear(watch, Superseded(by, Address("10.0.0.9", 1)))


# --- evidence and tombstones ------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(SUSPECT, ALIVE), (DEAD, ALIVE), (DEAD, SUSPECT), (LEFT, DEAD)])
def test_a_state_that_falls_within_an_incarnation_is_caught(before: MemberState, after: MemberState) -> None:
    court = Court()
    court.holds(member("c", state=before), at=1.0)
    with pytest.raises(PromiseBroken, match=promises.INCARNATIONS):
        court.holds(member("c", state=after), at=2.0)


def test_a_refutation_may_clear_any_suspicion_and_death() -> None:
    court = Court()
    court.holds(member("c", state=DEAD), at=1.0)
    court.holds(member("c", incarnation=1), at=2.0)


def test_the_dead_may_come_back_when_their_tombstone_is_forgotten() -> None:
    court = Court()
    court.holds(member("c", boot=5, state=DEAD), at=1.0)
    court.holds(member("c", boot=4), at=1.0 + TOMBSTONE_S)


def test_the_dead_may_not_come_back_while_their_tombstone_lasts() -> None:
    court = Court()
    court.holds(member("c", boot=5, state=DEAD), at=1.0)
    court.holds(member("c", boot=5, incarnation=3, state=DEAD), at=5.0)
    with pytest.raises(PromiseBroken, match=promises.INCARNATIONS):
        court.holds(member("c", boot=4), at=0.9 + TOMBSTONE_S)


def test_a_clock_that_leaps_shortens_a_tombstone() -> None:
    court = Court(faults=Faults(clock_leaps=1, leap_s=(0.0, 4.0)))
    court.holds(member("c", boot=5, state=DEAD), at=1.0)
    court.holds(member("c", boot=4), at=1.0 + TOMBSTONE_S - 4.0)


# --- names ------------------------------------------------------------------------------------------


def test_who_gives_way_to_nobody_is_caught() -> None:
    court = Court()
    with pytest.raises(PromiseBroken, match="no later run of its name"):
        court.gives_way(court.watch, Run("a", 9))


def test_who_gives_way_to_an_earlier_life_of_its_own_is_caught() -> None:
    court = Court()
    later = court.join(FakeView("a", boot=9), "host-a")
    court.observer.end(later, crashed=True, running={})
    with pytest.raises(PromiseBroken, match="an earlier life of its own"):
        court.gives_way(court.watch, Run("a", 9))


def test_a_namesake_that_takes_over_from_one_whom_it_could_have_asked_is_caught() -> None:
    court = Court()
    court.clock.run_until(2 * LOCAL.sync_interval_s)
    court.join(FakeView("a", boot=9), "host-b")
    with pytest.raises(PromiseBroken, match=promises.ONE_NAME):
        court.gives_way(court.watch, Run("a", 9))


@pytest.mark.parametrize(("gentle", "excused_until"), [(False, 0.0), (True, 99.0)])
def test_a_namesake_may_take_over_from_one_who_did_not_answer(*, gentle: bool, excused_until: float) -> None:
    """It was cut off, or it stood still."""
    court = Court(gentle=gentle)
    court.watch.excused_until = excused_until
    court.clock.run_until(2 * LOCAL.sync_interval_s)
    court.join(FakeView("a", boot=9), "host-b")
    court.gives_way(court.watch, Run("a", 9))


def test_of_two_namesakes_that_came_at_once_one_may_give_way() -> None:
    court = Court()
    court.join(FakeView("a", boot=9), "host-b")
    court.gives_way(court.watch, Run("a", 9))


# --- excuses ----------------------------------------------------------------------------------------


def test_whose_links_come_and_go_may_take_the_healthy_for_dead() -> None:
    court = Court()
    court.observer.begin(FakeView("c"), place="host-c")
    court.watch.excuse(5.0)
    court.observer.hear(court.watch, MemberChanged(member("c", state=DEAD)))


def test_nobody_else_may_believe_it() -> None:
    court = Court()
    court.observer.begin(FakeView("c"), place="host-c")
    court.watch.excuse(5.0)
    other = court.join(FakeView("b"), "host-b")
    with pytest.raises(PromiseBroken, match=promises.NO_FALSE_DEATH):
        court.observer.hear(other, MemberChanged(member("c", state=DEAD)))


def test_nobody_healthy_may_be_declared_dead_when_the_network_has_long_been_whole_again() -> None:
    court = Court(gentle=False)
    court.observer.gentle_from = 5.0
    court.join(FakeView("c"), "host-c")
    court.clock.run_until(4.9)
    court.observer.hear(court.watch, MemberChanged(member("c", state=DEAD)))
    court.clock.run_until(5.0)
    with pytest.raises(PromiseBroken, match=promises.NO_FALSE_DEATH):
        court.observer.hear(court.watch, MemberChanged(member("c", incarnation=1, state=DEAD)))


def test_the_healthy_must_see_a_crash_in_time_while_others_stand_still() -> None:
    court = Court()
    stopped = FakeView("b", held=(member("c"),))
    court.join(stopped, "host-b").excused_until = 99.0
    court.observer.end(court.observer.begin(FakeView("c")), crashed=True, running={})
    court.observer.check_detected(Run("c", 1), since=0.0, only_healthy=True)
    court.view.held = (member("c"),)
    with pytest.raises(PromiseBroken, match="a@1 still holds it ALIVE"):
        court.observer.check_detected(Run("c", 1), since=0.0, only_healthy=True)


def test_a_goodbye_must_be_known_in_time_as_a_crash_must() -> None:
    court = Court()
    leaver = court.join(FakeView("c"), "host-c")
    court.observer.end(leaver, crashed=False, running={})
    court.view.held = (member("c"),)
    with pytest.raises(PromiseBroken, match=r"c@1 left at 0\.000 s"):
        court.observer.check_detected(Run("c", 1), since=0.0)
