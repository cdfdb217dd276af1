"""What a leader waits for: since when, until when, and for the sake of which instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from swimstream.model.identity import InstanceId

FOREVER = float("inf")


@attrs.frozen
class Wait:
    """Why an instance is left alone, and until when; infinity: until something else happens."""

    until: float
    why: str


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

    def begin_review(self, now: float) -> None:
        """Begin to ask anew. What was not asked for in the review before has had its break."""
        self._now = now
        self._known, self._renewed = self._renewed, {}
        self.next_check_at = FOREVER
        self.of_instances = {}

    def since(self, what: str) -> float:
        """Return since when `what` has been so in every review."""
        return self._renewed.setdefault(what, self._known.get(what, self._now))

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
