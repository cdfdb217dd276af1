"""A scene whose workers do as the plan says: what they are given comes up, what is taken back ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.changes import NORMAL, SetWorkerMode, SubmitJob
from swimstream.model.job import AT_LEAST_ONE, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.situations import Scene

if TYPE_CHECKING:
    from swimstream.model.changes import Change
    from swimstream.model.identity import InstanceId

TURNS_MAX = 200


class Lively(Scene):
    """Each turn decides, and lets every worker follow the plan; `torn` are the regions that did not run after it."""

    leader_dies = False
    """Whether every turn is that of a new leader."""

    def set_mode(self, name: str, mode: str, *, boot: int = 0) -> None:
        self.commit(SetWorkerMode(name=name, mode=mode, level=0, boot=boot, reason="asked", asked_by="t"))

    def submit(self, spec: JobSpec) -> None:
        self.commit(SubmitJob(job=spec))

    def turn(self) -> list[Change]:
        if self.leader_dies:
            self.new_leader()
        changes = self.decide()
        for which, held in sorted(self.plan.assignments.items()):
            status = self.statuses.get(which)
            member = self.members.get(held.run.name)
            if member is None or member.run != held.run or member.state is not MemberState.ALIVE or held.finished:
                continue
            if held.revoked and status is not None and status.is_of(held):
                self.say(InstanceState.STOPPED, which=which)
            elif status is None or not status.is_of(held):
                self.say(InstanceState.STARTING, which=which)
            elif status.state is InstanceState.STARTING:
                self.say(InstanceState.RUNNING, which=which)
        return changes

    def settle(self) -> list[Change]:
        """Go on until nothing changes any more; return all changes."""
        made: list[Change] = []
        quiet = 0
        for _ in range(TURNS_MAX):
            changes = self.turn()
            made += changes
            quiet = 0 if changes else quiet + 1
            if quiet == 3:
                return made
        raise AssertionError("it comes to rest")

    def running(self) -> dict[InstanceId, str]:
        """Return where every instance runs whose newest copy does."""
        return {
            which: held.run.name
            for which, held in self.plan.assignments.items()
            if self.situation().state_of(held) is InstanceState.RUNNING
        }

    def disturbed(self) -> set[str]:
        """Return the jobs of which some copy that the plan has does not run."""
        running = self.running()
        return {which.job for which in self.plan.assignments if which not in running}

    def on(self, name: str) -> list[InstanceId]:
        return sorted(which for which, held in self.plan.assignments.items() if held.run.name == name)

    def is_normal(self, name: str) -> bool:
        return self.plan.directives.mode_of(name) == NORMAL


def pipeline(name: str, *, parallelism: int = 2, instances: str = AT_LEAST_ONE, slots: int = 1) -> JobSpec:
    """Return a job of one region: two operators with a pipelined edge."""
    source = OperatorSpec(name="source", kind="map", parallelism=parallelism, instances=instances, slots=slots)
    sink = OperatorSpec(
        name="sink", kind="map", parallelism=parallelism, inputs=("source",), instances=instances, slots=slots
    )
    return JobSpec(name=name, operators=(source, sink))
