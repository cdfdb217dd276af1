"""Whole nodes: a worker that is about to leave becomes empty first, and nobody waits for who is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swimstream.core.effects import StartInstance, StopInstance
from swimstream.model.changes import DRAINING, LEAVING, NORMAL, SetWorkerMode
from swimstream.model.job import AT_MOST_ONE, PINNED, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from tests.core.town import Town

if TYPE_CHECKING:
    from swimstream.core.effects import Effect
    from tests.core.town import Citizen

WITHIN_S = 60.0
WITHDRAW, LEAVE = 90, 91


def regions(*, instances: str = "at-least-one", jobs: int = 3) -> list[JobSpec]:
    return [
        JobSpec(name=f"j{n}", operators=(OperatorSpec(name="op", kind="map", parallelism=3, instances=instances),))
        for n in range(jobs)
    ]


class Busy(Town):
    """Workers with jobs that run. `gaps` are the instances that ran nowhere for a moment, though nobody had died."""

    def __init__(self, names: str, jobs: list[JobSpec]) -> None:
        self.gaps: set[str] = set()
        self.are_slow = False
        """Whether nothing that is given to anybody comes up, until `come_up`."""
        self.to_start: list[tuple[Citizen, StartInstance]] = []
        super().__init__(names)
        self.run_until_led()
        for number, spec in enumerate(jobs, start=1):
            self.submit(names[0], spec, request=number)
        self.wanted = {str(which) for spec in jobs for which in spec.instances()}
        self.run_until(lambda: self.covered() == self.wanted)
        self.run_for(1.0)

    def covered(self) -> set[str]:
        return {which for citizen in self.citizens.values() if citizen.is_up for which in citizen.running}

    def withdraw(self, name: str, *, within_s: float = WITHIN_S) -> None:
        self.node(name).withdraw(WITHDRAW, within_s=within_s, now=self.now)
        self.carry_out()

    def is_withdrawn(self, name: str) -> bool:
        return WITHDRAW in self[name].answers

    def leave(self, name: str) -> None:
        self.node(name).leave(LEAVE, now=self.now)
        self.run_until(lambda: LEAVE in self[name].answers)
        self.crash(name)

    def come_up(self) -> None:
        self.are_slow = False
        for citizen, effect in self.to_start:
            super()._carry_out_one(citizen, effect)

    def _carry_out_one(self, citizen: Citizen, effect: Effect) -> None:
        if self.are_slow and isinstance(effect, StartInstance):
            self.to_start.append((citizen, effect))
            return
        super()._carry_out_one(citizen, effect)
        if isinstance(effect, StopInstance):
            self.gaps |= {str(effect.instance)} - self.covered()


def test_a_worker_is_empty_when_its_withdrawal_is_answered_and_nothing_has_stood_still() -> None:
    town = Busy("abc", regions())
    name = next(each for each in "abc" if each != town.leader())
    assert town[name].running
    town.withdraw(name)
    assert not town.is_withdrawn(name)
    town.run_until(lambda: town.is_withdrawn(name))
    assert town[name].answers[WITHDRAW] == ""
    assert town[name].running == {}
    assert town.covered() == town.wanted
    assert town.gaps == set()


def test_a_former_copy_goes_on_until_its_successor_has_come_up() -> None:
    town = Busy("abc", regions(jobs=1))
    name = next(each for each in "abc" if each != town.leader())
    ours = set(town[name].running)
    town.are_slow = True
    town.withdraw(name)
    town.run_for(5.0)
    assert {held.run.name for held in town.node(name).plan.assignments.values()}.isdisjoint(name)
    assert set(town[name].running) == ours
    assert not town.is_withdrawn(name)
    town.come_up()
    town.run_until(lambda: town.is_withdrawn(name))
    assert town[name].running == {}
    assert town.gaps == set()


def test_what_runs_at_most_once_ends_here_before_it_runs_elsewhere() -> None:
    town = Busy("abc", regions(instances=AT_MOST_ONE, jobs=1))
    name = next(each for each in "abc" if each != town.leader())
    ours = set(town[name].running)
    town.withdraw(name)
    town.run_until(lambda: town.is_withdrawn(name))
    assert town.gaps == ours
    assert town.covered() == town.wanted


def test_the_mode_ends_once_the_run_has_left() -> None:
    town = Busy("abc", regions(jobs=1))
    name = next(each for each in "abc" if each != town.leader())
    town.withdraw(name)
    town.run_until(lambda: town.is_withdrawn(name))
    other = next(each for each in "abc" if each != name)
    assert town.node(other).plan.directives.mode_of(name) == LEAVING
    town.leave(name)
    town.run_until(lambda: town.node(other).plan.directives.mode_of(name) == NORMAL)


def test_a_leader_has_another_lead_before_it_is_emptied() -> None:
    town = Busy("abc", regions())
    first = town.leader()
    town.withdraw(first)
    town.run_until(lambda: town.is_withdrawn(first))
    assert town.leader() not in ("", first)
    assert town.gaps == set()


def test_a_leader_that_a_person_drains_has_another_lead() -> None:
    town = Busy("abc", regions())
    first = town.leader()
    mode = SetWorkerMode(name=first, mode=DRAINING, level=0, boot=0, reason="asked", asked_by="a")
    town.node("a").change(80, mode, now=town.now)
    town.run_until(lambda: town.leader() not in ("", first) and not town[first].running)
    assert town.covered() == town.wanted
    assert town.gaps == set()


def test_leaders_that_are_all_drained_do_not_pass_the_leadership_to_and_fro() -> None:
    town = Busy("abc", regions(jobs=1))
    for number, name in enumerate("abc"):
        mode = SetWorkerMode(name=name, mode=DRAINING, level=0, boot=0, reason="asked", asked_by="a")
        town.node("a").change(80 + number, mode, now=town.now)
    town.run_for(20.0)
    leader, term = town.leader(), town.node("a").mark.term
    town.run_for(60.0)
    assert (town.leader(), town.node("a").mark.term) == (leader, term)


@pytest.mark.parametrize("instances", ["at-least-one", AT_MOST_ONE])
def test_a_rolling_restart_of_every_worker_leaves_no_gap(instances: str) -> None:
    town = Busy("abcd", regions(instances=instances))
    for name in "abcd":
        town.withdraw(name)
        town.run_until(lambda name=name: town.is_withdrawn(name))  # type: ignore[misc]  # mypy infers no lambda with a default
        assert town[name].running == {}
        town.leave(name)
        town.settle_in(name, disk=town[name].disk)
        town.run_until(lambda: town.covered() == town.wanted)
        town.run_for(2.0)
    if instances != AT_MOST_ONE:
        assert town.gaps == set()
    runs = {held.run for held in town.node("a").plan.assignments.values()}
    assert all(run == town.node(run.name).run for run in runs)


def test_the_death_of_the_leader_does_not_keep_a_worker_from_being_emptied() -> None:
    town = Busy("abcd", regions())
    leader = town.leader()
    name = next(each for each in "abcd" if each != leader)
    town.withdraw(name, within_s=300.0)
    town.run_until(lambda: any(isinstance(each, SetWorkerMode) for each in modes_in(town, name)))
    town.crash(leader)
    town.run_until(lambda: town.is_withdrawn(name))
    assert town[name].answers[WITHDRAW] == ""
    town.run_until(lambda: town.covered() == town.wanted)


def modes_in(town: Town, name: str) -> list[SetWorkerMode]:
    held = town.node(name).plan.directives.modes.get(name)
    return (
        []
        if held is None
        else [SetWorkerMode(name=name, mode=held.mode, level=0, boot=held.boot, reason="", asked_by="")]
    )


# --- nobody is waited for who is not there --------------------------------------------------------


def test_a_worker_with_nothing_to_give_is_done_at_once_and_asks_for_nothing() -> None:
    town = Busy("abc", [])
    town.withdraw("a")
    assert town["a"].answers[WITHDRAW] == ""
    town.run_for(2.0)
    assert town.node("b").plan.directives.modes == {}


def test_a_worker_alone_is_done_at_once() -> None:
    town = Busy("a", regions(jobs=1))
    town.withdraw("a")
    assert town["a"].answers[WITHDRAW] == ""


def test_without_a_majority_it_is_done_as_soon_as_that_is_known() -> None:
    town = Busy("abc", regions(jobs=1))
    for name in "bc":
        town.crash(name)
    town.run_until(
        lambda: all(each.state is not MemberState.ALIVE for each in town.node("a").members() if each.run.name != "a")
    )
    town.run_for(60.0)
    town.withdraw("a")
    assert town["a"].answers[WITHDRAW] == ""


def test_what_nobody_else_could_take_is_not_waited_for() -> None:
    town = Busy("abc", regions(instances=PINNED, jobs=1))
    began_at = town.now
    town.withdraw("b")
    town.run_until(lambda: town.is_withdrawn("b"))
    assert town.now - began_at < WITHIN_S / 2


def test_it_takes_no_longer_than_it_is_given() -> None:
    town = Busy("abc", regions(jobs=1))
    name = next(each for each in "abc" if each != town.leader())
    town.cut.add(name)
    began_at = town.now
    town.withdraw(name, within_s=1.0)
    town.run_until(lambda: town.is_withdrawn(name))
    assert town.now == began_at + 1.0
    assert town[name].answers[WITHDRAW] == ""


def test_what_is_assigned_meanwhile_goes_to_nobody_who_leaves() -> None:
    town = Busy("abc", regions(jobs=1))
    name = next(each for each in "abc" if each != town.leader())
    town.withdraw(name)
    town.run_until(lambda: town.is_withdrawn(name))
    town.submit("a", JobSpec(name="late", operators=(OperatorSpec(name="op", kind="map", parallelism=9),)), request=50)
    town.run_for(5.0)
    late = [held.run.name for which, held in town.node("a").plan.assignments.items() if which.job == "late"]
    assert len(late) == 9
    assert name not in late


def test_a_handover_is_told_in_the_history() -> None:
    town = Busy("abc", regions(jobs=1))
    name = next(each for each in "abc" if each != town.leader())
    town.withdraw(name)
    town.run_until(lambda: town.is_withdrawn(name))
    told = [each for each in town.node("a").plan.decisions if each.what.startswith("assign")]
    assert any(each.reason == f"{name} is {LEAVING}" for each in told)
