"""The plan: the committed table of who decides and what runs where. Authority; evidence lives elsewhere.

The plan is the state machine of Raft (§5.3): equal entries applied in order give equal plans.
Every change has an index; the index of an assignment is its epoch, the operator's fencing token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property

import attrs

from swimstream.model.assignment import Assignment, stop_index
from swimstream.model.changes import (
    ChangeCouncil,
    Entry,
    Found,
    Noop,
    RecoverCouncil,
    ResizeCouncil,
    Seat,
    SetAuthority,
)
from swimstream.model.directives import NO_DIRECTIVES, Directives
from swimstream.model.execution import ExecutionDraft
from swimstream.model.history import Decision, describe
from swimstream.model.holdings import NOTHING, held_by_run
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_MOST_ONE, JobSpec, OperatorSpec

__all__ = ["DECISIONS_KEPT", "INSTANCES_MAX", "Assignment", "Plan", "PlanDraft", "PlanMark"]

DECISIONS_KEPT = 256
INSTANCES_MAX = 20_000
"""So many instances in all jobs together: what a leader looks through for each decision, and all write to disk."""


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
    stops: Mapping[Run, int] = attrs.field(factory=dict)
    """Run → index of the entry since which it may not renew its authority: held, or evicted with an at-most-one
    instance that was not given to another yet."""
    seats_wanted: int = 0
    """How many seats the council shall have; 0: as many as it was founded with, since none was changed yet."""
    isolation_ms: int = 0
    """A proof of a quorum lasts so long; 0: not set yet, and no at-most-one operator is given to anybody."""
    drift_ppm: int = 0
    """Rates of clocks differ from the true one by at most so many millionths."""
    directives: Directives = NO_DIRECTIVES
    decisions: tuple[Decision, ...] = ()
    """The newest `DECISIONS_KEPT`, oldest first."""

    @cached_property
    def held(self) -> Mapping[Run, AbstractSet[InstanceId]]:
        """Return what each run holds, finished or not; who holds nothing is left out."""
        return held_by_run(self.assignments.values())

    def held_by(self, run: Run) -> AbstractSet[InstanceId]:
        """Return the instances that are assigned to `run`, finished or not."""
        return self.held.get(run, NOTHING)

    def is_evicted(self, run: Run) -> bool:
        """Return whether `run` was declared gone for good."""
        return self.evicted.get(run.name, -1) >= run.boot

    def is_finished(self, job: str) -> bool:
        """Return whether every instance of the job has finished; a cancelled one has not."""
        spec = self.jobs[job]
        return all(
            (held := self.assignments.get(instance)) is not None and held.finished for instance in spec.instances()
        )

    def spec_of(self, instance: InstanceId) -> OperatorSpec | None:
        """Return the operator that `instance` is one of, None if no job has it (any more)."""
        job = self.jobs.get(instance.job)
        return job.operator(instance.operator) if job is not None and job.has(instance) else None

    def guarantee_of(self, instance: InstanceId) -> str:
        """Return the guarantee of an instance of one of the plan's jobs, or of one that was taken from its job.

        Of the latter, only at-most-one instances stay in the plan, until they have ended.
        """
        spec = self.spec_of(instance)
        return spec.instances if spec is not None else AT_MOST_ONE

    def is_wanted(self, instance: InstanceId) -> bool:
        """Return whether the instance is to be executed at all: not of a cancelled job, nor in quarantine."""
        held = self.assignments.get(instance)
        return (
            self.spec_of(instance) is not None
            and instance.job not in self.directives.cancelled
            and instance not in self.directives.quarantined
            and not (held is not None and held.finished)
        )

    def has_outlived(self, instance: InstanceId, epoch: int) -> bool:
        """Return whether that epoch is of an instance which no job has any more, or of a former life of its job.

        What is said of it is past.
        """
        if instance in self.assignments:
            return False
        is_gone = self.spec_of(instance) is None and epoch <= self.index  # a later epoch: the plan is not here yet
        return is_gone or self.is_of_former_life(instance, epoch)

    def is_of_former_life(self, instance: InstanceId, epoch: int) -> bool:
        """Return whether the job of `instance` was begun anew after that epoch: no checkpoint of it counts."""
        return epoch < self.directives.begun.get(instance.job, 0)

    def version_of(self, job: str) -> int:
        """Return the version of an accepted job, 1 for one that was never changed."""
        return self.directives.versions.get(job, 1)

    def is_asserted_dead(self, run: Run) -> bool:
        """Return whether a person has declared `run` dead, and something still waits for its end."""
        return self.directives.asserted.get(run.name, -1) >= run.boot

    def is_held(self, run: Run) -> bool:
        """Return whether `run` may not renew its authority: it is suspected, or was declared gone for good."""
        return run in self.stops or self.is_evicted(run)

    def stop_index(self, held: Assignment) -> int:
        """Return the index of the oldest standing entry that stops this assignment, 0 if there is none."""
        return stop_index(held, self.stops)

    def advance(self, entries: Iterable[Entry]) -> Plan:
        """Return the plan after `entries`, which must follow on `index` without a gap."""
        draft = PlanDraft(self)
        for entry in entries:
            draft.apply(entry)
        return draft.plan()


class PlanDraft(ExecutionDraft):
    """A plan that is being changed. What it does with an entry depends on the entries before it alone.

    What it can be asked means the same as the question to the `Plan` that it would give; asking costs no copy of it.
    """

    def __init__(self, plan: Plan) -> None:
        """Begin with `plan`, which stays as it is."""
        super().__init__(
            index=plan.index,
            jobs=plan.jobs,
            assignments=plan.assignments,
            evicted=plan.evicted,
            stops=plan.stops,
            directives=plan.directives,
            held=plan.held,
        )
        self._base = plan
        self._term = plan.term
        self._cluster_id, self._council, self._seats_wanted = plan.cluster_id, plan.council, plan.seats_wanted
        self._isolation_ms, self._drift_ppm = plan.isolation_ms, plan.drift_ppm
        self._decisions = list(plan.decisions)

    @property
    def index(self) -> int:
        """Return the index of the entry that was applied last."""
        return self._index

    def plan(self) -> Plan:
        """Return what has become of the plan; the draft must not be changed any more."""
        made = attrs.evolve(
            self._base,
            index=self._index,
            term=self._term,
            cluster_id=self._cluster_id,
            council=self._council,
            seats_wanted=self._seats_wanted,
            isolation_ms=self._isolation_ms,
            drift_ppm=self._drift_ppm,
            jobs=self._jobs,
            assignments=self._assignments,
            evicted=self._evicted,
            stops=self._stops,
            directives=self._directives.directives(),
            decisions=tuple(self._decisions[-DECISIONS_KEPT:]),
        )
        object.__setattr__(made, "held", self._holdings.held())  # what the property would find, were it asked
        return made

    def apply(self, entry: Entry) -> None:
        """Change the plan by one entry, which must follow on the last one."""
        assert entry.index == self._index + 1, "entries are applied in order, without a gap"
        self._index, self._term = entry.index, entry.term
        match entry.change:
            case Found() | ChangeCouncil() | ResizeCouncil() | RecoverCouncil() | SetAuthority() as change:
                self._apply_to_cluster(change)
            case Noop():
                pass
            case change:
                self._execute(change)
        self._decisions.append(describe(entry))

    def _apply_to_cluster(self, change: Found | ChangeCouncil | ResizeCouncil | RecoverCouncil | SetAuthority) -> None:
        match change:
            case Found():
                self._cluster_id, self._council = change.cluster_id, change.council
            case ChangeCouncil() | RecoverCouncil():
                self._seats_wanted = self._seats_wanted or len(self._council)
                self._council = change.council
            case ResizeCouncil():
                self._seats_wanted = change.seats
            case SetAuthority():
                if not self._isolation_ms:
                    self._isolation_ms, self._drift_ppm = change.isolation_ms, change.drift_ppm
