"""How a worker leaves: its at-most-one instances end and that is told, another leads, it says goodbye, it stops.

In this order, since a goodbye alone is no proof that an instance has ended (rule 11 of authority). Who waits for the
end of one waits no longer than its fence lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.effects import Answer

if TYPE_CHECKING:
    from swimstream.config import Timing
    from swimstream.core.hosting import Hosting
    from swimstream.core.rooms import Rooms

FOREVER = float("inf")
GOODBYE_INTERVALS = 4
"""A worker that has said goodbye stays for so many gossip intervals, so that enough members are told."""


class Leaving:
    """The departure of one node; there is at most one."""

    def __init__(self, rooms: Rooms, hosting: Hosting, timing: Timing) -> None:
        """Begin with no wish to leave."""
        self._rooms = rooms
        self._hosting = hosting
        self._timing = timing
        self._requests: list[int] = []
        self._stop_at = FOREVER
        self._hand_over_until = FOREVER
        """Until when a leader that leaves waits for another to lead, at most."""

    def begin(self, request: int, now: float) -> None:
        """Leave; `settle` must be called after it. Asked again, it is all one departure."""
        self._requests.append(request)
        if len(self._requests) > 1:
            return
        self._hosting.begin_leaving(now)
        self._hand_over_until = now + self._timing.election_timeout_s_min
        self._rooms.council.hand_over(now)

    def settle(self, now: float) -> bool:
        """Say goodbye once no at-most-one instance runs here, as reported or as fenced; return whether it was said.

        And once another leads in this node's place, which gets a moment for that.
        """
        rooms = self._rooms
        if not self._requests or rooms.membership.is_leaving or self._hosting.ended_at() > now:
            return False
        if rooms.council.transfer is not None and now < self._hand_over_until:
            return False
        listeners = [member for member in rooms.membership.table.live() if member.run != rooms.membership.run]
        rooms.council.step_down(now)
        rooms.membership.say_goodbye(now)
        for member in listeners:
            rooms.outbox.gossip(member.profile.address)
        self._stop_at = now + GOODBYE_INTERVALS * self._timing.gossip_interval_s if listeners else now
        return True

    def is_over(self, now: float) -> bool:
        """Return whether enough members were told by now."""
        return self._stop_at <= now

    def next_deadline(self) -> float:
        """Return when to settle next, or to stop."""
        if not self._requests or self._rooms.membership.is_leaving:
            return self._stop_at
        waits_at = self._hand_over_until if self._rooms.council.transfer is not None else float("-inf")
        return max(self._hosting.ended_at(), waits_at)

    def answer(self) -> None:
        """Tell whoever asked for it that this worker has left."""
        for request in self._requests:
            self._rooms.outbox.put(Answer(request, ""))
        self._requests.clear()
