"""The simulated worker: it runs what its node starts, reports how that fares, and stops what it is told to stop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import attrs

from swimstream.model.identity import InstanceId
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from random import Random

    from swimstream.core.effects import StartInstance, StopInstance
    from swimstream.simulator.clock import Action

KIND = "work"
START_S = (0.01, 0.2)
TICK_S = (0.3, 1.0)
STOP_S = (0.005, 0.1)
STEP_MAX = 100
CHECKPOINT_TICKS = 3
HOPELESS_JOB = JobSpec(name="hopeless", operators=(OperatorSpec(name="source", kind="unknown"),))
"""A job that every leader must refuse: no worker runs its kind."""


class Process(Protocol):
    """The process that the operators share with their node: they stand still and die together."""

    def later(self, delay_s: float, action: Action) -> None:
        """Have `action` done in this process after `delay_s`, unless it has died; if it is paused, when it resumes."""

    def report(
        self,
        instance: InstanceId,
        epoch: int,
        *,
        state: InstanceState | None = None,
        progress: int | None = None,
        checkpoint: bytes | None = None,
        cause: str | None = None,
    ) -> None:
        """Tell the node of this process; what is None stays."""


@attrs.define(eq=False)
class Copy:
    """One running copy of an instance."""

    instance: InstanceId
    epoch: int
    spec: OperatorSpec
    progress: int
    ticks: int = 0
    running: bool = False


class Bench:
    """All operators of one process."""

    def __init__(self, process: Process, *, rng: Random) -> None:
        """Build a worker that runs nothing yet."""
        self.copies: dict[InstanceId, Copy] = {}
        self._process = process
        self._rng = rng

    def start(self, effect: StartInstance) -> None:
        """Run an instance from its checkpoint on; an older copy of it ends first."""
        resumed = int(effect.resume_from) if effect.resume_from else 0
        copy = Copy(effect.instance, effect.epoch, effect.spec, resumed)
        self.copies[effect.instance] = copy
        self._process.later(self._rng.uniform(*START_S), partial(self._run, copy))

    def stop(self, effect: StopInstance) -> None:
        """Stop one copy, if it still runs."""
        copy = self.copies.get(effect.instance)
        if copy is not None and copy.epoch == effect.epoch:
            del self.copies[effect.instance]
            stopped = partial(self._process.report, copy.instance, copy.epoch, state=InstanceState.STOPPED)
            self._process.later(self._rng.uniform(*STOP_S), stopped)

    def fail(self, instance: InstanceId) -> None:
        """Have the code of an instance fail."""
        copy = self.copies.pop(instance)
        cause = "ValueError: a simulated failure"
        self._process.report(copy.instance, copy.epoch, state=InstanceState.FAILED, cause=cause)

    def _run(self, copy: Copy) -> None:
        if self.copies.get(copy.instance) is copy:
            copy.running = True
            self._process.report(copy.instance, copy.epoch, state=InstanceState.RUNNING)
            self._process.later(self._rng.uniform(*TICK_S), partial(self._tick, copy))

    def _tick(self, copy: Copy) -> None:
        if self.copies.get(copy.instance) is not copy:
            return
        copy.ticks += 1
        copy.progress += self._rng.randint(1, STEP_MAX)
        count = copy.spec.parameters.get("count")
        if isinstance(count, int) and copy.progress >= count:
            del self.copies[copy.instance]
            finished = InstanceState.FINISHED
            self._process.report(copy.instance, copy.epoch, state=finished, progress=copy.progress)
            return
        checkpoint = str(copy.progress).encode() if copy.ticks % CHECKPOINT_TICKS == 0 else None
        self._process.report(copy.instance, copy.epoch, progress=copy.progress, checkpoint=checkpoint)
        self._process.later(self._rng.uniform(*TICK_S), partial(self._tick, copy))


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


def draw_jobs(count: int, *, rng: Random) -> dict[str, JobSpec]:
    """Return so many jobs by their names, and, if there are any, one that must be refused."""
    jobs = {f"job-{number}": draw_job(number, rng=rng) for number in range(count)}
    return {**jobs, HOPELESS_JOB.name: HOPELESS_JOB} if jobs else jobs
