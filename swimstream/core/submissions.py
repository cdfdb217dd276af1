"""Jobs that this worker wants committed: asked of the leader again and again until the plan has the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.config import FRAME_BYTES_MAX
from swimstream.core.effects import Answer
from swimstream.model.changes import SubmitJob
from swimstream.model.job import AT_LEAST_ONE, JobSpec
from swimstream.model.member import too_old
from swimstream.model.plan import INSTANCES_MAX
from swimstream.wire.codec import encode_message
from swimstream.wire.council_messages import ERROR_BYTES_MAX, Propose, ProposeReply
from swimstream.wire.plan_codec import encode_plan

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping, Sequence

    from swimstream.core.council.council import Council
    from swimstream.core.membership.membership import Membership
    from swimstream.core.outbox import Outbox
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
RETRY_S = 1.0


@attrs.define
class Submission:
    """One job that waits for its place in the plan."""

    job: JobSpec
    ask_at: float


class Submissions:
    """What this worker wants committed, and, while it leads, what others want.

    At most `SUBMISSIONS_MAX` of its own wait at a time; more are refused with an error. As many accepted ones wait at
    the leader until older changes are committed; beyond that they are dropped, counted, and asked for again.
    """

    def __init__(self, membership: Membership, council: Council, outbox: Outbox, *, counters: Counter[str]) -> None:
        """Begin with none."""
        self._counters = counters
        self._membership = membership
        self._council = council
        self._outbox = outbox
        self._waiting: dict[int, Submission] = {}
        self._asked = ("", 0)
        """Whom it asks, and in which term that one leads."""
        self._accepted: dict[str, JobSpec] = {}
        """As leader: what goes into the log next."""

    # --- the asking side --------------------------------------------------------------------------

    def add(self, request: int, job: JobSpec, now: float) -> None:
        """Take a job of this worker's own; `request` is answered once the plan has it or the leader refuses it."""
        size = len(encode_message(Propose(request=request, change=SubmitJob(job=job))))
        if size > JOB_BYTES_MAX:
            self._outbox.put(Answer(request, f"job: expected at most {JOB_BYTES_MAX} B when encoded, got {size} B"))
        elif error := _guarantee_faults(job, too_old(self._membership.table.live())):
            self._outbox.put(Answer(request, error))  # a leader of an older version could not read the question
        elif len(self._waiting) >= SUBMISSIONS_MAX:
            self._outbox.put(Answer(request, f"job: expected at most {SUBMISSIONS_MAX} submissions at a time"))
        else:
            self._waiting[request] = Submission(job, ask_at=now)
            self.look_at(self._council.plan)

    def fire_timers(self, now: float) -> None:
        """Ask the leader, whoever it is now, for everything that is due."""
        for request, waiting in sorted(self._waiting.items()):
            if waiting.ask_at <= now:
                waiting.ask_at = now + RETRY_S
                self._ask_leader(request, waiting.job)

    def settle(self, now: float) -> None:
        """Ask a new leader at once; as leader, propose what was accepted, all together, once nothing else waits."""
        mark = self._council.mark
        if mark.leader and (mark.leader, mark.term) != self._asked:
            self._asked = (mark.leader, mark.term)
            for waiting in self._waiting.values():
                waiting.ask_at = now
        if not self._council.is_leader:
            self._accepted.clear()  # whoever leads now is asked for them again
        elif self._accepted and self._council.is_settled:
            jobs, self._accepted = self._accepted, {}
            self._council.propose([SubmitJob(job=job) for job in jobs.values()], now)

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        return min((waiting.ask_at for waiting in self._waiting.values()), default=float("inf"))

    def look_at(self, plan: Plan) -> None:
        """Answer whatever the plan has an answer to."""
        for request, waiting in sorted(self._waiting.items()):
            if waiting.job.name in plan.jobs:
                self._answer(request, conflict(waiting.job, plan.jobs))

    def receive_refusal(self, reply: ProposeReply) -> None:
        """Take the leader's no."""
        if reply.request in self._waiting:
            self._answer(reply.request, reply.error)

    def _ask_leader(self, request: int, job: JobSpec) -> None:
        if self._council.is_leader:
            error = self._accept(job)
            if error:
                self._answer(request, error)
            return
        leader = self._membership.table.address_of(self._council.mark.leader)
        if leader is not None:
            self._outbox.send(leader, Propose(request=request, change=SubmitJob(job=job)))

    def _answer(self, request: int, error: str) -> None:
        del self._waiting[request]
        self._outbox.put(Answer(request, error))

    def give_up(self) -> None:
        """Answer everything: this worker takes part no more."""
        for request in sorted(self._waiting):
            self._answer(request, "job: this worker takes part no more")

    # --- the leader's side ------------------------------------------------------------------------

    def receive_proposal(self, sender: Run, proposal: Propose) -> None:
        """Take a job as leader; anyone else stays silent, and the asker asks again."""
        asker = self._membership.table.get_run(sender)
        if self._council.is_leader and asker is not None:
            error = self._accept(proposal.change.job)
            if error:
                self._outbox.send(asker.profile.address, ProposeReply(request=proposal.request, error=error))

    def _accept(self, job: JobSpec) -> str:
        """Take a job for the log, or return why not; `settle` proposes it."""
        plan = self._council.plan
        jobs = {**plan.jobs, **self._accepted}
        error = faults(job, jobs, self._membership.table.live())
        if error or job.name in jobs:
            return error
        size = len(encode_plan(plan)) + sum(map(_size_of, (*self._accepted.values(), job)))
        if size > PLAN_BYTES_MAX:
            return f"job: the plan would take {size} B, it may take at most {PLAN_BYTES_MAX} B"
        if len(self._accepted) >= SUBMISSIONS_MAX:
            self._counters["proposals_dropped"] += 1
        else:
            self._accepted[job.name] = job
        return ""


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
