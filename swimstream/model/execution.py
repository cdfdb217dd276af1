"""Who runs what, while it is being changed: jobs, assignments, stops and directives of a plan that is being made.

What it does with an entry depends on the entries before it alone, so equal logs give equal plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.assignment import Assignment, stop_index
from swimstream.model.changes import (
    Assign,
    Blame,
    CancelJob,
    ClaimProgress,
    Conclude,
    DeclareDead,
    Directive,
    Evict,
    Forget,
    Hold,
    KeepReplacement,
    LaterChange,
    Pardon,
    Quarantine,
    Release,
    Restart,
    Revoke,
    SetPolicy,
    SetStandbys,
    SetWorkerMode,
    SubmitJob,
    UpdateJob,
)
from swimstream.model.directives import Conflict, DirectivesDraft, Quarantined
from swimstream.model.holdings import HoldingsDraft
from swimstream.model.job import AT_MOST_ONE, FURTHEST_PROGRESS
from swimstream.model.versions import CANCELLED_KEPT, outdated, refusal_of_names, refusal_of_update, removed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from swimstream.model.directives import Directives
    from swimstream.model.identity import InstanceId, Run
    from swimstream.model.job import JobSpec, OperatorSpec

EVICTED_KEPT = 8_192

ExecutionChange = SubmitJob | Assign | Evict | Conclude | Hold | Release | Revoke | LaterChange


class ExecutionDraft:
    """The part of a plan that says what is executed. What it can be asked means the same as asking the `Plan`."""

    def __init__(
        self,
        *,
        index: int,
        jobs: Mapping[str, JobSpec],
        assignments: Mapping[InstanceId, Assignment],
        evicted: Mapping[str, int],
        stops: Mapping[Run, int],
        directives: Directives,
        held: Mapping[Run, AbstractSet[InstanceId]],
    ) -> None:
        """Begin with what a plan holds, which stays as it is. `held`: the instances of `assignments` by run."""
        self._index = index
        self._jobs, self._assignments = dict(jobs), dict(assignments)
        self._evicted, self._stops = dict(evicted), dict(stops)
        self._directives = DirectivesDraft(directives)
        self._holdings = HoldingsDraft(held)

    def assignment_of(self, instance: InstanceId) -> Assignment | None:
        """Return where `instance` belongs, None if it was never given to anybody."""
        return self._assignments.get(instance)

    def guarantee_of(self, instance: InstanceId) -> str:
        """Return the guarantee of `instance`, or nothing if no job has it: an assignment of it changes nothing.

        What is assigned though no job has it was at-most-one; see `Plan.guarantee_of`.
        """
        job = self._jobs.get(instance.job)
        if job is not None and job.has(instance):
            return job.operator(instance.operator).instances
        return AT_MOST_ONE if instance in self._assignments else ""

    def is_asserted_dead(self, run: Run) -> bool:
        """Return whether a person has declared `run` dead, and something still waits for its end."""
        return self._directives.asserted.get(run.name, -1) >= run.boot

    def is_evicted(self, run: Run) -> bool:
        """Return whether `run` was declared gone for good."""
        return self._evicted.get(run.name, -1) >= run.boot

    def is_held(self, run: Run) -> bool:
        """Return whether `run` may not renew its authority."""
        return run in self._stops or self.is_evicted(run)

    def stop_index(self, held: Assignment) -> int:
        """Return the index of the oldest standing entry that stops this assignment, 0 if there is none."""
        return stop_index(held, self._stops)

    def refusal(self, change: UpdateJob) -> str:
        """Return why an update would change nothing, or nothing if it may be applied."""
        before = self._jobs.get(change.job.name)
        if before is None:
            return f"job: there is no {change.job.name!r}; submit it first"
        version = self._directives.version_of(change.job.name)
        is_cancelled = change.job.name in self._directives.cancelled
        if change.fresh and not is_cancelled:
            return f"fresh: the job {change.job.name!r} is not cancelled; cancel it first, to begin it anew"
        if change.base and is_cancelled and not change.fresh:
            return f"base: the job {change.job.name!r} was cancelled meanwhile; an update without a base revives it"
        if change.base != version and (change.base or change.fresh):
            return f"base: expected version {version}, which the job has come to meanwhile, got {change.base}"
        return refusal_of_update(before, change.job, retired=self._directives.retired.get(change.job.name, ()))

    def _execute(self, change: ExecutionChange) -> None:
        """Apply one change at `_index`."""
        match change:
            case SubmitJob(job=job):
                self._submit(job)
            case Assign() as made:
                self._assign(made)
            case Evict(run=run):
                self._evict(run)
            case Hold(run=run):
                if not self.is_evicted(run):
                    self._stops.setdefault(run, self._index)
            case Release(run=run):
                if not self.is_evicted(run):
                    self._stops.pop(run, None)
            case Conclude(instance=instance, epoch=epoch):
                held = self._assignments.get(instance)
                if held is not None and held.epoch == epoch and not held.superseded:
                    self._put(attrs.evolve(held, finished=True))
                    self._directives.drop(instance)
                    self._forget_stop_of(held.run)
            case Revoke(instance=instance, epoch=epoch):
                held = self._assignments.get(instance)
                if held is not None and held.epoch == epoch:
                    self._revoke(held)
            case UpdateJob() | CancelJob():
                self._apply_to_job(change)
            case _:
                self._apply_directive(change)

    def _submit(self, job: JobSpec) -> None:
        retired = self._directives.retired.get(job.name)
        if job.name in self._jobs or refusal_of_names(job.operators, retired or ()):
            return
        self._jobs[job.name] = job
        if retired is not None:  # one of that name has left the plan
            self._directives.begun[job.name] = self._index

    def _apply_to_job(self, change: UpdateJob | CancelJob) -> None:
        match change:
            case UpdateJob(job=job):
                if job.name in self._jobs and not self.refusal(change):
                    self._update(self._jobs[job.name], job)
                    if change.fresh:
                        self._begin_anew(job)
            case CancelJob(job=name):
                if name in self._jobs and name not in self._directives.cancelled:
                    self._directives.cancelled[name] = self._index
                    for held in self._assigned_in(name):
                        self._retire(held, must_end=self.guarantee_of(held.instance) == AT_MOST_ONE)
                    self._let_cancelled_go()

    def _let_cancelled_go(self) -> None:
        """Have the oldest cancelled jobs leave of which nothing is left, until `CANCELLED_KEPT` stay."""
        cancelled = self._directives.cancelled
        if len(cancelled) <= CANCELLED_KEPT:
            return
        left = {each.job for each in self._assignments}
        for name in sorted(cancelled.keys() - left, key=cancelled.__getitem__)[: len(cancelled) - CANCELLED_KEPT]:
            may_go_on = tuple(spec.name for spec in self._jobs[name].operators if spec.instances != AT_MOST_ONE)
            if self._directives.leave(name, may_go_on):
                del self._jobs[name]

    def _update(self, before: JobSpec, job: JobSpec) -> None:
        directives = self._directives
        if before == job and job.name not in directives.cancelled:
            return
        at_most_one = {held.instance for held in self._assigned_in(job.name) if self._is_at_most_one(held)}
        self._jobs[job.name] = job
        directives.versions[job.name] = directives.version_of(job.name) + 1
        directives.cancelled.pop(job.name, None)
        directives.retire(job.name, removed(before, job))
        changed = outdated(before, job)
        for held in self._assigned_in(job.name):
            if not job.has(held.instance):
                self._retire(held, must_end=held.instance in at_most_one)
            elif held.instance.operator in changed:
                directives.clear([held.instance])
                if held.finished:
                    self._drop(held)  # it finished as something else
                else:
                    self._put(attrs.evolve(held, stale=self._index, superseded=True, failures=0))

    def _begin_anew(self, job: JobSpec) -> None:
        """Let nothing of its former life count for a job; copies that have not ended are waited for as ever."""
        self._directives.begun[job.name] = self._index
        for held in self._assigned_in(job.name):
            self._put(attrs.evolve(held, resume_from=b"", failures=0))

    def _assigned_in(self, job: str) -> list[Assignment]:
        return [self._assignments[each] for each in sorted(self._assignments) if each.job == job]

    def _is_at_most_one(self, held: Assignment) -> bool:
        return self.guarantee_of(held.instance) == AT_MOST_ONE

    def _retire(self, held: Assignment, *, must_end: bool) -> None:
        """Take an instance from its worker for good; one that must have ended first stays, revoked, until it has."""
        self._directives.drop(held.instance)
        if must_end and not held.finished:
            # out of date, too: should the job be revived, then what it finishes as until then counts no more
            self._revoke(attrs.evolve(held, stale=held.stale or self._index, superseded=True))
        else:
            self._drop(held)

    def _revoke(self, held: Assignment) -> None:
        if not held.finished:
            self._put(attrs.evolve(held, revoked=held.revoked or self._index, former_run=None, former_epoch=0))
            self._directives.conflicts.pop(held.instance, None)

    def _drop(self, held: Assignment) -> None:
        del self._assignments[held.instance]
        self._holdings.take(held.instance, held.run)
        self._forget_stop_of(held.run)

    def _apply_directive(self, change: Directive) -> None:
        directives = self._directives
        match change:
            case Forget(instance=instance, epoch=epoch):
                held = self._assignments.get(instance)
                if held is not None and held.epoch == epoch and held.revoked:
                    self._directives.drop(instance)  # it may have been blamed since it was taken from its job
                    self._drop(held)
                    self._let_cancelled_go()
            case Restart(instances=instances):
                for instance in instances:
                    held = self._assignments.get(instance)
                    if held is not None and not held.finished and not held.revoked:
                        self._put(attrs.evolve(held, stale=held.stale or self._index))
            case Quarantine(instance=instance, epoch=epoch):
                held = self._assignments.get(instance)
                if held is not None and held.epoch == epoch and not held.finished:
                    directives.quarantined[instance] = Quarantined(index=self._index, reason=change.reason)
                    self._revoke(held)
            case Pardon(instance=instance):
                held = self._assignments.get(instance)
                if held is not None:
                    self._put(attrs.evolve(held, failures=0))
                directives.clear([instance])
            case DeclareDead(run=run):
                self._evict(run)
                directives.asserted[run.name] = max(run.boot, directives.asserted.get(run.name, -1))
                directives.forget_asserted(self._names_to_stop())
            case SetPolicy():
                directives.rebalance_moves = change.rebalance_moves
            case Blame():
                held_now = ((each, self._assignments.get(each)) for each in change.instances)
                unfinished = {each for each, held in held_now if held is not None and not held.finished}
                directives.judge(change, self._index, assigned=unfinished)
            case SetWorkerMode():
                directives.set_mode(change, self._index)
            case SetStandbys(instance=instance):
                job = self._jobs.get(instance.job)
                if job is not None and job.has(instance) and instance.job not in directives.cancelled:
                    directives.set_standbys(change)
            case ClaimProgress():
                directives.claim(change)
            case KeepReplacement(instance=instance, epoch=epoch):
                held = self._assignments.get(instance)
                if held is not None and held.epoch == epoch:
                    directives.conflicts.pop(instance, None)

    def _names_to_stop(self) -> set[str]:
        return {held.run.name for held in self._assignments.values() if self._is_to_stop(held)}

    def _assign(self, made: Assign) -> None:
        job = self._jobs.get(made.instance.job)
        if job is None or not job.has(made.instance) or made.instance.job in self._directives.cancelled:
            return
        if made.instance in self._directives.quarantined:
            return
        before = self._assignments.get(made.instance)
        goes_on = made.handover and before is not None and not before.finished and not before.revoked
        self._put(
            Assignment(
                instance=made.instance,
                run=made.run,
                epoch=self._index,
                failures=made.failures,
                resume_from=made.resume_from,
                former_run=before.run if goes_on and before is not None else None,
                former_epoch=before.epoch if goes_on and before is not None else 0,
            )
        )
        self._directives.promote(made.instance, made.run)
        self._directives.conflicts.pop(made.instance, None)
        if before is not None and self._may_go_on(before, made, job.operator(made.instance.operator)):
            self._directives.conflicts[made.instance] = Conflict(run=before.run, epoch=before.epoch)
        if before is not None:
            self._forget_stop_of(before.run)
        if self.is_evicted(made.run) and self._must_stop(made.run):
            self._stops.setdefault(made.run, self._index)  # no leader does that; but then it stops from here on

    def _may_go_on(self, before: Assignment, made: Assign, spec: OperatorSpec) -> bool:
        """Return whether the former copy may go on unreached, and is not to be stopped whatever it comes to."""
        is_open = not (before.finished or before.revoked or before.stale) and made.run.name != before.run.name
        return is_open and spec.on_conflict == FURTHEST_PROGRESS and self.is_held(before.run)

    def _evict(self, run: Run) -> None:
        self._evicted[run.name] = max(run.boot, self._evicted.get(run.name, -1))
        for each in self._holdings.runs_of(run.name):
            if each.boot <= run.boot and self._must_stop(each):
                self._stops.setdefault(each, self._index)
        for stopped in [each for each in self._stops if each.name == run.name]:
            self._forget_stop_of(stopped)
        if len(self._evicted) > EVICTED_KEPT:
            # the oldest run that nobody waits for; by value and not by order, which a snapshot does not keep
            waited_for = {each.name for each in self._stops}
            del self._evicted[min(self._evicted, key=lambda name: (name in waited_for, self._evicted[name], name))]

    def _must_stop(self, run: Run) -> bool:
        """Return whether an at-most-one instance is assigned to `run` that has not finished.

        Nobody waits for the end of any other; and so a plan without such operators keeps its shorter form.
        """
        return any(self._is_to_stop(self._assignments[each]) for each in self._holdings.of(run))

    def _is_to_stop(self, held: Assignment) -> bool:
        return not held.finished and self._is_at_most_one(held)

    def _put(self, held: Assignment) -> None:
        """Have `held` take the place of the instance's former assignment."""
        before = self._assignments.get(held.instance)
        self._assignments[held.instance] = held
        if before is None or before.run != held.run:
            if before is not None:
                self._holdings.take(held.instance, before.run)
            self._holdings.give(held.instance, held.run)

    def _forget_stop_of(self, run: Run) -> None:
        """Drop the stop of a run that is gone for good once nobody waits for its end any more."""
        is_gone = run in self._stops and self.is_evicted(run)
        if is_gone and not self._must_stop(run):
            del self._stops[run]
            if run.name in self._directives.asserted:
                self._directives.forget_asserted(self._names_to_stop())
