"""Poison: an operator that takes its worker down with it, again and again, on one worker after the other.

Who was running on a worker that crashed shares the blame for it; who was to blame too often is put into quarantine.
What was only assigned or STARTING is not blamed, and a partition, a drain or an eviction by itself blames nobody. How
much a crash proves depends on who has seen it:

- **Its peer survived it** (`isolation="process"`) and says how the process ended: an exit or a signal of its own doing
  is a crash. Each of the k that ran there gets 1/k. Two crashes and the blame for a whole one convict, or three. After
  a SIGKILL, SIGTERM and the like nobody is blamed: that is done by somebody's hand.
- **A later run of the name came without a goodbye**: the process has ended, but a kill or a power cut looks the same.
  Chance hits the worker of one and the same instance s times in a row with about `w^-s` among w workers; so a streak
  convicts once that is below `CHANCE`: among 20 workers 4, among 6 it is 6, among 3 it is 9. A worker that ends without
  the instance halves the streak. (Refused: three deaths whatever the evidence, as Dask has it. Whoever kills workers at
  random convicts every innocent in the end.)
- Of one worker at most two crashes in a row count, and one of a streak: it is the worker that is ill (dask #1433).

So that chance does not hold `suspects` together, no two of them are put on one worker while there is another place; and
nothing is held against what has run well for its `reset_after_s`.

Each run is judged once, whoever leads: that it was is in the plan (`Directives.lost`), and so is who ran on a run that
was given up, until it is known how it ended.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from swimstream.core.boots import RAISE_MS_MAX
from swimstream.model.changes import EVIDENCE_ITEMS_MAX, Blame, Pardon, Proof, Quarantine
from swimstream.model.identity import Run
from swimstream.model.member import MemberState
from swimstream.model.status import NOBODYS_FAULT, WORKER_CRASHED, ErrorClass, InstanceState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from swimstream.core.recovery.situation import Situation
    from swimstream.core.recovery.waiting import Waits
    from swimstream.model.directives import Blamed
    from swimstream.model.identity import InstanceId
    from swimstream.model.plan import Assignment, Plan
    from swimstream.model.status import InstanceStatus

CHANCE = 1e-4
RUNNING = (InstanceState.RUNNING, InstanceState.STALLED, InstanceState.FROZEN)
LATER_RUN = "a later run of its name came without a goodbye of this one"
SAME_PROCESS = "its process was cut off, and goes on as a later run"


def streak_needed(workers: int) -> float:
    """Return how many workers must end in a row with an instance on them, until that is no chance any more."""
    return math.ceil(-math.log(CHANCE) / math.log(workers)) if workers > 1 else math.inf


class Poison:
    """The judge of one leadership. Remembers who ran when it looked last, since a crash overwrites that."""

    def __init__(self) -> None:
        """Begin with no memory."""
        self._ran: dict[InstanceId, int] = {}

    def decide(
        self, situation: Situation, evicted: Iterable[Run], waits: Waits, *, is_outage: Callable[[Run], bool]
    ) -> list[Blame | Quarantine | Pardon]:
        """Return what to commit, before the evictions of the same review. `evicted`: the runs that these are of.

        `is_outage` says whether a run vanished together with many others: that was no operator's doing.
        """
        runs = _by_run(situation.plan)
        found: list[Blame | Quarantine | Pardon] = [
            *self._of_surviving_peers(situation, runs),
            *_notes(situation, [run for run in sorted(evicted) if not is_outage(run)], runs),
            *_of_later_runs(situation),
            *_convicted(situation),
            *_cleared(situation, waits),
        ]
        self._ran = {
            held.instance: held.epoch
            for held in situation.plan.assignments.values()
            if not held.finished and situation.state_of(held) in RUNNING
        }
        return found

    def _of_surviving_peers(self, situation: Situation, runs: Mapping[Run, list[Assignment]]) -> list[Blame]:
        found = []
        for run, hosted in sorted(runs.items()):
            cause = next((said for held in hosted if (said := _last_words(situation, held))), "")
            if not cause or cause.startswith(NOBODYS_FAULT) or _is_judged(situation.plan, run):
                continue
            # their last words come one by one, so who still seems to run is one of them
            guilty = [held.instance for held in hosted if self._ran_to_the_end(situation, held)]
            if guilty:
                found.append(Blame(run=run, instances=tuple(sorted(guilty)), reason=cause))
        return found

    def _ran_to_the_end(self, situation: Situation, held: Assignment) -> bool:
        if situation.state_of(held) in RUNNING:
            return True
        if not _last_words(situation, held):
            return False
        status = situation.statuses[held.instance]
        has_acted = bool(status.progress or status.checkpoint or status.endpoint)  # all that a new leader can know
        return has_acted or self._ran.get(held.instance) == held.epoch


def suspects(plan: Plan) -> frozenset[InstanceId]:
    """Return who is placed apart from one another: to blame for a crash, or for more than one end of a worker."""
    return frozenset(each for each, held in plan.directives.blame.items() if held.deaths or held.streak > 1)


def crashed_runs(statuses: Iterable[InstanceStatus]) -> frozenset[Run]:
    """Return the runs whose surviving peer has said that their worker's process is gone."""
    return frozenset(status.run for status in statuses if _last_words_in(status))


def _by_run(plan: Plan) -> dict[Run, list[Assignment]]:
    runs: dict[Run, list[Assignment]] = {}
    for held in plan.assignments.values():
        if not held.finished:
            runs.setdefault(held.run, []).append(held)
    return runs


def _last_words(situation: Situation, held: Assignment) -> str:
    """Return what a surviving peer said of the end of its worker, nothing if it said nothing of this copy."""
    status = situation.statuses.get(held.instance)
    return _last_words_in(status) if status is not None and status.is_of(held) else ""


def _last_words_in(status: InstanceStatus) -> str:
    is_told = status.state is InstanceState.FAILED and status.error is ErrorClass.INFRASTRUCTURE
    return status.cause if is_told and status.cause.startswith(WORKER_CRASHED) else ""


def _is_judged(plan: Plan, run: Run) -> bool:
    known = plan.directives.lost.get(run.name)
    return known is not None and (known.boot, not known.instances) >= (run.boot, True)


def _notes(situation: Situation, evicted: Iterable[Run], runs: Mapping[Run, list[Assignment]]) -> list[Blame]:
    """Return notes of who ran on runs that are given up."""
    found = []
    for run in evicted:
        member = situation.members.get(run.name)
        has_left = member is not None and member.run == run and member.state is MemberState.LEFT
        known = situation.plan.directives.lost.get(run.name)
        if has_left or (known is not None and known.boot >= run.boot):
            continue
        running = [held.instance for held in runs.get(run, ()) if situation.state_of(held) in RUNNING]
        if running:
            found.append(Blame(run=run, instances=tuple(sorted(running)), reason="it was given up", proof=Proof.NONE))
    return found


def _of_later_runs(situation: Situation) -> list[Blame]:
    """Return the judgements of runs that were given up, as far as their names have come back since."""
    found = []
    for name, lost in sorted(situation.plan.directives.lost.items()):
        member, run = situation.members.get(name), Run(name, lost.boot)
        if member is None or not lost.instances or not situation.plan.is_evicted(run):
            continue
        if member.run.boot > lost.boot + RAISE_MS_MAX:
            found.append(Blame(run=run, instances=lost.instances, reason=LATER_RUN, proof=Proof.ENDED))
        elif member.run.boot > lost.boot:  # an evicted run goes on so; a new process takes the calendar
            found.append(Blame(run=run, instances=(), reason=SAME_PROCESS, proof=Proof.ENDED))
        elif member.run == run and member.state is MemberState.LEFT:
            found.append(Blame(run=run, instances=(), reason="it has left after all", proof=Proof.ENDED))
    return found


def _convicted(situation: Situation) -> list[Quarantine]:
    found = []
    for instance, blamed in sorted(situation.plan.directives.blame.items()):
        held, spec = situation.plan.assignments.get(instance), situation.plan.spec_of(instance)
        if held is None or spec is None or not situation.plan.is_wanted(instance):
            continue
        places = sum(
            each.state is MemberState.ALIVE and spec.kind in each.profile.kinds for each in situation.members.values()
        )
        if blamed.is_convicted or blamed.streak >= streak_needed(places):
            found.append(
                Quarantine(
                    instance=instance, epoch=held.epoch, reason=_why_convicted(blamed), evidence=_evidence(blamed)
                )
            )
    return found


def _why_convicted(blamed: Blamed) -> str:
    if blamed.is_convicted:
        return f"{blamed.deaths} workers crashed with it, {blamed.weight_ppm / 1e6:.2f} of the blame is its own"
    return f"{blamed.streak} workers in a row ended without a goodbye with it on them"


def _evidence(blamed: Blamed) -> tuple[str, ...]:
    return tuple(f"it ran on {run} when that ended" for run in blamed.crashes[-EVIDENCE_ITEMS_MAX:])


def _cleared(situation: Situation, waits: Waits) -> list[Pardon]:
    """Return pardons of suspects that have run for long without harm."""
    found = []
    for instance in sorted(situation.plan.directives.blame):
        held, spec = situation.plan.assignments.get(instance), situation.plan.spec_of(instance)
        if held is None or spec is None or situation.state_of(held) is not InstanceState.RUNNING:
            continue
        quiet_s = spec.restart.reset_after_s
        if quiet_s and waits.has_waited(f"runs well {held.epoch} {instance}", quiet_s):
            found.append(Pardon(instance=instance, asked_by=""))
    return found
