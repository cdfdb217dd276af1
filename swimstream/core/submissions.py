"""Jobs: those that this worker wants committed, and, while it leads, those that go into the log next."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from swimstream.config import FRAME_BYTES_MAX
from swimstream.core.effects import Answer
from swimstream.core.leader_requests import Done, Kind, Refused, Request
from swimstream.model.changes import SubmitJob
from swimstream.model.job import AT_LEAST_ONE, JobSpec
from swimstream.model.member import too_old
from swimstream.model.plan import INSTANCES_MAX
from swimstream.wire.codec import encode_message
from swimstream.wire.council_messages import ERROR_BYTES_MAX, Propose
from swimstream.wire.plan_codec import encode_plan

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping, Sequence

    from swimstream.core.council.council import Council
    from swimstream.core.leader_requests import LeaderRequests, Verdict
    from swimstream.core.membership.membership import Membership
    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Run
    from swimstream.model.member import Member

SUBMISSIONS_MAX = 256
JOBS_MAX = 1_024
JOB_BYTES_MAX = 256 * 1_024
PLAN_BYTES_MAX = FRAME_BYTES_MAX // 2
"""At a submission. With the longest names 20,000 assignments add some 6 MiB: more than a frame, so the plan goes in
pieces then, and far less than `plan_reader.STORED_BYTES_MAX`. It could be higher for those who read pieces; as it is, a
plan with names of the usual length still fits one frame, for peers that do not."""


SUBMISSION = Kind(subject="job", plural="submissions", waiting_max=SUBMISSIONS_MAX)


class Submissions:
    """What this worker wants committed, and, while it leads, what others want.

    At most `SUBMISSIONS_MAX` of its own wait at a time. As many accepted ones wait at the leader until older changes
    are committed; beyond that they are dropped, counted, and asked for again.
    """

    def __init__(
        self,
        requests: LeaderRequests,
        membership: Membership,
        council: Council,
        outbox: Outbox,
        *,
        counters: Counter[str],
    ) -> None:
        """Begin with none."""
        self._counters = counters
        self._requests = requests
        self._membership = membership
        self._council = council
        self._outbox = outbox
        self._accepted: dict[str, JobSpec] = {}
        """As leader: what goes into the log next."""

    def add(self, request: int, job: JobSpec, now: float) -> None:
        """Take a job of this worker's own; `request` is answered once the plan has it or the leader refuses it."""
        message = Propose(request=request, change=SubmitJob(job=job))
        size = len(encode_message(message))
        if size > JOB_BYTES_MAX:
            self._outbox.put(Answer(request, f"job: expected at most {JOB_BYTES_MAX} B when encoded, got {size} B"))
        elif error := _guarantee_faults(job, too_old(self._membership.table.live())):
            self._outbox.put(Answer(request, error))  # a leader of an older version could not read the question
        else:
            look, accept = partial(self._look, job), partial(self._accept, job)
            self._requests.add(Request(kind=SUBMISSION, message=message, look=look, accept=accept), now)

    def _look(self, job: JobSpec) -> Verdict:
        plan = self._council.plan
        if job.name not in plan.jobs:
            return None
        error = conflict(job, plan.jobs)
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
        error = faults(job, jobs, self._membership.table.live())
        if error:
            return Refused(error)
        if job.name in jobs:
            return None
        size = len(encode_plan(plan)) + sum(map(_size_of, (*self._accepted.values(), job)))
        if size > PLAN_BYTES_MAX:
            return Refused(f"job: the plan would take {size} B, it may take at most {PLAN_BYTES_MAX} B")
        if len(self._accepted) >= SUBMISSIONS_MAX:
            self._counters["proposals_dropped"] += 1
        else:
            self._accepted[job.name] = job
        return None


def _size_of(job: JobSpec) -> int:
    return len(encode_message(Propose(request=0, change=SubmitJob(job=job))))


def conflict(job: JobSpec, jobs: Mapping[str, JobSpec]) -> str:
    """Return why `job` cannot join `jobs`, those of the cluster by name, or nothing."""
    known = jobs.get(job.name)
    if known is not None and known != job:
        return f"name: another job is named {job.name!r} already, with other operators"
    if known is None and len(jobs) >= JOBS_MAX:
        return f"job: the cluster holds {JOBS_MAX} jobs already, which is the most it takes"
    together = [*jobs.values(), *([job] if known is None else [])]
    instances = sum(spec.parallelism for each in together for spec in each.operators)
    if known is None and instances > INSTANCES_MAX:
        return f"job: the cluster would have {instances} instances, it takes at most {INSTANCES_MAX}"
    return ""


def faults(job: JobSpec, jobs: Mapping[str, JobSpec], members: Iterable[Member]) -> str:
    """Return why a leader refuses `job`: it conflicts with `jobs`, or the live workers cannot do what it asks for."""
    members = tuple(members)
    error = conflict(job, jobs) or _guarantee_faults(job, too_old(members))
    if error:
        return error
    kinds = {kind for member in members for kind in member.profile.kinds}
    known = ", ".join(sorted(kinds)) or "none"
    error = "\n".join(
        f"operators[{position}].kind: no live worker runs kind {spec.kind!r} (known kinds: {known})"
        for position, spec in enumerate(job.operators)
        if spec.kind not in kinds
    )
    return error if len(error.encode()) <= ERROR_BYTES_MAX else error[: ERROR_BYTES_MAX // 4] + " …"


def _guarantee_faults(job: JobSpec, older: Sequence[str]) -> str:
    """Return why the guarantees of `job` cannot be kept: who knows none could not even read the plan any more."""
    for position, spec in enumerate(job.operators if older else ()):
        where = f"operators[{position}]"
        if spec.instances != AT_LEAST_ONE:
            return f"{where}.instances: {spec.instances!r} cannot be kept while {older[0]} of an older version is alive"
        if spec.hold_for_s:
            return f"{where}.hold_for_s: it cannot be kept while {older[0]} of an older version is alive"
    return ""
