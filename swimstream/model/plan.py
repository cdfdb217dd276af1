"""The plan: the committed table of who decides and what runs where. Authority; evidence lives elsewhere.

The plan is the state machine of Raft (§5.3): equal entries applied in order give equal plans.
Every change has an index; the index of an assignment is its epoch, the operator's fencing token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from swimstream.model.changes import Assign, Conclude, Entry, Evict, Found, Noop, Seat, SubmitJob
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import JobSpec

DECISIONS_KEPT = 256
EVICTED_KEPT = 8_192
INSTANCES_MAX = 20_000
"""So many instances in all jobs together, so that the plan fits one frame."""


@attrs.frozen(kw_only=True)
class Assignment:
    """Where an instance belongs. Only a live run of that exact boot may act on it."""

    instance: InstanceId
    run: Run
    epoch: int
    failures: int = 0
    resume_from: bytes = b""
    finished: bool = False


@attrs.frozen(kw_only=True)
class Decision:
    """One line of the history that every live worker can show."""

    index: int
    term: int
    what: str
    reason: str
    evidence: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class PlanMark:
    """How far somebody's plan has come; rides on every ping and ack."""

    term: int
    leader: str
    """Name of the leader of `term`, or empty if not known."""
    index: int


@attrs.frozen(kw_only=True)
class Plan:
    """The committed state after entry `index`. A snapshot of the log is this value."""

    index: int = 0
    term: int = 0
    """Term of entry `index`."""
    cluster_id: int = 0
    council: tuple[Seat, ...] = ()
    jobs: Mapping[str, JobSpec] = attrs.field(factory=dict)
    assignments: Mapping[InstanceId, Assignment] = attrs.field(factory=dict)
    evicted: Mapping[str, int] = attrs.field(factory=dict)
    """Name → the highest boot of that name that is gone for good."""
    decisions: tuple[Decision, ...] = ()
    """The newest `DECISIONS_KEPT`, oldest first."""

    def is_evicted(self, run: Run) -> bool:
        """Return whether `run` was declared gone for good."""
        return self.evicted.get(run.name, -1) >= run.boot

    def is_finished(self, job: str) -> bool:
        """Return whether every instance of the job has finished."""
        spec = self.jobs[job]
        return all(
            (held := self.assignments.get(instance)) is not None and held.finished for instance in spec.instances()
        )

    def advance(self, entries: Iterable[Entry]) -> Plan:
        """Return the plan after `entries`, which must follow on `index` without a gap."""
        jobs = dict(self.jobs)
        assignments = dict(self.assignments)
        evicted = dict(self.evicted)
        decisions = list(self.decisions)
        plan = self
        for entry in entries:
            assert entry.index == plan.index + 1, "entries are applied in order, without a gap"
            plan = attrs.evolve(plan, index=entry.index, term=entry.term)
            match entry.change:
                case Found() as found:
                    plan = attrs.evolve(plan, cluster_id=found.cluster_id, council=found.council)
                case Noop():
                    pass
                case SubmitJob(job=job):
                    jobs.setdefault(job.name, job)
                case Assign() as made:
                    if made.instance.job in jobs and jobs[made.instance.job].has(made.instance):
                        assignments[made.instance] = _assignment(made, entry.index)
                case Evict(run=run):
                    evicted[run.name] = max(run.boot, evicted.get(run.name, -1))
                    if len(evicted) > EVICTED_KEPT:
                        # the oldest run; by value and not by order, which a snapshot does not keep
                        del evicted[min(evicted, key=lambda name: (evicted[name], name))]
                case Conclude(instance=instance, epoch=epoch):
                    held = assignments.get(instance)
                    if held is not None and held.epoch == epoch:
                        assignments[instance] = attrs.evolve(held, finished=True)
            decisions.append(describe(entry))
        return attrs.evolve(
            plan,
            jobs=jobs,
            assignments=assignments,
            evicted=evicted,
            decisions=tuple(decisions[-DECISIONS_KEPT:]),
        )


def _assignment(made: Assign, epoch: int) -> Assignment:
    return Assignment(
        instance=made.instance, run=made.run, epoch=epoch, failures=made.failures, resume_from=made.resume_from
    )


def describe(entry: Entry) -> Decision:
    """Return the line of history for one entry."""
    reason = ""
    evidence: tuple[str, ...] = ()
    match entry.change:
        case Found(council=council):
            what = f"found the cluster; council: {', '.join(seat.name for seat in council)}"
        case Noop():
            what = "a new leader takes over"
        case SubmitJob(job=job):
            what = f"accept job {job.name}"
        case Assign() as made:
            what = f"assign {made.instance} to {made.run}"
            reason, evidence = made.reason, made.evidence
        case Evict() as gone:
            what = f"evict {gone.run}"
            reason, evidence = gone.reason, gone.evidence
        case Conclude() as done:
            what = f"conclude {done.instance}"
            reason = f"finished in epoch {done.epoch}"
    return Decision(index=entry.index, term=entry.term, what=what, reason=reason, evidence=evidence)
