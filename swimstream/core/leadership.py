"""What a node decides while it leads, and who leads as far as it knows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from swimstream.core.effects import Notify
from swimstream.core.recovery.draining import EMPTYING
from swimstream.core.recovery.recovery import Recovery
from swimstream.core.recovery.situation import Patience, Situation
from swimstream.core.stewardship import Stewardship
from swimstream.events import LeaderChanged
from swimstream.model.changes import SetAuthority

if TYPE_CHECKING:
    from swimstream.config import Timing
    from swimstream.core.rooms import Rooms

FOREVER = float("inf")
NO_REST = float("-inf")
REST_S_PER_INSTANCE = 25e-6
"""A review of a large plan takes some 10 to 15 us an instance: in a storm of statuses a leader reviews once for many,
and has most of its time for what else a leader does. 20,000 instances: about 0.5 s between two reviews."""
UNRESTED_INSTANCES = 1_000
"""A plan of so many is reviewed whenever something has changed."""


class Leadership:
    """The decisions of one node: none while it does not lead, and a new book of them for each time it does."""

    def __init__(self, rooms: Rooms, timing: Timing) -> None:
        """Begin without leading."""
        self._rooms = rooms
        self._timing = timing
        self._recovery: Recovery | None = None
        self._stewardship: Stewardship | None = None
        self._seen = ("", 0)
        self._has_offered = False
        self._rest_until = NO_REST
        """Until then what comes in is only gathered."""

    def settle(self, now: float) -> None:
        """Tell who leads if that has changed; begin or end to decide."""
        council = self._rooms.council
        if (council.mark.leader, council.mark.term) != self._seen:
            self._seen = (council.mark.leader, council.mark.term)
            self._rooms.outbox.put(Notify(LeaderChanged(*self._seen)))
        if council.is_leader and self._recovery is None:
            self._recovery = Recovery(self._patience(), authority=self._authority())
            self._stewardship = Stewardship(self._rooms, self._timing, now=now)
            self._rooms.must_decide = True
        elif not council.is_leader:
            self._recovery = self._stewardship = None
            self._has_offered = False
        else:
            self._offer_leadership(now)

    def decide(self, now: float) -> bool:
        """As leader, with nothing left to commit, propose what recovery finds; return whether it found anything."""
        rooms = self._rooms
        if self._recovery is None or not rooms.must_decide or now < self._rest_until:
            return False
        self._rest_until = NO_REST
        if not rooms.council.is_settled:
            return False
        rooms.must_decide = False
        if self._stewardship is not None and self._stewardship.decide(now):
            return True  # the rest waits until this is committed, and is looked at again then
        situation = Situation(
            plan=rooms.council.plan,
            members=rooms.members_by_name(),
            statuses=rooms.statuses.by_instance(),
            stopped_at=rooms.council.guard.stopped_at,
            now=now,
            tags=rooms.conversation.tagging.table.all(),
            coordinates=rooms.detector.coordinates.by_name(rooms.membership.run.name),
        )
        changes = self._recovery.decide(situation)
        rest_s = REST_S_PER_INSTANCE * max(0, len(rooms.council.plan.assignments) - UNRESTED_INSTANCES)
        self._rest_until = now + rest_s if rest_s else NO_REST
        if not changes:
            return False
        last_index = rooms.council.log.last_index
        rooms.council.propose(changes, now)
        rooms.must_decide = rooms.council.log.last_index == last_index  # all left out: decided again at the next input
        return not rooms.must_decide

    def _offer_leadership(self, now: float) -> None:
        """Have another lead, once, when this worker is to be emptied: what it decides is not to end with it."""
        council, membership = self._rooms.council, self._rooms.membership
        directives = council.plan.directives
        if self._has_offered or directives.mode_of_run(membership.run) not in EMPTYING:
            return
        live = {member.run.name for member in membership.table.live() if member.run != membership.run}
        staying = [seat.name for seat in council.plan.council if directives.mode_of(seat.name) not in EMPTYING]
        self._has_offered = any(council.hand_over(now, to=name) for name in sorted(staying) if name in live)

    def review_at(self) -> float:
        """Return when a leader must look again though nothing has changed; what it must look at anyway waits."""
        if self._recovery is None:
            return FOREVER
        if self._rooms.must_decide:
            return self._rest_until if self._rest_until > NO_REST else FOREVER
        care_at = self._stewardship.review_at() if self._stewardship is not None else FOREVER
        return min(self._recovery.next_deadline(), care_at)

    def end(self, now: float) -> None:
        """Lead no more."""
        self._rooms.council.step_down(now)
        self._recovery = self._stewardship = None

    def _patience(self) -> Patience:
        timing = self._timing
        longest_s = timing.suspicion_mult * timing.suspicion_max_mult * timing.probe_interval_s
        return Patience(
            accept_s=timing.accept_timeout_s,
            absence_s=2 * longest_s + timing.sync_interval_s,
            doubt_s=timing.probe_interval_s,
            suspicion_s=timing.suspicion_mult * timing.probe_interval_s,
        )

    def _authority(self) -> SetAuthority:
        """Return this leader's own values; they matter only until the plan has any."""
        timing = self._timing
        return SetAuthority(
            isolation_ms=math.ceil(timing.isolation_timeout_s * 1_000), drift_ppm=math.ceil(timing.clock_drift * 1e6)
        )
