"""What can be asked and wanted of jobs, at any worker: their status, and commands about them.

A command goes to whoever leads and is settled once it is committed and known here: from then on it stands, whoever
dies. Carrying it out follows. Each may be given again, at any worker: what is so already stays so.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

import attrs

from swimstream.errors import JobCancelled, JobFailed, SwimstreamError, UsageError
from swimstream.model.changes import CancelJob, Pardon, Restart, UpdateJob
from swimstream.model.identity import InstanceId, check_name
from swimstream.model.job import PARALLELISM_MAX
from swimstream.model.job_faults import check_job
from swimstream.runtime.replies import Found, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swimstream.core.job_status import JobStatus
    from swimstream.model.job import JobSpec
    from swimstream.model.plan import Plan
    from swimstream.runtime.thread import PeerThread
    from swimstream.runtime.view import View

SCALE_ATTEMPTS_MAX = 16
"""So often a wish for a parallelism is asked for again because the job has changed meanwhile."""
RESTARTED_AT_ONCE = 1_000
"""So many instances one command names, so that it fits a frame with the longest names."""


class JobCommands(abc.ABC):
    """The part of a worker's commands that is about jobs."""

    @abc.abstractmethod
    def _running(self) -> PeerThread:
        """Return the peer; raise `WorkerStopped` if there is none."""

    # --- what is known ----------------------------------------------------------------------------

    def jobs(self) -> tuple[JobStatus, ...]:
        """Return how every job stands, sorted by name, as far as it is known here."""
        return tuple(self._running().views.current.jobs.values())

    def job(self, name: str) -> JobStatus:
        """Return how the job of that name stands; raise `UsageError` if none is known here."""
        jobs = self._running().views.current.jobs
        if name not in jobs:
            raise _unknown_job(name, jobs)
        return jobs[name]

    # --- commands ---------------------------------------------------------------------------------

    def submit(self, job: JobSpec, *, fresh: bool = False) -> Reply[None]:
        """Have `job` executed; settled once it is in the plan. `UsageError` if it is malformed or refused.

        One of that name that is known here to be cancelled is refused, lest a worker that submits its job whenever it
        starts undoes what somebody has decided; unless `fresh`: then it begins as if it had never run. (`update`
        revives it and goes on from the last checkpoints.)
        """
        peer = self._running()
        plan = peer.views.current.plan
        if fresh and check_job(job).name in plan.directives.cancelled:
            base = plan.version_of(job.name)
            return peer.change(UpdateJob(job=job, base=base, asked_by=_name_of(peer), fresh=True))
        return peer.submit(check_job(job))

    def finished(self, job: str) -> Reply[None]:
        """Return a reply that is settled once every instance of the job of that name has finished.

        It fails as soon as that cannot come by itself: `JobCancelled`, or `JobFailed` when an instance is put into
        quarantine. A job that nobody has submitted yet is waited for.
        """
        return self._running().views.when(lambda view: _outcome_of(view, job)).then(_settled)

    def update(self, job: JobSpec, *, base: int | None = None) -> Reply[None]:
        """Have a new version of an accepted job executed; it also revives a cancelled one, from its last checkpoints.

        Instances go on that it does not change; others restart, stop or begin. With `base` only if the job is at that
        version (`job(name).version`) and was not cancelled. `UsageError` if it is malformed or refused: a guarantee
        cannot change, and a new operator needs a live worker that runs its kind.
        """
        given: object = base
        if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
            raise UsageError(f"base: expected a version of the job, from 1 on, or None, got {base!r}")
        peer = self._running()
        return peer.change(UpdateJob(job=check_job(job), base=base or 0, asked_by=_name_of(peer)))

    def scale(self, job: str, operator: str, parallelism: int) -> Reply[None]:
        """Have an operator executed in so many instances, 1 to 1,024; the rest of the job stays as it is.

        Should the job change meanwhile, what it has become is scaled. `UsageError` if no such job or operator is known
        here, which may be a moment after another worker has accepted it, or after 16 changes that came in between.
        """
        given: object = parallelism
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= PARALLELISM_MAX:
            raise UsageError(f"parallelism: expected an integer from 1 to {PARALLELISM_MAX}, got {parallelism!r}")
        peer = self._running()
        asked = _name_of(peer)
        wish = _Scaling(peer, lambda plan: scaled(plan, job, operator, parallelism, asked_by=asked))
        wish.ask()
        return wish.reply

    def cancel(self, job: str) -> Reply[None]:
        """Have nothing of a job executed any more; `update` revives it. `UsageError` if there is none, or it is done.

        Settled once that is decided; `job(name).state` is CANCELLED once nothing of it runs.
        """
        peer = self._running()
        return peer.change(CancelJob(job=check_name("job", checked_text("job", job)), asked_by=_name_of(peer)))

    def restart(self, target: str | InstanceId) -> Reply[None]:
        """Have what runs of a job, `job/operator` or `job/operator[index]` restarted, each under a new epoch.

        `UsageError` if that is nothing: there is no such thing, or it has finished, or is cancelled or in quarantine.
        """
        peer = self._running()
        instances = restarted(peer.views.current.plan, target)
        reason = f"asked for at {_name_of(peer)}"

        def ask(start: int) -> Reply[None]:
            some = instances[start : start + RESTARTED_AT_ONCE]
            asked = peer.change(Restart(instances=some, reason=reason, evidence=()))
            following = start + RESTARTED_AT_ONCE
            return asked.then(lambda _: ask(following)) if following < len(instances) else asked

        return ask(0)

    def pardon(self, instance: str | InstanceId) -> Reply[None]:
        """Have an instance in quarantine executed again, with nothing held against it: no failures, no deaths.

        `UsageError` if no job has it. One that is not in quarantine runs on, with nothing held against it.
        """
        peer = self._running()
        named = instance if isinstance(instance, InstanceId) else InstanceId.parse(checked_text("instance", instance))
        return peer.change(Pardon(instance=named, asked_by=_name_of(peer)))


def scaled(plan: Plan, job: str, operator: str, parallelism: int, *, asked_by: str) -> UpdateJob:
    """Return the update that gives an operator so many instances; raise `UsageError` if the plan has none such."""
    spec = _known_job(plan, job)
    if job in plan.directives.cancelled:
        raise UsageError(f"job: {job!r} was cancelled; an update revives it")
    names = [each.name for each in spec.operators]
    if operator not in names:
        raise UsageError(f"operator: the job {job!r} has no {operator!r} (there are: {', '.join(names)})")
    operators = [
        attrs.evolve(each, parallelism=parallelism) if each.name == operator else each for each in spec.operators
    ]
    return UpdateJob(job=attrs.evolve(spec, operators=operators), base=plan.version_of(job), asked_by=asked_by)


def restarted(plan: Plan, target: str | InstanceId) -> tuple[InstanceId, ...]:
    """Return the instances that `target` names and that are to be executed; raise `UsageError` if there are none."""
    if isinstance(target, InstanceId):
        job, operator, wanted = target.job, target.operator, [target]
    else:
        job, slash, rest = checked_text("target", target).partition("/")
        if rest.endswith("]"):
            one = InstanceId.parse(target, field="target")
            job, operator, wanted = one.job, one.operator, [one]
        else:
            operator = rest
            wanted = [each for each in _known_job(plan, job).instances() if not slash or each.operator == rest]
    spec = _known_job(plan, job)
    names = [each.name for each in spec.operators]
    if (operator and operator not in names) or not wanted:
        raise UsageError(f"target: the job {job!r} has no operator {operator!r} (there are: {', '.join(names)})")
    found = tuple(each for each in wanted if plan.is_wanted(each))
    if not found:
        raise UsageError(f"target: nothing of {target} is executed, so it cannot be restarted")
    return found


class _Scaling:
    """A change that is worked out from the newest version of a job, and anew whenever that was not the newest."""

    def __init__(self, peer: PeerThread, work_out: Callable[[Plan], UpdateJob]) -> None:
        self.reply: Reply[None] = Reply()
        self._peer = peer
        self._work_out = work_out
        self._attempts = 0

    def ask(self) -> None:
        """Work it out and ask for it; errors are those of the reply."""
        self._attempts += 1
        try:
            change = self._work_out(self._peer.views.current.plan)
            asked = self._peer.change(change)
        except SwimstreamError as error:
            self.reply.fail(error)
            return
        asked.on_settled(self, lambda: self._take(change, asked))

    def _take(self, change: UpdateJob, asked: Reply[None]) -> None:
        outcome = asked.outcome
        is_outdated = isinstance(outcome, UsageError) and str(outcome).startswith("base:")
        if not is_outdated or self._attempts >= SCALE_ATTEMPTS_MAX:
            self.reply.take_over(asked)
            return

        def look(view: View) -> Found[None] | None:
            plan, name = view.plan, change.job.name
            is_newer = plan.version_of(name) > change.base or name in plan.directives.cancelled
            return Found(None) if is_newer else None

        try:
            newer = self._peer.views.when(look)
        except SwimstreamError as error:
            self.reply.fail(error)
            return
        newer.on_settled(self, self.ask)  # should the worker have stopped, the next attempt says so


def _outcome_of(view: View, job: str) -> Found[SwimstreamError | None] | None:
    """Return how a job has come out, or that nothing is left to wait for; None while it may finish."""
    plan = view.plan
    if job not in plan.jobs:
        return None
    if job in plan.directives.cancelled:
        return Found(JobCancelled(job))
    if plan.is_finished(job):
        return Found(None)
    accused = min((each for each in plan.directives.quarantined if each.job == job), default=None)
    if accused is None:
        return None
    return Found(JobFailed(job, str(accused), plan.directives.quarantined[accused].reason))


def _settled(error: SwimstreamError | None) -> Reply[None]:
    if error is not None:
        raise error
    reply: Reply[None] = Reply()
    reply.succeed(None)
    return reply


def _known_job(plan: Plan, name: str) -> JobSpec:
    if name not in plan.jobs:
        raise _unknown_job(name, plan.jobs)
    return plan.jobs[name]


def _unknown_job(name: object, known: Iterable[str]) -> UsageError:
    return UsageError(f"job: no job is named {name!r} (there are: {', '.join(sorted(known)) or 'none'})")


def _name_of(peer: PeerThread) -> str:
    return peer.views.current.run.name


def checked_text(field: str, value: object) -> str:
    """Return `value` if it is text; else raise `UsageError`, as for whoever does not check types."""
    if not isinstance(value, str):
        raise UsageError(f"{field}: expected text, got {value!r}")
    return value
