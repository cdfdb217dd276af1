"""Jobs: those that this worker wants committed, and, while it leads, those that go into the log next."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from swimstream.config import FRAME_BYTES_MAX
from swimstream.core.effects import Answer
from swimstream.core.leader_requests import Done, Kind, Refused, Request, RequestDesk
from swimstream.model.changes import SubmitJob
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import SPEAKS_CONFLICTS, SPEAKS_DIRECTIVES, SPEAKS_GUARANTEES, too_old
from swimstream.model.plan import INSTANCES_MAX
from swimstream.model.versions import refusal_of_names
from swimstream.wire.codec import encode_message
from swimstream.wire.council_messages import ERROR_BYTES_MAX, Propose
from swimstream.wire.plan_codec import encode_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from swimstream.core.leader_requests import Verdict
    from swimstream.model.identity import Run
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan

SUBMISSIONS_MAX = 256
JOBS_MAX = 1_024
JOB_BYTES_MAX = 256 * 1_024
PLAN_BYTES_MAX = FRAME_BYTES_MAX // 2
"""At a submission. With the longest names 20,000 assignments add some 6 MiB: more than a frame, so the plan goes in
pieces then, and far less than `plan_reader.STORED_BYTES_MAX`. It could be higher for those who read pieces; as it is, a
plan with names of the usual length still fits one frame, for peers that do not."""


USUAL = OperatorSpec(name="usual", kind="usual")
FIRST_FIELDS = ("name", "kind", "parallelism", "inputs", "prefer_site", "parameters")
SINCE_LEVEL = {"instances": SPEAKS_GUARANTEES, "hold_for_s": SPEAKS_GUARANTEES, "on_conflict": SPEAKS_CONFLICTS}
WISHES = tuple(
    (name, SINCE_LEVEL.get(name, SPEAKS_DIRECTIVES))
    for name in (field.name for field in attrs.fields(OperatorSpec))
    if name not in FIRST_FIELDS
)
"""What an operator can ask for beyond its first fields, and since which level of the protocol."""
SUBMISSION = Kind(subject="job", plural="submissions", waiting_max=SUBMISSIONS_MAX)


@attrs.define(eq=False)
class Submissions(RequestDesk):
    """What this worker wants committed, and, while it leads, what others want.

    At most `SUBMISSIONS_MAX` of its own wait at a time. As many accepted ones wait at the leader until older changes
    are committed; beyond that they are dropped, counted, and asked for again.
    """

    _accepted: dict[str, JobSpec] = attrs.field(factory=dict, init=False)
    """As leader: what goes into the log next."""

    def add(self, request: int, job: JobSpec, now: float) -> None:
        """Take a job of this worker's own; `request` is answered once the plan has it or the leader refuses it."""
        message = Propose(request=request, change=SubmitJob(job=job))
        if error := too_big(job):
            self._outbox.put(Answer(request, error))
        elif error := level_faults(job, tuple(self._membership.table.live())):
            self._outbox.put(Answer(request, error))  # a leader of an older version could not read the question
        else:
            look, accept = partial(self._look, job), partial(self._accept, job)
            self._requests.add(Request(kind=SUBMISSION, message=message, look=look, accept=accept), now)

    def _look(self, job: JobSpec) -> Verdict:
        plan = self._council.plan
        if job.name not in plan.jobs:
            return None
        error = conflict(job, plan.jobs) or former_fault(job, plan)
        return Refused(error) if error else Done(plan.index)

    # --- the leader's side ------------------------------------------------------------------------

    def receive_proposal(self, sender: Run, proposal: Propose, now: float) -> None:
        """Take another member's job as leader."""
        self._requests.serve(sender, proposal.request, partial(self._accept, proposal.change.job), now)

    def settle(self, now: float) -> None:
        """As leader, propose what was accepted, all together, once nothing else waits."""
        if not self._council.is_leader:
            self._accepted.clear()  # whoever leads now is asked for them again
        elif self._accepted and self._council.is_settled:
            jobs, self._accepted = self._accepted, {}
            self._council.propose([SubmitJob(job=job) for job in jobs.values()], now)

    def _accept(self, job: JobSpec, _now: float) -> Verdict:
        """Take a job for the log, or return why not; `settle` proposes it."""
        plan = self._council.plan
        jobs = {**plan.jobs, **self._accepted}
        error = former_fault(job, plan) or faults(job, jobs, self._membership.table.live())
        if error:
            return Refused(error)
        if job.name in jobs:
            return None
        error = size_fault(job, plan, *self._accepted.values())
        if error:
            return Refused(error)
        if len(self._accepted) >= SUBMISSIONS_MAX:
            self._counters["proposals_dropped"] += 1
        else:
            self._accepted[job.name] = job
        return None


def too_big(job: JobSpec) -> str:
    """Return why no message takes `job`, or nothing."""
    size = _size_of(job)
    return f"job: expected at most {JOB_BYTES_MAX} B when encoded, got {size} B" if size > JOB_BYTES_MAX else ""


def size_fault(job: JobSpec, plan: Plan, *others: JobSpec) -> str:
    """Return why the plan has no room for `job` beside `others` that are to come into it, or nothing."""
    size = len(encode_plan(plan)) + sum(map(_size_of, (*others, job)))
    if size > PLAN_BYTES_MAX:
        return f"job: the plan would take {size} B, it may take at most {PLAN_BYTES_MAX} B"
    kept = [each for each in plan.jobs.values() if each.name != job.name]
    instances = sum(spec.parallelism for each in (*kept, *others, job) for spec in each.operators)
    if instances > INSTANCES_MAX:
        return f"job: the cluster would have {instances} instances, it takes at most {INSTANCES_MAX}"
    return ""


def _size_of(job: JobSpec) -> int:
    return len(encode_message(Propose(request=0, change=SubmitJob(job=job))))


def former_fault(job: JobSpec, plan: Plan) -> str:
    """Return why `job` cannot begin after one of its name that was cancelled, whether it has left the plan or not."""
    if job.name in plan.directives.cancelled:
        return (
            f"name: the job {job.name!r} was cancelled; an update revives it from its last checkpoints, "
            "submitting it with fresh begins it anew"
        )
    return "" if job.name in plan.jobs else refusal_of_names(job.operators, plan.directives.retired.get(job.name, ()))


def conflict(job: JobSpec, jobs: Mapping[str, JobSpec]) -> str:
    """Return why `job` cannot join `jobs`, those of the cluster by name, or nothing."""
    known = jobs.get(job.name)
    if known is not None and known != job:
        return f"name: another job is named {job.name!r} already, with other operators; an update changes it"
    if known is None and len(jobs) >= JOBS_MAX:
        return f"job: the cluster holds {JOBS_MAX} jobs already, which is the most it takes"
    return ""


def faults(job: JobSpec, jobs: Mapping[str, JobSpec], members: Iterable[Member]) -> str:
    """Return why a leader refuses `job`: it conflicts with `jobs`, or the live workers cannot do what it asks for."""
    members = tuple(members)
    return conflict(job, jobs) or level_faults(job, members) or kind_faults(job, members)


def kind_faults(job: JobSpec, members: Iterable[Member], *, before: JobSpec | None = None) -> str:
    """Return which operators no live worker could run, or nothing; those that `before` had with that kind may stay."""
    kinds = {kind for member in members if not member.state.is_gone for kind in member.profile.kinds}
    known = ", ".join(sorted(kinds)) or "none"
    kept = {(spec.name, spec.kind) for spec in (before.operators if before is not None else ())}
    error = "\n".join(
        f"operators[{position}].kind: no live worker runs kind {spec.kind!r} (known kinds: {known})"
        for position, spec in enumerate(job.operators)
        if spec.kind not in kinds and (spec.name, spec.kind) not in kept
    )
    return error if len(error.encode()) <= ERROR_BYTES_MAX else error[: ERROR_BYTES_MAX // 4] + " …"


def level_faults(job: JobSpec, members: Sequence[Member]) -> str:
    """Return why the wishes of `job` cannot be met: who is too old for one could not even read the plan any more."""
    for level in sorted({level for _, level in WISHES}):
        older = too_old(members, level=level)
        for position, spec in enumerate(job.operators if older else ()):
            for name in (name for name, since in WISHES if since == level):
                value = getattr(spec, name)
                if value != getattr(USUAL, name):
                    where = f"operators[{position}].{name}"
                    return f"{where}: {value!r} cannot be kept while {older[0]} of an older version is alive"
    return ""
