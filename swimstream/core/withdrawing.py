"""How a worker that is about to leave becomes empty first: another leads, then others take over what it runs.

It asks the leader for the mode `leaving`, for this run alone (a leader in that mode has another lead), and looks at the
plan and its own copies until nothing is left here. It waits for nobody who is not there: when no other worker lives,
when the council has lost its majority, or when nobody could take over what is left, it is done at once; and in any case
after the time that it was given. What is left then ends with the worker, as if it had not asked.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from swimstream.core.leader_requests import Done, Kind, Request
from swimstream.core.recovery.placement import Places
from swimstream.model.changes import LEAVING, SetWorkerMode
from swimstream.model.job import PINNED
from swimstream.model.member import SPEAKS_DIRECTIVES, MemberState, too_old
from swimstream.wire.council_messages import ChangeRequest

if TYPE_CHECKING:
    from swimstream.core.leader_requests import Verdict
    from swimstream.core.rooms import Rooms
    from swimstream.model.identity import InstanceId

WITHDRAWAL = Kind(subject="leave", plural="departures", waiting_max=8)
REASON = "it leaves"


class Withdrawal:
    """The wish of one node to be empty."""

    def __init__(self, rooms: Rooms) -> None:
        """Begin without it."""
        self._rooms = rooms
        self._seen = (-1, -1)
        self._is_stuck = False
        """Whether nobody could take over what was left at `_seen`: versions of the plan and of the members."""

    def begin(self, request: int, *, within_s: float, now: float) -> None:
        """Ask; `request` is answered when nothing is left here that others could take over, or after `within_s`."""
        rooms = self._rooms
        run = rooms.membership.run
        change = SetWorkerMode(name=run.name, mode=LEAVING, level=0, boot=run.boot, reason=REASON, asked_by=run.name)
        rooms.requests.add(
            Request(
                kind=WITHDRAWAL,
                message=ChangeRequest(request=request, change=change),
                look=self._look,
                accept=partial(rooms.changes.accept_own, request, change),
                deadline=now + within_s,
                is_looked_for=True,
            ),
            now,
        )

    def _look(self) -> Verdict:
        return Done(self._rooms.council.plan.index) if self._is_done() else None

    def _is_done(self) -> bool:
        rooms = self._rooms
        run, plan = rooms.membership.run, rooms.council.plan
        left = sorted(which for which, held in plan.assignments.items() if held.run == run and plan.is_wanted(which))
        if not left and not rooms.local.hands_over:
            return True
        live = list(rooms.membership.table.live())
        if all(member.run == run for member in live) or too_old(live, level=SPEAKS_DIRECTIVES):
            return True
        voters = {(member.run.name, member.profile.voter) for member in live}
        if 2 * sum((seat.name, seat.voter) in voters for seat in plan.council) <= len(plan.council):
            return True  # nobody can decide about it
        return not rooms.local.hands_over and self._find_stuck(left)

    def _find_stuck(self, left: list[InstanceId]) -> bool:
        """Return whether nobody else could take any of what is left; looked at anew when plan or members change."""
        rooms = self._rooms
        table, plan = rooms.membership.table, rooms.council.plan
        seen = (plan.index, table.version)
        if seen != self._seen:
            self._seen = seen
            others = [member for member in table.live() if member.run != rooms.membership.run]
            tags = rooms.conversation.tagging.table.all()
            places = Places(plan, others, tags=tags)
            is_suspected = any(member.state is MemberState.SUSPECT for member in others)
            self._is_stuck = not is_suspected and all(
                plan.guarantee_of(which) == PINNED or places.choose(which).run is None for which in left
            )
        return self._is_stuck
