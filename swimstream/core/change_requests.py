"""Commands: changes of the plan that a person or an application asks for, at any worker.

The leader judges each by its plan, proposes it, and tells the asker where it is committed. A command that is asked for
again, of the same leader, is not proposed again; a new leader may propose it a second time, so each must be harmless
when it is applied twice. (An update is: its job is what the plan has by then.)
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from swimstream.core.effects import Answer
from swimstream.core.leader_requests import Done, Kind, Refused, Request, RequestDesk
from swimstream.core.submissions import JOB_BYTES_MAX, kind_faults, level_faults, size_fault
from swimstream.errors import WireError
from swimstream.model.changes import (
    CancelJob,
    ClaimProgress,
    Command,
    DeclareDead,
    Pardon,
    Restart,
    SetPolicy,
    SetWorkerMode,
    UpdateJob,
)
from swimstream.model.directives import refusal_of_claim
from swimstream.model.identity import Run
from swimstream.model.member import SPEAKS_CONFLICTS, SPEAKS_DIRECTIVES, too_old
from swimstream.model.plan import PlanDraft
from swimstream.wire.codec import decode_packet_untrusted, encode_message, encode_packet
from swimstream.wire.council_messages import ChangeRequest
from swimstream.wire.messages import Header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from swimstream.core.leader_requests import Verdict
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan

ACCEPTED_MAX = 1_024
COMMAND = Kind(subject="command", plural="commands", waiting_max=256)


@attrs.define
class Accepted:
    """A command that this leader has taken; `index` once it is in the log."""

    change: Command
    index: int = 0


@attrs.define(eq=False)
class ChangeRequests(RequestDesk):
    """What this worker wants changed, and, while it leads, what others want.

    A leader remembers the last `ACCEPTED_MAX` commands, to know those that it is asked for again.
    """

    _accepted: dict[tuple[Run, int], Accepted] = attrs.field(factory=dict, init=False)
    """As leader: by who asks, and the number of the request."""

    def add(self, request: int, change: Command, now: float) -> None:
        """Ask the leader; `request` is answered once it is committed and known here, or with why it was refused."""
        message = ChangeRequest(request=request, change=change)
        # a leader drops a question that it cannot read, and then nobody answers: one of an older version does, too
        error = _level_fault(change, tuple(self._membership.table.live()))
        error = error or _wire_fault(message, self._membership.run)
        if error:
            self._outbox.put(Answer(request, error))
            return
        key = (self._membership.run, request)
        accept = partial(self._accept, key, change)
        self._requests.add(Request(kind=COMMAND, message=message, look=_nothing_to_see, accept=accept), now)

    def accept_own(self, request: int, change: Command, now: float) -> Verdict:
        """Take a command of this worker's own for the log, if it leads; return why not, or where it is."""
        return self._accept((self._membership.run, request), change, now)

    # --- the leader's side ------------------------------------------------------------------------

    def receive(self, sender: Run, asked: ChangeRequest, now: float) -> None:
        """Take another member's command as leader."""
        key = (sender, asked.request)
        self._requests.serve(sender, asked.request, partial(self._accept, key, asked.change), now)

    def settle(self, now: float) -> None:
        """As leader, propose what was accepted once nothing else waits, and tell others what is committed."""
        if not self._council.is_leader:
            self._accepted.clear()  # whoever leads now is asked for them again
            return
        waiting = [each for each in self._accepted.values() if not each.index]
        if waiting and self._council.is_settled:
            self._propose(waiting, now)
        self._requests.tell_done({key: each.index for key, each in self._accepted.items() if each.index})

    def _propose(self, waiting: list[Accepted], now: float) -> None:
        last_index = self._council.log.last_index
        self._council.propose([each.change for each in waiting], now)
        if self._council.log.last_index < last_index + len(waiting):
            self._accepted.clear()  # left out, as while the leadership is handed over: asked for again
            return
        for offset, each in enumerate(waiting, start=1):
            each.index = last_index + offset

    def _accept(self, key: tuple[Run, int], change: Command, _now: float) -> Verdict:
        """Take a command for the log, or return why not; `settle` proposes it."""
        held = self._accepted.get(key)
        if held is not None:
            return Done(held.index) if 0 < held.index <= self._council.plan.index else None
        plan = self._council.plan
        if plan.term < self._council.mark.term:
            return None  # Raft §8: a new leader knows what is committed once an entry of its own is
        under_way = [each.change for each in self._accepted.values() if not 0 < each.index <= plan.index]
        if job_of(change) and job_of(change) in map(job_of, under_way):
            return None  # judged by what that one leads to: else the plan could ignore what was granted
        if isinstance(change, UpdateJob) and is_as_asked(plan, change):
            return Done(plan.index)
        members = {member.run.name: member for member in self._membership.table}
        error = refusal(plan, change, members, under_way=under_way)
        if error:
            return Refused(error)
        if sum(not each.index for each in self._accepted.values()) >= ACCEPTED_MAX:
            self._counters["proposals_dropped"] += 1
            return None
        self._accepted[key] = Accepted(change)
        while len(self._accepted) > ACCEPTED_MAX:
            oldest = next(each for each, taken in self._accepted.items() if taken.index)
            del self._accepted[oldest]
        return None


def _nothing_to_see() -> Verdict:
    """Leave it to the leader: what a command has done may have been undone by another since."""
    return None


def is_as_asked(plan: Plan, change: UpdateJob) -> bool:
    """Return whether the plan has that very version already."""
    return plan.jobs.get(change.job.name) == change.job and change.job.name not in plan.directives.cancelled


def job_of(change: Command) -> str:
    """Return the job that a command changes the definition of, or cancels; nothing for any other."""
    match change:
        case UpdateJob(job=job):
            return job.name
        case CancelJob(job=name):
            return name
        case _:
            return ""


def refusal(plan: Plan, change: Command, members: Mapping[str, Member], *, under_way: Iterable[Command] = ()) -> str:
    """Return why a leader with this plan refuses a command, naming the field; nothing if it takes it.

    What is `under_way`, of other jobs, will take room in the plan, too.
    """
    error = _level_fault(change, tuple(members.values()))
    if error:
        return error
    match change:
        case UpdateJob(job=job):
            others = [each.job for each in under_way if isinstance(each, UpdateJob)]
            return (
                PlanDraft(plan).refusal(change)
                or kind_faults(job, members.values(), before=plan.jobs[job.name])
                or size_fault(job, plan, *others)
            )
        case CancelJob(job=name):
            return "" if name in plan.jobs else f"job: there is no {name!r}"
        case Restart(instances=instances):
            wanted = any(plan.is_wanted(each) for each in instances)  # one that has finished meanwhile stays so
            return "" if wanted else f"instance: {instances[0]} is not executed, so it cannot be restarted"
        case Pardon(instance=instance):
            return "" if plan.spec_of(instance) is not None else f"instance: no job has {instance}"
        case DeclareDead(run=run):
            return _refusal_of_death(members.get(run.name), run, plan)
        case SetWorkerMode(name=name):
            known = name in members or name in plan.directives.modes
            return "" if known else f"name: no worker of the name {name!r} is known"
        case SetPolicy():
            return ""
        case ClaimProgress(instance=instance):
            return refusal_of_claim(plan.directives.conflicts.get(instance), change)


def _refusal_of_death(member: Member | None, run: Run, plan: Plan) -> str:
    if member is not None and member.run == run and not member.state.is_gone:
        return f"name: {run} is {member.state.name.lower()} as far as the leader knows; nobody may declare it dead"
    hosts = any(held.run == run and not held.finished for held in plan.assignments.values())
    if (member is None or member.run != run) and not hosts and not plan.is_evicted(run):
        return f"name: no worker {run} is known, and nothing is assigned to it"
    return ""


def _wire_fault(message: ChangeRequest, sender: Run) -> str:
    """Return what is no sound message in it, such as an instance with an index beyond all bounds, or nothing."""
    encoded = encode_message(message)
    if len(encoded) > JOB_BYTES_MAX:
        return f"command: expected at most {JOB_BYTES_MAX} B encoded, got {len(encoded)} B"
    try:
        decode_packet_untrusted(encode_packet(Header(0, sender), [encoded]))
    except WireError as error:
        return f"command: {error}"
    return ""


def _level_fault(change: Command, members: Sequence[Member]) -> str:
    """Return who is too old to read the change, or the job that it brings; nothing if nobody is."""
    older = too_old(members, level=SPEAKS_CONFLICTS if isinstance(change, ClaimProgress) else SPEAKS_DIRECTIVES)
    if older:
        return f"command: cannot be carried out while {older[0]} of an older version is alive"
    return level_faults(change.job, members) if isinstance(change, UpdateJob) else ""
