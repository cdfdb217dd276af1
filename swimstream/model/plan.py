"""The plan: the committed table of who decides and what runs where. Authority; evidence lives elsewhere.

The plan is the state machine of Raft (§5.3): equal entries applied in order give equal plans.
Every change has an index; the index of an assignment is its epoch, the operator's fencing token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from swimstream.model.changes import (
    Assign,
    ChangeCouncil,
    Conclude,
    Entry,
    Evict,
    Found,
    Hold,
    Noop,
    RecoverCouncil,
    Release,
    ResizeCouncil,
    Revoke,
    Seat,
    SetAuthority,
    SubmitJob,
)
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_MOST_ONE, JobSpec

DECISIONS_KEPT = 256
EVICTED_KEPT = 8_192
INSTANCES_MAX = 20_000
"""So many instances in all jobs together: what a leader looks through for each decision, and all write to disk."""


@attrs.frozen(kw_only=True)
class Assignment:
    """Where an instance belongs. Only a live run of that exact boot may act on it."""

    instance: InstanceId
    run: Run
    epoch: int
    failures: int = 0
    resume_from: bytes = b""
    finished: bool = False
    revoked: int = 0
    """Index of the entry that took it back before it was given to another, 0 if there is none."""


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
    stops: Mapping[Run, int] = attrs.field(factory=dict)
    """Run → index of the entry since which it may not renew its authority: held, or evicted with an at-most-one
    instance that was not given to another yet."""
    seats_wanted: int = 0
    """How many seats the council shall have; 0: as many as it was founded with, since none was changed yet."""
    isolation_ms: int = 0
    """A proof of a quorum lasts so long; 0: not set yet, and no at-most-one operator is given to anybody."""
    drift_ppm: int = 0
    """Rates of clocks differ from the true one by at most so many millionths."""
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

    def guarantee_of(self, instance: InstanceId) -> str:
        """Return the guarantee of an instance of one of the plan's jobs."""
        return self.jobs[instance.job].operator(instance.operator).instances

    def is_held(self, run: Run) -> bool:
        """Return whether `run` may not renew its authority: it is suspected, or was declared gone for good."""
        return run in self.stops or self.is_evicted(run)

    def stop_index(self, held: Assignment) -> int:
        """Return the index of the oldest standing entry that stops this assignment, 0 if there is none."""
        return _stop_index(held, self.stops)

    def advance(self, entries: Iterable[Entry]) -> Plan:
        """Return the plan after `entries`, which must follow on `index` without a gap."""
        draft = PlanDraft(self)
        for entry in entries:
            draft.apply(entry)
        return draft.plan()


class PlanDraft:
    """A plan that is being changed. What it does with an entry depends on the entries before it alone.

    What it can be asked means the same as the question to the `Plan` that it would give; asking costs no copy of it.
    """

    def __init__(self, plan: Plan) -> None:
        """Begin with `plan`, which stays as it is."""
        self._base = plan
        self._index, self._term = plan.index, plan.term
        self._cluster_id, self._council, self._seats_wanted = plan.cluster_id, plan.council, plan.seats_wanted
        self._isolation_ms, self._drift_ppm = plan.isolation_ms, plan.drift_ppm
        self._jobs, self._assignments = dict(plan.jobs), dict(plan.assignments)
        self._evicted, self._stops = dict(plan.evicted), dict(plan.stops)
        self._decisions = list(plan.decisions)
        self._to_stop: Counter[Run] | None = None
        """How many unfinished at-most-one instances each run has; counted when it is first asked for."""

    @property
    def index(self) -> int:
        """Return the index of the entry that was applied last."""
        return self._index

    def assignment_of(self, instance: InstanceId) -> Assignment | None:
        """Return where `instance` belongs, None if it was never given to anybody."""
        return self._assignments.get(instance)

    def guarantee_of(self, instance: InstanceId) -> str:
        """Return the guarantee of `instance`, or nothing if no job has it: an assignment of it changes nothing."""
        job = self._jobs.get(instance.job)
        return job.operator(instance.operator).instances if job is not None and job.has(instance) else ""

    def is_evicted(self, run: Run) -> bool:
        """Return whether `run` was declared gone for good."""
        return self._evicted.get(run.name, -1) >= run.boot

    def is_held(self, run: Run) -> bool:
        """Return whether `run` may not renew its authority."""
        return run in self._stops or self.is_evicted(run)

    def stop_index(self, held: Assignment) -> int:
        """Return the index of the oldest standing entry that stops this assignment, 0 if there is none."""
        return _stop_index(held, self._stops)

    def plan(self) -> Plan:
        """Return what has become of the plan."""
        return attrs.evolve(
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
            decisions=tuple(self._decisions[-DECISIONS_KEPT:]),
        )

    def apply(self, entry: Entry) -> None:
        """Change the plan by one entry, which must follow on the last one."""
        assert entry.index == self._index + 1, "entries are applied in order, without a gap"
        self._index, self._term = entry.index, entry.term
        match entry.change:
            case Found() | ChangeCouncil() | ResizeCouncil() | RecoverCouncil() | SetAuthority() as change:
                self._apply_to_cluster(change)
            case Noop():
                pass
            case SubmitJob(job=job):
                self._jobs.setdefault(job.name, job)
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
                if held is not None and held.epoch == epoch:
                    self._put(attrs.evolve(held, finished=True))
                    self._forget_stop_of(held.run)
            case Revoke(instance=instance, epoch=epoch):
                held = self._assignments.get(instance)
                if held is not None and held.epoch == epoch and not held.finished and not held.revoked:
                    self._put(attrs.evolve(held, revoked=self._index))
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

    def _assign(self, made: Assign) -> None:
        if made.instance.job not in self._jobs or not self._jobs[made.instance.job].has(made.instance):
            return
        before = self._assignments.get(made.instance)
        self._put(
            Assignment(
                instance=made.instance,
                run=made.run,
                epoch=self._index,
                failures=made.failures,
                resume_from=made.resume_from,
            )
        )
        if before is not None:
            self._forget_stop_of(before.run)
        if self.is_evicted(made.run) and self._must_stop(made.run):
            self._stops.setdefault(made.run, self._index)  # no leader does that; but then it stops from here on

    def _evict(self, run: Run) -> None:
        self._evicted[run.name] = max(run.boot, self._evicted.get(run.name, -1))
        gone = {held.run for held in self._assignments.values() if held.run.name == run.name}
        for each in sorted(gone):
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
        if self._to_stop is None:
            self._to_stop = Counter(held.run for held in self._assignments.values() if self._is_to_stop(held))
        return self._to_stop[run] > 0

    def _is_to_stop(self, held: Assignment) -> bool:
        return not held.finished and self.guarantee_of(held.instance) == AT_MOST_ONE

    def _put(self, held: Assignment) -> None:
        """Have `held` take the place of the instance's former assignment."""
        before = self._assignments.get(held.instance)
        self._assignments[held.instance] = held
        if self._to_stop is not None:
            if before is not None:
                self._to_stop[before.run] -= self._is_to_stop(before)
            self._to_stop[held.run] += self._is_to_stop(held)

    def _forget_stop_of(self, run: Run) -> None:
        """Drop the stop of a run that is gone for good once nobody waits for its end any more."""
        is_gone = run in self._stops and self.is_evicted(run)
        if is_gone and not self._must_stop(run):
            del self._stops[run]


def _stop_index(held: Assignment, stops: Mapping[Run, int]) -> int:
    return min((index for index in (held.revoked, stops.get(held.run, 0)) if index), default=0)


def describe(entry: Entry) -> Decision:
    """Return the line of history for one entry."""
    reason = ""
    evidence: tuple[str, ...] = ()
    match entry.change:
        case Found(council=council):
            what = f"found the cluster; council: {_names(council)}"
        case Noop():
            what = "a new leader takes over"
        case SubmitJob(job=job):
            what = f"accept job {job.name}"
        case Assign() as made:
            what = f"{_assign(made.instance)}{made.run}"
            reason, evidence = made.reason, made.evidence
        case Evict() as gone:
            what = f"evict {gone.run}"
            reason, evidence = gone.reason, gone.evidence
        case Conclude() as done:
            what = f"conclude {done.instance}"
            reason = f"finished in epoch {done.epoch}"
        case Hold(run=run):
            what = f"hold {run}"
            reason, evidence = entry.change.reason, entry.change.evidence
        case Release(run=run):
            what, reason = f"release {run}", entry.change.reason
        case Revoke() as taken:
            what, reason = f"revoke {taken.instance} in epoch {taken.epoch}", taken.reason
        case _:
            what, reason, evidence = _describe_for_cluster(entry.change)
    return Decision(index=entry.index, term=entry.term, what=what, reason=reason, evidence=evidence)


def _describe_for_cluster(
    change: SetAuthority | ChangeCouncil | ResizeCouncil | RecoverCouncil,
) -> tuple[str, str, tuple[str, ...]]:
    match change:
        case SetAuthority():
            return f"authority lasts {change.isolation_ms} ms, clocks drift {change.drift_ppm} ppm at most", "", ()
        case ChangeCouncil():
            return f"council: {_names(change.council)}", change.reason, change.evidence
        case ResizeCouncil():
            return f"the council shall have {change.seats} seats", f"asked for at {change.asked_by}", ()
        case RecoverCouncil():
            what = f"council put in the place of one that is lost: {_names(change.council)}"
            lost = tuple(f"declared lost: {name}" for name in change.lost)
            return what, f"declared by a person at {change.asked_by}", lost


def assigned_to(plan: Plan, instance: InstanceId) -> tuple[str, ...]:
    """Return the names of the workers that `instance` was given to, oldest first, as far as the history reaches."""
    words = _assign(instance)
    given = [each.what.removeprefix(words) for each in plan.decisions if each.what.startswith(words)]
    return tuple(text.rpartition("@")[0] or text for text in given)


def _assign(instance: InstanceId) -> str:
    return f"assign {instance} to "


def _names(council: tuple[Seat, ...]) -> str:
    return ", ".join(seat.name for seat in council)
