"""Statuses of instances that have left the plan are dropped, by everybody alike, and not taken again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.model.changes import CancelJob, UpdateJob
from swimstream.model.status import InstanceState
from tests.core.town import Town, job

if TYPE_CHECKING:
    from swimstream.model.identity import InstanceId

TWO, ONE = job(parallelism=2), job(parallelism=1)
KEPT, GONE = TWO.instances()


@pytest.fixture
def town() -> Town:
    """Return a town that runs both instances of a job."""
    made = Town("abc")
    made.run_until_led()
    made.submit("a", TWO)
    made.run_until(lambda: all(known(made, name, state=InstanceState.RUNNING) == {KEPT, GONE} for name in "abc"))
    return made


def known(town: Town, name: str, *, state: InstanceState | None = None) -> set[InstanceId]:
    return {each.instance for each in town.node(name).statuses() if state is None or each.state is state}


def scale_down(town: Town) -> None:
    town.node("a").change(2, UpdateJob(job=ONE, base=0, asked_by="a"), now=town.now)
    town.run_until(lambda: all(len(town.node(name).plan.assignments) == 1 for name in "abc"))


def test_what_a_job_no_longer_has_is_dropped_everywhere_and_counted(town: Town) -> None:
    scale_down(town)
    assert [known(town, name) for name in "abc"] == [{KEPT}] * 3
    assert [town.node(name).counters()["statuses_pruned"] for name in "abc"] == [1, 1, 1]


def test_what_is_said_of_it_afterwards_is_past_and_counted(town: Town) -> None:
    last = next(each for each in town.node("b").statuses() if each.instance == GONE)
    scale_down(town)
    node = town.node("b")
    before = node.counters().get("statuses_past", 0)
    node._rooms.tell_status(attrs.evolve(last, seq=last.seq + 10))
    assert known(town, "b") == {KEPT}
    assert node.counters()["statuses_past"] == before + 1


def test_what_is_said_of_an_epoch_that_the_plan_here_has_not_come_to_is_kept(town: Town) -> None:
    """The status may be faster than the plan."""
    last = next(each for each in town.node("b").statuses() if each.instance == GONE)
    scale_down(town)
    later = town.node("b").plan.index + 1
    town.node("b")._rooms.tell_status(attrs.evolve(last, epoch=later))
    assert known(town, "b") == {KEPT, GONE}


def test_of_a_cancelled_job_the_statuses_stay(town: Town) -> None:
    """They say whether its copies have ended."""
    town.node("a").change(2, CancelJob(job="job", asked_by="a"), now=town.now)
    town.run_until(lambda: all(known(town, name, state=InstanceState.STOPPED) == {KEPT, GONE} for name in "abc"))


def test_of_a_job_that_is_begun_anew_the_statuses_of_its_former_life_are_dropped(town: Town) -> None:
    test_of_a_cancelled_job_the_statuses_stay(town)
    town.node("a").change(3, UpdateJob(job=TWO, base=1, asked_by="a", fresh=True), now=town.now)
    town.run_until(lambda: all(known(town, name, state=InstanceState.RUNNING) == {KEPT, GONE} for name in "abc"))
    assert all(town.node(name).counters()["statuses_pruned"] == 2 for name in "abc")
