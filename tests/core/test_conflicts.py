"""Whole nodes: a worker is cut off and goes on, another has its instance meanwhile, and the two meet again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.core.effects import StartInstance, StopInstance
from swimstream.model.identity import InstanceId
from swimstream.model.job import FURTHEST_PROGRESS, KEEP_REPLACEMENT, JobSpec
from swimstream.model.report import Report
from swimstream.model.status import InstanceState
from tests.core.town import Town, job

if TYPE_CHECKING:
    from swimstream.core.effects import Effect
    from swimstream.core.node import Node
    from swimstream.model.history import Decision
    from tests.core.town import Citizen

ONE = InstanceId("job", "op", 0)
TOLD_S = 3.0
"""After so long everybody knows what a worker reports, and its leader has done what it wants."""


def contested(on_conflict: str = FURTHEST_PROGRESS) -> JobSpec:
    (operator,) = job().operators
    return JobSpec(name="job", operators=(attrs.evolve(operator, on_conflict=on_conflict),))


class Parted(Town):
    """`host` has the only instance and was cut off; `heir` has it meanwhile."""

    def __init__(
        self, *, on_conflict: str = FURTHEST_PROGRESS, is_slow: bool = False, tells_checkpoints: bool = True
    ) -> None:
        self.tells_checkpoints = tells_checkpoints
        self.log: list[tuple[str, str, int]] = []
        """What was started and stopped: who, which, and the epoch."""
        self.is_slow = False
        """Whether what is started says nothing until the test does."""
        super().__init__("abcde")
        leader = self.run_until_led()
        self.submit(leader, contested(on_conflict))
        self.run_until(lambda: self.hosts() != [])
        (self.host,) = self.hosts()
        self.first = self[self.host].running[str(ONE)]
        self.come_to(self.host, 100)
        self.run_for(TOLD_S)
        self.cut, self.is_slow = {self.host}, is_slow
        self.run_until(lambda: len(self.hosts()) > 1)
        self.heir = next(name for name in self.hosts() if name != self.host)
        self.second = self[self.heir].running[str(ONE)]
        self.is_slow = False

    def hosts(self) -> list[str]:
        return [name for name, citizen in self.citizens.items() if str(ONE) in citizen.running]

    def come_to(self, name: str, progress: int, *, state: InstanceState | None = None) -> None:
        report = Report(
            instance=ONE,
            epoch=self[name].running[str(ONE)],
            state=state,
            progress=progress,
            checkpoint=b"%d" % progress if self.tells_checkpoints else None,
        )
        self.node(name).report(report, now=self.now)
        self.run_for(TOLD_S)

    def heal(self) -> None:
        self.cut = set()

    def led(self) -> Node:
        return self.node(self.run_until_led())

    def told(self, words: str) -> list[Decision]:
        """Return what was decided with these words, as everybody has it."""
        return [each for each in self.led().plan.decisions if words in each.what or words in each.reason]

    def run_until_settled(self) -> None:
        self.run_until(lambda: len(self.hosts()) == 1 and not self.led().plan.directives.conflicts)
        self.run_for(TOLD_S)

    def _carry_out_one(self, citizen: Citizen, effect: Effect) -> None:
        if isinstance(effect, StartInstance | StopInstance):
            self.log.append((citizen.name, type(effect).__name__, effect.epoch))
        if isinstance(effect, StartInstance) and self.is_slow:
            citizen.running[str(effect.instance)] = effect.epoch
        else:
            super()._carry_out_one(citizen, effect)


def test_a_copy_that_came_further_while_it_was_cut_off_is_gone_on_with_and_there_is_no_break() -> None:
    town = Parted()
    town.come_to(town.host, 1_200)
    town.come_to(town.heir, 300)
    town.heal()
    town.run_until_settled()
    assert town.hosts() == [town.host]
    third = town[town.host].running[str(ONE)]
    assert town.first < town.second < third
    assert town[town.host].started[-1].resume_from == b"1200"
    (moved,) = town.told(FURTHEST_PROGRESS)
    assert "at 1200" in moved.reason
    assert "at 300" in moved.reason
    started = town.log.index((town.host, "StartInstance", third))
    assert town.log.index((town.heir, "StopInstance", town.second)) > started, "make before break"
    assert (town.host, "StopInstance", town.first) in town.log[:started], "an old epoch never revives"


def test_a_copy_that_came_less_far_is_stopped_and_that_is_told() -> None:
    town = Parted()
    town.come_to(town.host, 200)
    town.come_to(town.heir, 300)
    town.heal()
    town.run_until_settled()
    assert town[town.heir].running == {str(ONE): town.second}
    (kept,) = town.told("keep the replacement")
    assert "at 200" in kept.reason
    assert "at 300" in kept.reason


def test_what_counts_is_how_far_it_was_with_its_newest_checkpoint() -> None:
    town = Parted()
    town.come_to(town.host, 200)
    report = Report(instance=ONE, epoch=town.first, progress=1_200)
    town.node(town.host).report(report, now=town.now)
    town.come_to(town.heir, 300)
    town.heal()
    town.run_until_settled()
    assert town.hosts() == [town.heir]


@pytest.mark.parametrize(("progress", "winner"), [(200, "heir"), (1_200, "host")])
def test_of_an_operator_without_checkpoints_its_progress_counts(progress: int, winner: str) -> None:
    town = Parted(tells_checkpoints=False)
    town.come_to(town.host, progress)
    town.come_to(town.heir, 300)
    town.heal()
    town.run_until_settled()
    assert town.hosts() == [town.host if winner == "host" else town.heir]


def test_by_default_the_replacement_stays_however_far_the_other_came() -> None:
    town = Parted(on_conflict=KEEP_REPLACEMENT)
    town.come_to(town.host, 1_200)
    town.come_to(town.heir, 300)
    town.heal()
    town.run_until_settled()
    assert town[town.heir].running == {str(ONE): town.second}
    assert not town.told("tells of its copy")


def test_a_copy_that_finished_while_it_was_cut_off_is_gone_on_with_too() -> None:
    town = Parted()
    town.come_to(town.heir, 300)
    town.come_to(town.host, 1_200, state=InstanceState.FINISHED)
    del town[town.host].running[str(ONE)]
    town.heal()
    town.run_until(lambda: bool(town.told("at 1200")))
    town.run_until(lambda: town.hosts() == [town.host])
    assert town[town.host].started[-1].resume_from == b"1200"


def test_a_copy_that_failed_while_it_was_cut_off_leaves_the_replacement_alone() -> None:
    town = Parted()
    town.come_to(town.heir, 300)
    town.come_to(town.host, 1_200, state=InstanceState.FAILED)
    del town[town.host].running[str(ONE)]
    town.heal()
    town.run_for(30.0)
    assert town[town.heir].running == {str(ONE): town.second}
    assert town.hosts() == [town.heir]


@pytest.mark.parametrize("has_heard", [False, True])
def test_if_the_leader_dies_in_the_midst_of_it_the_next_one_settles_it_once(*, has_heard: bool) -> None:
    """The replacement takes its time to begin, and so the leader waits."""
    town = Parted(is_slow=True)
    town.come_to(town.host, 1_200)
    leader = town.leader()
    assert leader != town.heir
    claims = town.node(leader).plan.directives.conflicts
    town.heal()
    if has_heard:
        town.run_until(lambda: all(each.claim for each in town.node(leader).plan.directives.conflicts.values()))
    town.crash(leader)
    town.run_until(lambda: town.leader() not in ("", leader))
    town.come_to(town.heir, 300, state=InstanceState.RUNNING)
    town.run_until_settled()
    assert claims
    assert town.hosts() == [town.host]
    assert len(town.told(FURTHEST_PROGRESS)) == 1
    town.run_for(60.0)
    assert len(town.told(FURTHEST_PROGRESS)) == 1


def test_nobody_is_answered_who_has_not_asked() -> None:
    """The driver knows nothing of the requests that a node makes of its own accord."""
    town = Parted()
    town.come_to(town.host, 1_200)
    town.heal()
    town.run_until_settled()
    assert all(set(citizen.answers) <= {0, 1} for citizen in town.citizens.values())
