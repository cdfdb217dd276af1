"""A plan, some workers and what they say, by hand; and the loop of deciding and applying."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.recovery.recovery import Patience, Recovery, Situation
from swimstream.model.changes import Assign, Change, Entry, SubmitJob
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import Member, MemberState, Profile
from swimstream.model.plan import Plan
from swimstream.model.status import InstanceState, InstanceStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

ACCEPT_S = 10.0
ABSENCE_S = 60.0


def member(
    name: str,
    *,
    boot: int = 1,
    state: MemberState = MemberState.ALIVE,
    kinds: tuple[str, ...] = ("map",),
    capacity: int = 64,
    site: str = "default",
    accusers: tuple[str, ...] = (),
) -> Member:
    profile = Profile(address=Address(name, 1), site=site, kinds=kinds, capacity=capacity)
    return Member(run=Run(name, boot), incarnation=0, state=state, profile=profile, since=0.0, accusers=accusers)


def job(name: str = "job", *, parallelism: int = 1, kind: str = "map", prefer_site: str = "") -> JobSpec:
    operator = OperatorSpec(name="op", kind=kind, parallelism=parallelism, prefer_site=prefer_site)
    return JobSpec(name=name, operators=(operator,))


def instance(index: int = 0, *, of: str = "job") -> InstanceId:
    return InstanceId(of, "op", index)


class Scene:
    """A leader's world. `decide` asks and applies what was decided, as a commit would."""

    def __init__(self, *members: Member, jobs: Iterable[JobSpec] = (), now: float = 1_000.0) -> None:
        self.now = now
        self.members = {each.run.name: each for each in members}
        self.statuses: dict[InstanceId, InstanceStatus] = {}
        self.plan = Plan()
        self.recovery = Recovery(Patience(accept_s=ACCEPT_S, absence_s=ABSENCE_S))
        for spec in jobs:
            self.commit(SubmitJob(job=spec))

    def situation(self) -> Situation:
        return Situation(plan=self.plan, members=self.members, statuses=self.statuses, now=self.now)

    def decide(self) -> list[Change]:
        changes = self.recovery.decide(self.situation())
        self.commit(*changes)
        return changes

    def decide_after(self, wait_s: float) -> list[Change]:
        self.now += wait_s
        return self.decide()

    def new_leader(self) -> None:
        self.recovery = Recovery(Patience(accept_s=ACCEPT_S, absence_s=ABSENCE_S))

    def commit(self, *changes: Change) -> None:
        first = self.plan.index + 1
        self.plan = self.plan.advance(
            Entry(index=first + position, term=1, change=change) for position, change in enumerate(changes)
        )

    def put(self, changed: Member) -> None:
        self.members[changed.run.name] = changed

    def becomes(self, name: str, state: MemberState, *, accusers: tuple[str, ...] = ()) -> None:
        self.put(attrs.evolve(self.members[name], state=state, accusers=accusers))

    def say(
        self,
        state: InstanceState,
        *,
        which: InstanceId | None = None,
        epoch: int | None = None,
        checkpoint: bytes = b"",
        cause: str = "",
    ) -> None:
        """Let the worker that holds the instance say how it fares."""
        which = which or instance()
        held = self.plan.assignments[which]
        before = self.statuses.get(which)
        self.statuses[which] = InstanceStatus(
            instance=which,
            epoch=held.epoch if epoch is None else epoch,
            run=held.run,
            seq=(before.seq if before is not None else 0) + 1,
            state=state,
            since_ms=0,
            checkpoint=checkpoint,
            cause=cause,
        )

    def where(self, which: InstanceId | None = None) -> str:
        return self.plan.assignments[which or instance()].run.name

    def epoch(self, which: InstanceId | None = None) -> int:
        return self.plan.assignments[which or instance()].epoch


def assigns(changes: Iterable[Change]) -> list[Assign]:
    return [change for change in changes if isinstance(change, Assign)]


def the_assign(changes: Iterable[Change]) -> Assign:
    (only,) = assigns(changes)
    return only
