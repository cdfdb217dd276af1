"""How far a node should doubt itself before it doubts others.

Lifeguard §IV-A (LHA-Probe): a node that gets no answers, not even the nacks that its relays owe it, is
probably slow itself. It counts, and stretches its own probe interval and time-out by 1 + score. It doubts
itself for unanswered relays, for having had to refute and for timers that fired late; a good round takes one away.

Refused: counting the failed round itself as well, as the paper does. It slows a healthy node exactly when it
has found a real death.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Health:
    """The local health score: 0 is healthy, `score_max` is the worst."""

    score_max: int
    score: int = 0

    @property
    def stretch(self) -> int:
        """Return the factor on the probe interval and time-out, 1 to 1 + `score_max`."""
        return 1 + self.score

    def after_success(self) -> Health:
        """Return the score after a probe round in which the target answered."""
        return self._moved(-1)

    def after_failure(self, *, nacks_expected: int, nacks_received: int) -> Health:
        """Return the score after a round without an ack; each relay that stayed silent counts."""
        return self._moved(nacks_expected - nacks_received if nacks_expected else 1)

    def after_refutation(self) -> Health:
        """Return the score after somebody had reason to suspect this node."""
        return self._moved(1)

    def after_lateness(self) -> Health:
        """Return the score after this node's own timer fired so late that it could not have judged in time."""
        return self._moved(1)

    def _moved(self, by: int) -> Health:
        return attrs.evolve(self, score=max(0, min(self.score_max, self.score + by)))
