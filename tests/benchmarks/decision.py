"""What it costs a leader, in CPU, to decide about many lost instances at once: `python -m tests.benchmarks.decision`.

1,000 workers hold 20 instances each, and a tenth of the workers dies. Measured is all that a leader does in that turn:
the review, the guard at the log, the append with what is written to disk, and the plan that follows from it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import attrs

from swimstream.core.council.guard import MoveGuard
from swimstream.core.council.log import Log
from swimstream.core.council.stops import wait_s
from swimstream.core.effects import Saved
from swimstream.core.recovery.recovery import Recovery
from swimstream.core.recovery.situation import Patience, Situation
from swimstream.model.changes import Change, Entry, Hold, SetAuthority, SubmitJob
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.model.member import SPEAKS, Member, MemberState, Profile
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.wire.plan_codec import encode_entry

if TYPE_CHECKING:
    from swimstream.model.plan import Assignment

AUTHORITY = SetAuthority(isolation_ms=6_000, drift_ppm=10_000)
OPERATORS = 20


@attrs.define
class Costs:
    """CPU seconds of one decision, part by part."""

    review_s: float
    admit_s: float
    append_s: float
    moved: int

    @property
    def total_s(self) -> float:
        """Return all of it."""
        return self.review_s + self.admit_s + self.append_s


class Leader:
    """A leader with a plan, the members, and what they say."""

    def __init__(self, workers: int, each: int, *, guarantee: str) -> None:
        """Give everything to somebody, and let it run."""
        self.now = 100.0
        self.members = {name: _member(name) for name in (f"w{number:04}" for number in range(workers))}
        self.statuses: dict[InstanceId, InstanceStatus] = {}
        self.log = Log(Saved(voter=1))
        self.guard = MoveGuard(self.log, self._has_ended, counters=Counter())
        self.guard.take_office(self.now)
        self.recovery = Recovery(Patience(accept_s=10.0, absence_s=60.0), authority=AUTHORITY)
        total, width = workers * each, 1_000
        self._commit([AUTHORITY])
        for number in range(0, total, width):
            self._commit([SubmitJob(job=_job(f"job-{number}", width, guarantee))])
        while changes := self.recovery.decide(self._situation()):
            self._commit(changes)
        for held in self.log.plan.assignments.values():
            self.statuses[held.instance] = _running(held)
        assert self.recovery.decide(self._situation()) == []

    def lose(self, share: float, *, guarantee: str) -> Costs:
        """Let so many workers die at once, and measure what the leader does about it."""
        lost = sorted(self.members)[: int(share * len(self.members))]
        runs = [self.members[name].run for name in lost]
        for state in (MemberState.SUSPECT, MemberState.DEAD):
            for name in lost:
                accusers = tuple(sorted(self.members)[-2:])
                gone = attrs.evolve(self.members[name], state=state, since=self.now, accusers=accusers)
                self.members[name] = gone
            if state is MemberState.SUSPECT and guarantee == AT_MOST_ONE:
                self._commit([Hold(run=run, reason="suspected", evidence=()) for run in runs])
                self.now += wait_s(AUTHORITY.isolation_ms, AUTHORITY.drift_ppm)
        before = {instance: held.epoch for instance, held in self.log.plan.assignments.items()}
        marks = [time.process_time()]
        decided = self.recovery.decide(self._situation())
        marks.append(time.process_time())
        admitted = self.guard.admit(decided, self.now)
        marks.append(time.process_time())
        assert len(admitted) == len(decided)
        self._commit(admitted)
        marks.append(time.process_time())
        moved = sum(held.epoch != before[instance] for instance, held in self.log.plan.assignments.items())
        return Costs(marks[1] - marks[0], marks[2] - marks[1], marks[3] - marks[2], moved)

    def review(self) -> float:
        """Return what a review costs in which nothing is to be done."""
        began_at = time.process_time()
        self.recovery.decide(self._situation())
        return time.process_time() - began_at

    def _situation(self) -> Situation:
        return Situation(
            plan=self.log.plan,
            members=self.members,
            statuses=self.statuses,
            stopped_at=self.guard.stopped_at,
            now=self.now,
        )

    def _has_ended(self, held: Assignment) -> bool:
        return self._situation().has_ended(held)

    def _commit(self, changes: list[Change]) -> None:
        first = self.log.last_index + 1
        entries = [Entry(index=first + position, term=1, change=change) for position, change in enumerate(changes)]
        self.log.append(entries)
        for entry in entries:
            encode_entry(entry)
        self.log.commit_to(self.log.last_index)
        self.guard.note_commit(self.now)


def _member(name: str) -> Member:
    profile = Profile(address=Address(name, 1), site=f"site-{name[-1]}", kinds=("map",), capacity=64, speaks=SPEAKS)
    return Member(run=Run(name, 1), incarnation=0, state=MemberState.ALIVE, profile=profile, since=0.0)


def _job(name: str, width: int, guarantee: str) -> JobSpec:
    operators = tuple(
        OperatorSpec(name=f"op-{number}", kind="map", parallelism=width // OPERATORS, instances=guarantee)
        for number in range(OPERATORS)
    )
    return JobSpec(name=name, operators=operators)


def _running(held: Assignment) -> InstanceStatus:
    return InstanceStatus(
        instance=held.instance, epoch=held.epoch, run=held.run, seq=1, state=InstanceState.RUNNING, since_ms=0
    )


def main() -> None:
    """Print what each part costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--each", type=int, default=20, help="instances on each worker")
    parser.add_argument("--share", type=float, default=0.1, help="of the workers die")
    options = parser.parse_args()
    for guarantee in (AT_LEAST_ONE, AT_MOST_ONE):
        leader = Leader(options.workers, options.each, guarantee=guarantee)
        idle_s = leader.review()
        costs = leader.lose(options.share, guarantee=guarantee)
        sys.stdout.write(
            f"{guarantee}: {costs.moved} of {options.workers * options.each} instances moved in {costs.total_s:.3f} s "
            f"of CPU (review {costs.review_s:.3f}, guard {costs.admit_s:.3f}, log and plan {costs.append_s:.3f}); "
            f"a review without anything to do: {idle_s:.3f} s\n"
        )


if __name__ == "__main__":
    main()
