"""A plan, some workers and what they say, by hand; and the loop of deciding and applying."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypedDict, Unpack

import attrs

from swimstream.core.council.guard import MoveGuard
from swimstream.core.council.log import Log
from swimstream.core.council.stops import wait_s
from swimstream.core.effects import Saved
from swimstream.core.recovery.recovery import Recovery
from swimstream.core.recovery.situation import Patience, Situation
from swimstream.model.changes import Assign, Change, Entry, SetAuthority, SubmitJob
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import AT_LEAST_ONE, JobSpec, OperatorSpec
from swimstream.model.member import SPEAKS, SPEAKS_GUARANTEES, Member, MemberState, Profile
from swimstream.model.restart import USUAL_RESTART, RestartStrategy
from swimstream.model.status import ErrorClass, InstanceState, InstanceStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.model.plan import Assignment, Plan

ACCEPT_S = 10.0
ABSENCE_S = 60.0
DOUBT_S = 1.0
AUTHORITY = SetAuthority(isolation_ms=6_000, drift_ppm=10_000)
WAIT_S = wait_s(AUTHORITY.isolation_ms, AUTHORITY.drift_ppm)


class MemberParts(TypedDict, total=False):
    """What else `member` takes."""

    boot: int
    state: MemberState
    kinds: tuple[str, ...]
    capacity: int
    site: str
    accusers: tuple[str, ...]


def member(
    name: str,
    *,
    boot: int = 1,
    state: MemberState = MemberState.ALIVE,
    kinds: tuple[str, ...] = ("map",),
    capacity: int = 64,
    site: str = "default",
    accusers: tuple[str, ...] = (),
    speaks: int = 1,
) -> Member:
    profile = Profile(address=Address(name, 1), site=site, kinds=kinds, capacity=capacity, speaks=speaks)
    return Member(run=Run(name, boot), incarnation=0, state=state, profile=profile, since=0.0, accusers=accusers)


def newer(name: str, **others: Unpack[MemberParts]) -> Member:
    """Return a member that knows guarantees."""
    return member(name, speaks=SPEAKS_GUARANTEES, **others)


def newest(name: str, **others: Unpack[MemberParts]) -> Member:
    """Return a member of this version, which knows directives too."""
    return member(name, speaks=SPEAKS, **others)


def job(
    name: str = "job",
    *,
    parallelism: int = 1,
    kind: str = "map",
    prefer_site: str = "",
    instances: str = AT_LEAST_ONE,
    hold_for_s: float = 0.0,
    restart: RestartStrategy = USUAL_RESTART,
) -> JobSpec:
    operator = OperatorSpec(
        name="op",
        kind=kind,
        parallelism=parallelism,
        prefer_site=prefer_site,
        instances=instances,
        hold_for_s=hold_for_s,
        restart=restart,
    )
    return JobSpec(name=name, operators=(operator,))


def instance(index: int = 0, *, of: str = "job") -> InstanceId:
    return InstanceId(of, "op", index)


class Scene:
    """A leader's world. `decide` asks and applies what was decided, as a commit would."""

    def __init__(
        self, *members: Member, jobs: Iterable[JobSpec] = (), now: float = 1_000.0, doubt_s: float = 0.0
    ) -> None:
        self.now = now
        self.doubt_s = doubt_s
        self.members = {each.run.name: each for each in members}
        self.statuses: dict[InstanceId, InstanceStatus] = {}
        self.counters: Counter[str] = Counter()
        self.log = Log(Saved(voter=1))
        self.guard = MoveGuard(self.log, self._has_ended, counters=self.counters)
        self.new_leader()
        for spec in jobs:
            self.commit(SubmitJob(job=spec))

    def situation(self) -> Situation:
        return Situation(
            plan=self.plan,
            members=self.members,
            statuses=self.statuses,
            stopped_at=self.guard.stopped_at,
            now=self.now,
        )

    @property
    def plan(self) -> Plan:
        return self.log.plan

    def _has_ended(self, held: Assignment) -> bool:
        return self.situation().has_ended(held)

    def decide(self) -> list[Change]:
        """Ask recovery, and let the real guard look: it must agree with everything, whatever the scene."""
        changes = self.recovery.decide(self.situation())
        assert self.guard.admit(changes, self.now) == changes, "recovery asks for nothing that the guard refuses"
        self.commit(*changes)
        return changes

    def decide_after(self, wait_s: float) -> list[Change]:
        self.now += wait_s
        return self.decide()

    def new_leader(self) -> None:
        patience = Patience(accept_s=ACCEPT_S, absence_s=ABSENCE_S, doubt_s=self.doubt_s)
        self.recovery = Recovery(patience, authority=AUTHORITY)
        self.guard.take_office(self.now)

    def commit(self, *changes: Change) -> None:
        first = self.plan.index + 1
        if changes:
            self.log.append(
                Entry(index=first + position, term=1, change=change) for position, change in enumerate(changes)
            )
            self.log.commit_to(self.log.last_index)
            self.guard.note_commit(self.now)

    def put(self, changed: Member) -> None:
        self.members[changed.run.name] = changed

    def becomes(self, name: str, state: MemberState, *, accusers: tuple[str, ...] = ()) -> None:
        self.put(attrs.evolve(self.members[name], state=state, accusers=accusers, since=self.now))

    def say(
        self,
        state: InstanceState,
        *,
        which: InstanceId | None = None,
        epoch: int | None = None,
        progress: int = 0,
        checkpoint: bytes = b"",
        cause: str = "",
        error: ErrorClass = ErrorClass.RETRYABLE,
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
            progress=progress,
            checkpoint=checkpoint,
            cause=cause,
            error=error,
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
