"""What a leader waits for: since when, until when, and for the sake of which instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from swimstream.model.identity import InstanceId

FOREVER = float("inf")
MAY_STILL_ACT = "its former run may still hold authority"
ENDED_MAX = 20_000
"""Of so many instances a leader remembers how they have ended; the one that it has known longest is forgotten."""


@attrs.frozen
class Wait:
    """Why an instance is left alone, and until when; infinity: until something else happens."""

    until: float
    why: str


@attrs.frozen(kw_only=True)
class End:
    """That a copy has ended by itself, when this leader came to know of it, and why."""

    epoch: int
    at: float
    cause: str


class Waits:
    """Since when one leader has seen what without a break, and when to look again. A new leader begins anew."""

    def __init__(self) -> None:
        """Begin with no memory."""
        self._now = float("-inf")
        self._known: dict[str, float] = {}
        self._renewed: dict[str, float] = {}
        self.next_check_at = FOREVER
        """The earliest moment at which a question of this review would be answered otherwise."""
        self.of_instances: dict[InstanceId, Wait] = {}
        """The instances that this review leaves alone."""
        self.began_at = FOREVER
        """When this leader has looked for the first time: what was before counts as if it was then."""
        self._ends: dict[tuple[str, InstanceId], tuple[End, ...]] = {}

    def begin_review(self, now: float) -> None:
        """Begin to ask anew. What was not asked for in the review before has had its break."""
        self._now = now
        self.began_at = min(self.began_at, now)
        self._known, self._renewed = self._renewed, {}
        self.next_check_at = FOREVER
        self.of_instances = {}

    def since(self, what: str) -> float:
        """Return since when `what` has been so in every review."""
        return self._renewed.setdefault(what, self._known.get(what, self._now))

    def known_since(self, what: str) -> float | None:
        """Return since when `what` was so up to now, None if it was not so in the review before."""
        since = self._known.get(what)
        if since is not None:
            self._renewed[what] = since
        return since

    def note_end(
        self, instance: InstanceId, end: End, *, within_s: float, kept: int, why: str, before: int | None = None
    ) -> tuple[End, ...]:
        """Take note of an end, once, and return those of the last `within_s`, the newest `kept` of them.

        Ends of one instance are counted apart by `why`. Of the first, `before` others are taken to have been when this
        leader began. None at all: those that it remembers are forgiven as well, but for that of this very copy.
        """
        key = (why, instance)
        earlier = End(epoch=0, at=self.began_at, cause="")
        ends = self._ends.pop(key, (earlier,) * min(before or 0, kept))
        if before == 0:
            ends = tuple(each for each in ends if each.epoch == end.epoch)
        if not any(each.epoch == end.epoch for each in ends):
            ends = (*ends, end)
        ends = tuple(each for each in ends if each is ends[-1] or each.at > self._now - within_s)[-kept:]
        self._ends[key] = ends
        if len(self._ends) > ENDED_MAX:
            del self._ends[next(iter(self._ends))]
        return ends

    def is_past(self, at: float) -> bool:
        """Return whether `at` has come; if not, have another look then."""
        if at <= self._now:
            return True
        self.next_check_at = min(self.next_check_at, at)
        return False

    def has_waited(self, what: str, patience_s: float) -> bool:
        """Return whether `what` has been so for `patience_s`."""
        return self.is_past(self.since(what) + patience_s)

    def leave_alone(self, instance: InstanceId, until: float, why: str) -> bool:
        """Return whether `until` has not come yet, and note that `instance` waits for it."""
        if self.is_past(until):
            return False
        self.of_instances[instance] = Wait(until, why)
        return True
