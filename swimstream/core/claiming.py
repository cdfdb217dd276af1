"""What a worker that was given up says of the copies that it still had: the claims that a leader judges.

Its copies are stopped like any others that are not its own any more; what counts of one is how far it had come when it
told its newest checkpoint, since only from there anybody could go on with it. The leader is asked to commit that, like
a command, until the plan has it or the conflict is over; a leader that has taken over is asked again. Once for each
conflict, and only for operators that want it (`OperatorSpec.on_conflict`); `recovery/conflicts.py` decides about it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from swimstream.core.leader_requests import Done, Kind, Request
from swimstream.model.changes import ClaimProgress
from swimstream.model.member import CAPACITY_MAX
from swimstream.wire.council_messages import ChangeRequest

if TYPE_CHECKING:
    from swimstream.core.leader_requests import Verdict
    from swimstream.core.rooms import Rooms
    from swimstream.model.directives import Conflict
    from swimstream.model.identity import InstanceId

CLAIM = Kind(subject="claim", plural="claims", waiting_max=CAPACITY_MAX, is_told=False)
FIRST_REQUEST = 2**62
"""Above the numbers that the driver gives to what it asks."""


class Claiming:
    """The claims of one node."""

    def __init__(self, rooms: Rooms) -> None:
        """Begin without any."""
        self._rooms = rooms
        self._seen_plan = rooms.council.plan
        self._open: dict[InstanceId, Conflict] = {}
        """The conflicts of the plan about copies that are still here, and were not spoken for."""
        self._made: dict[InstanceId, int] = {}
        """The epochs of the copies that were spoken for, while the plan has their conflicts."""
        self._next_request = FIRST_REQUEST

    def settle(self, now: float) -> None:
        """Speak for every copy that has ended and that a conflict is about."""
        if self._rooms.council.plan is not self._seen_plan:
            self._seen_plan = self._rooms.council.plan
            self._look_for_conflicts()
        for instance, about in list(self._open.items()):
            left = self._rooms.local.left_by(instance, about.run, about.epoch)
            if left is not None:
                del self._open[instance]
                self._made[instance] = about.epoch
                run, (progress, checkpoint) = self._rooms.membership.run, left
                self._ask(
                    ClaimProgress(
                        instance=instance, epoch=about.epoch, run=run, progress=progress, checkpoint=checkpoint
                    ),
                    now,
                )

    def _look_for_conflicts(self) -> None:
        conflicts = self._seen_plan.directives.conflicts
        self._made = {each: epoch for each, epoch in self._made.items() if self._is_open(each, epoch)}
        self._open = {
            each: conflicts[each]
            for each in sorted(conflicts)
            if conflicts[each].claim is None
            and each not in self._made
            and self._rooms.local.holds(each, conflicts[each].run, conflicts[each].epoch)
        }

    def _ask(self, change: ClaimProgress, now: float) -> None:
        request = self._next_request
        self._next_request += 1
        self._rooms.requests.add(
            Request(
                kind=CLAIM,
                message=ChangeRequest(request=request, change=change),
                look=partial(self._look, change.instance, change.epoch),
                accept=partial(self._rooms.changes.accept_own, request, change),
            ),
            now,
        )

    def _look(self, instance: InstanceId, epoch: int) -> Verdict:
        return None if self._is_open(instance, epoch) else Done(self._rooms.council.plan.index)

    def _is_open(self, instance: InstanceId, epoch: int) -> bool:
        """Return whether the plan still has that conflict, and nobody has spoken for the copy of that epoch."""
        about = self._rooms.council.plan.directives.conflicts.get(instance)
        return about is not None and about.epoch == epoch and about.claim is None
