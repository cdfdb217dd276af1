"""The simulated worker: it runs what its node starts, reports how that fares, and stops what it is told to stop.

An instance with a fence runs in a process of its own: it goes on while the worker stands still, and dies with it (the
kernel's parent-death signal). At its fence, on the host's clock, the kernel ends it, whoever stands still then.
Everything else runs in the worker's process.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Protocol

import attrs

from swimstream.model.identity import InstanceId
from swimstream.model.job import (
    APART_NOT,
    APART_SITE,
    APART_WORKER,
    AT_LEAST_ONE,
    AT_MOST_ONE,
    FURTHEST_PROGRESS,
    PINNED,
    JobSpec,
    OperatorSpec,
)
from swimstream.model.status import ErrorClass, InstanceState

if TYPE_CHECKING:
    from random import Random

    from swimstream.core.effects import KeepWarm, RenewFence, StartInstance, StopInstance
    from swimstream.simulator.clock import Action

KIND = "work"
START_S = (0.01, 0.2)
TICK_S = (0.3, 1.0)
STOP_S = (0.005, 0.1)
SLOW_STOP_S = (0.1, 3.0)
"""An operator in a process of its own may take its time to flush; its fence does not wait for it."""
SLOW_STOPS = 0.1
STEP_MAX = 100
CHECKPOINT_TICKS = 3
HOLD_FOR_S = (0.5, 3.0)
STALL_AFTER_S = (1.5, 2.5)
"""More than a tick lasts, and less than a stall may."""
HOPELESS_JOB = JobSpec(name="hopeless", operators=(OperatorSpec(name="source", kind="unknown"),))
"""A job that every leader must refuse: no worker runs its kind."""


@attrs.define(eq=False)
class Copy:
    """One copy of an instance, from its start to its end."""

    instance: InstanceId
    epoch: int
    spec: OperatorSpec
    progress: int
    fence_at: float | None = None
    """When the kernel ends it, on the host's clock; None: it has no process of its own."""
    ticks: int = 0
    running: bool = False
    """Whether it has come up."""
    stuck: int = 0
    """For so many reasons it comes no further."""
    stopping: bool = False
    ended: bool = False


class Process(Protocol):
    """The process of the node, which starts its operators; those without a fence stand still and die with it."""

    def later(self, delay_s: float, action: Action) -> None:
        """Have `action` done in this process after `delay_s`, unless it has died; if it is paused, when it resumes."""

    def apart(self, delay_s: float, action: Action) -> None:
        """Have `action` done after `delay_s` in a process that it started: also while this one is paused."""

    def at_local(self, local: float, action: Action) -> None:
        """Have `action` done when the host's clock shows `local`, by the kernel, unless this process has died."""

    def came_up(self, copy: Copy) -> None:
        """Take note that a copy runs from now on."""

    def went_down(self, copy: Copy) -> None:
        """Take note that a copy has ended, whether it had come up or not."""

    def report(
        self,
        instance: InstanceId,
        epoch: int,
        *,
        state: InstanceState | None = None,
        progress: int | None = None,
        checkpoint: bytes | None = None,
        cause: str | None = None,
        error: ErrorClass | None = None,
        backlog: int | None = None,
    ) -> None:
        """Tell the node of this process; what is None stays."""


class Bench:
    """All operators of one worker."""

    def __init__(self, process: Process, *, rng: Random) -> None:
        """Build a worker that runs nothing yet."""
        self.copies: dict[InstanceId, Copy] = {}
        self.warm: set[InstanceId] = set()
        self._wanted: dict[InstanceId, Copy] = {}
        """What starts as soon as the older copy of it has ended."""
        self._process = process
        self._rng = rng

    def start(self, effect: StartInstance) -> None:
        """Run an instance from its checkpoint on; an older copy of it ends first."""
        resumed = int(effect.resume_from) if effect.resume_from else 0
        copy = Copy(effect.instance, effect.epoch, effect.spec, resumed, effect.fence_at)
        older = self.copies.get(effect.instance)
        if older is None:
            self._launch(copy)
        elif older.fence_at is None:
            self._end(older)
            self._launch(copy)
        else:
            self._wanted[effect.instance] = copy
            self._stop(older)

    def stop(self, effect: StopInstance) -> None:
        """Stop one copy, if it still runs."""
        wanted = self._wanted.get(effect.instance)
        if wanted is not None and wanted.epoch == effect.epoch:
            del self._wanted[effect.instance]
            self._tell(wanted, InstanceState.STOPPED)
        copy = self.copies.get(effect.instance)
        if copy is not None and copy.epoch == effect.epoch:
            self._stop(copy)

    def renew(self, effect: RenewFence) -> None:
        """Move every fence that is earlier, but that of no copy that was told to stop."""
        for copy in (*self.copies.values(), *self._wanted.values()):
            if copy.fence_at is not None and copy.fence_at < effect.until and not copy.stopping:
                copy.fence_at = effect.until
        for copy in self.copies.values():
            self._arm(copy)

    def clock_leapt(self) -> None:
        """Look at every fence again: the host's clock is further than it was."""
        for copy in self.copies.values():
            self._arm(copy)

    def keep_warm(self, effect: KeepWarm) -> None:
        """Keep exactly these warm."""
        self.warm = {instance for instance, _ in effect.copies}

    def fail(self, instance: InstanceId, *, is_fatal: bool = False) -> None:
        """Have the code of an instance fail; `is_fatal`: it says that it would fail again."""
        copy = self.copies[instance]
        self._end(copy)
        error = ErrorClass.FATAL if is_fatal else ErrorClass.RETRYABLE
        self._tell(copy, InstanceState.FAILED, cause="ValueError: a simulated failure", error=error)

    def stall(self, instance: InstanceId, for_s: float) -> None:
        """Have a copy come no further for a while, though it lives; infinity: until it ends."""
        copy = self.copies[instance]
        copy.stuck += 1
        if not math.isinf(for_s):
            self._process.later(for_s, partial(_come_loose, copy))

    def die(self) -> None:
        """End everything at once, with the worker."""
        self._wanted.clear()
        for copy in list(self.copies.values()):
            self._end(copy)

    # --- one copy ---------------------------------------------------------------------------------

    def _launch(self, copy: Copy) -> None:
        self.copies[copy.instance] = copy
        delay_s = self._rng.uniform(*START_S)
        if copy.fence_at is None:
            self._process.later(delay_s, partial(self._come_up, copy))
        else:
            self._process.apart(delay_s, partial(self._come_up, copy))
            self._arm(copy)

    def _arm(self, copy: Copy) -> None:
        if copy.fence_at is not None:
            self._process.at_local(copy.fence_at, partial(self._fence, copy, copy.fence_at))

    def _fence(self, copy: Copy, fence_at: float) -> None:
        if not copy.ended and copy.fence_at == fence_at:
            self._end(copy)
            self._tell(copy, InstanceState.STOPPED)

    def _come_up(self, copy: Copy) -> None:
        if copy.ended:
            return
        copy.running = True
        self._process.came_up(copy)
        self._process.later(0.0, partial(self._say_running, copy))
        self._process.later(self._rng.uniform(*TICK_S), partial(self._tick, copy))

    def _say_running(self, copy: Copy) -> None:
        if not copy.ended:
            self._process.report(copy.instance, copy.epoch, state=InstanceState.RUNNING)

    def _tick(self, copy: Copy) -> None:
        if copy.ended or copy.stopping:
            return
        if copy.stuck:
            self._process.later(self._rng.uniform(*TICK_S), partial(self._tick, copy))
            return
        copy.ticks += 1
        copy.progress += self._rng.randint(1, STEP_MAX)
        count = copy.spec.parameters.get("count")
        if isinstance(count, int) and copy.progress >= count:
            self._end(copy)
            self._process.report(copy.instance, copy.epoch, state=InstanceState.FINISHED, progress=copy.progress)
            return
        checkpoint = str(copy.progress).encode() if copy.ticks % CHECKPOINT_TICKS == 0 else None
        backlog = 1 if copy.spec.stall_after_s else None
        self._process.report(copy.instance, copy.epoch, progress=copy.progress, checkpoint=checkpoint, backlog=backlog)
        self._process.later(self._rng.uniform(*TICK_S), partial(self._tick, copy))

    def _stop(self, copy: Copy) -> None:
        if copy.stopping:
            return
        copy.stopping = True
        delay_s = self._rng.uniform(*STOP_S)
        if copy.fence_at is None:
            self._end(copy)
            self._process.later(delay_s, partial(self._tell, copy, InstanceState.STOPPED))
            return
        if self._rng.random() < SLOW_STOPS:
            delay_s = self._rng.uniform(*SLOW_STOP_S)
        self._process.apart(delay_s, partial(self._has_stopped, copy))

    def _has_stopped(self, copy: Copy) -> None:
        if not copy.ended:
            self._end(copy)
            self._tell(copy, InstanceState.STOPPED)

    def _end(self, copy: Copy) -> None:
        if copy.ended:
            return
        copy.ended = True
        del self.copies[copy.instance]
        self._process.went_down(copy)
        wanted = self._wanted.pop(copy.instance, None)
        if wanted is not None:
            self._launch(wanted)

    def _tell(
        self, copy: Copy, state: InstanceState, *, cause: str | None = None, error: ErrorClass | None = None
    ) -> None:
        """Report once the worker's process can: it may stand still."""
        report = partial(self._process.report, copy.instance, copy.epoch, state=state, cause=cause, error=error)
        self._process.later(0.0, report)


def _come_loose(copy: Copy) -> None:
    copy.stuck -= 1


def draw_job(number: int, *, rng: Random) -> JobSpec:
    """Return a small dataflow: a source that sometimes ends, a stage in parallel, a sink."""
    ends = {"count": rng.randint(100, 1_500)} if rng.random() < 0.5 else {}
    return JobSpec(
        name=f"job-{number}",
        operators=(
            OperatorSpec(name="source", kind=KIND, parameters=ends),
            OperatorSpec(name="stage", kind=KIND, parallelism=rng.randint(1, 3), inputs=("source",)),
            OperatorSpec(name="sink", kind=KIND, inputs=("stage",)),
        ),
    )


def draw_guarantees(job: JobSpec, *, rng: Random) -> JobSpec:
    """Return `job` with a guarantee for each of its operators, most often at-most-one."""
    operators = []
    for spec in job.operators:
        instances = rng.choices((AT_MOST_ONE, AT_LEAST_ONE, PINNED), weights=(6, 3, 2))[0]
        hold_for_s = rng.uniform(*HOLD_FOR_S) if instances != PINNED and rng.random() < 0.25 else 0.0
        operators.append(attrs.evolve(spec, instances=instances, hold_for_s=hold_for_s))
    return attrs.evolve(job, operators=tuple(operators))


def draw_demands(job: JobSpec, *, rng: Random) -> JobSpec:
    """Return `job` with more that its operators ask for: standbys, places apart, and to be watched for stalls.

    Whoever is pinned has its place for good, so it is asked for none apart.
    """
    operators = []
    for spec in job.operators:
        is_pinned = spec.instances == PINNED
        standby = rng.choices((0, 1, 2), weights=(6, 3, 1))[0]
        apart = rng.choices((APART_NOT, APART_WORKER, APART_SITE), weights=(6, 4, 1))[0]
        stall_after_s = rng.uniform(*STALL_AFTER_S) if rng.random() < 0.5 else 0.0
        operators.append(
            attrs.evolve(
                spec,
                standby=0 if is_pinned else standby,
                anti_affinity=APART_NOT if is_pinned else apart,
                stall_after_s=stall_after_s,
            )
        )
    return attrs.evolve(job, operators=tuple(operators))


def contested(job: JobSpec) -> JobSpec:
    """Return `job` with operators of which the copy that has come further is gone on with."""
    return attrs.evolve(job, operators=[attrs.evolve(spec, on_conflict=FURTHEST_PROGRESS) for spec in job.operators])


def draw_jobs(
    count: int,
    *,
    notes: int,
    rng: Random,
    guarantee_rng: Random | None,
    demand_rng: Random | None = None,
    has_conflicts: bool = False,
) -> dict[str, JobSpec]:
    """Return so many jobs by their names, small ones beside them, and, if there are any, one that must be refused.

    With `guarantee_rng` the operators differ in their guarantees; else all run at least once. With `demand_rng` they
    ask for standbys, places apart, and to be watched. `has_conflicts`: those go on with the copy that has come further.
    """
    jobs = [draw_job(number, rng=rng) for number in range(count)]
    if has_conflicts:
        jobs = [contested(job) for job in jobs]
    if guarantee_rng is not None:
        jobs = [draw_guarantees(job, rng=guarantee_rng) for job in jobs]
    if demand_rng is not None:
        jobs = [draw_demands(job, rng=demand_rng) for job in jobs]
    note = OperatorSpec(name="note", kind=KIND, parameters={"count": 1})
    jobs += [JobSpec(name=f"note-{number}", operators=(note,)) for number in range(notes)]
    return {job.name: job for job in (*jobs, *([HOPELESS_JOB] if jobs else []))}
