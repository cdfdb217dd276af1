"""What a leader does for its council: teach who shall have a seat, then change the council, one step at a time.

A worker that shall have a seat is brought up to date first, without a vote (Ongaro's thesis §4.2.1): otherwise the
first commit after its admission would have to wait until it has the whole plan. One that does not come up to date
in time is put off, and another is tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.council.seating import SeatingView, next_step, review_at

if TYPE_CHECKING:
    from swimstream.config import Timing
    from swimstream.core.council.seating import Step
    from swimstream.core.rooms import Rooms
    from swimstream.model.changes import Seat

FOREVER = float("inf")
LEARN_ELECTIONS = 20
"""So many shortest election time-outs a learner has to come up to date."""
PUT_OFF_ELECTIONS = 200
"""For so long another is tried instead; LAN: 5 min."""


class Stewardship:
    """The care of one leadership for its council. Remembers whom it teaches and whom it has put off, no more."""

    def __init__(self, rooms: Rooms, timing: Timing, *, now: float) -> None:
        """Begin without a learner, as a new leader does."""
        self._rooms = rooms
        self._election_s = timing.election_timeout_s_min
        self._heartbeat_s = timing.heartbeat_interval_s
        self._led_since = now
        self._learner: Seat | None = None
        self._learn_until = FOREVER
        self._put_off: dict[Seat, float] = {}
        """Who is not tried, and until when; at most one for each learner that was given up within that time."""
        self._review_at = now

    def review_at(self) -> float:
        """Return when `decide` could come to another result though nothing has changed."""
        return self._review_at

    def decide(self, now: float) -> bool:
        """Take the next step if it may be taken; return whether a change has entered the log."""
        council = self._rooms.council
        self._put_off = {seat: until for seat, until in self._put_off.items() if until > now}
        view = SeatingView(
            plan=council.plan,
            members=self._rooms.members_by_name(),
            own=council.seat,
            led_since=self._led_since,
            election_s=self._election_s,
            put_off=frozenset(self._put_off),
            now=now,
        )
        step = next_step(view)
        self._review_at = min([review_at(view), *self._put_off.values()])
        self._teach(step.seat if step is not None and step.is_new else None, now)
        if step is None or not self._is_ready(step, now):
            return False
        before = council.log.last_index
        council.propose([step.change(council.plan.council)], now)
        return council.log.last_index > before  # what is left out must not keep everything else from being decided

    def _teach(self, learner: Seat | None, now: float) -> None:
        if learner != self._learner:
            self._learner, self._learn_until = learner, now + LEARN_ELECTIONS * self._election_s
            self._rooms.council.teach(learner)

    def _is_ready(self, step: Step, now: float) -> bool:
        """Return whether a step can be taken now: who comes in must be up to date."""
        if not step.is_new or self._rooms.council.is_level(step.seat, now):
            return True
        self._review_at = min(self._review_at, now + self._heartbeat_s)
        if now >= self._learn_until:
            self._rooms.counters["learners_given_up"] += 1
            self._put_off[step.seat] = now + PUT_OFF_ELECTIONS * self._election_s
        return False
