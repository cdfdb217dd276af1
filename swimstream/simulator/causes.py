"""What one process can know of others: the newest moment of each from which any message has reached it.

Whatever a node believes of a quorum rests on messages. So the all-seeing judge lets a stamp travel with each of them,
relayed ones too (Mattern 1989: vector time, here with the world's clock), and knows the latest moment of which a proof
can speak: a leader can have proof of a quorum at s only if a majority of its council has done something at or after s
of which it can know. That is a little generous (the voter's answer, not the leader's question), never too strict.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from swimstream.model.changes import Seat

NEVER = float("-inf")


@attrs.frozen
class Stamp:
    """What a sender could know."""

    heard: Mapping[Seat, float]
    proof_at: float


class Stamped(bytes):
    """A payload with a stamp that only the judge reads. What is damaged on the way loses it."""

    stamp: Stamp


class Causes:
    """What one process can know. Times are the world's."""

    def __init__(self, seat: Seat) -> None:
        """Know nothing yet but oneself."""
        self.proof_at = NEVER
        """The latest moment at which it can have proof that a leader had a majority."""
        self._seat = seat
        self._heard: dict[Seat, float] = {}

    def stamp(self, payload: bytes, *, now: float) -> Stamped:
        """Return `payload` with what this process can know at `now`."""
        stamped = Stamped(payload)
        stamped.stamp = Stamp({**self._heard, self._seat: now}, self.proof_at)
        return stamped

    def learn(self, payload: bytes) -> None:
        """Know what the sender of `payload` could know when it sent it."""
        if not isinstance(payload, Stamped):
            return
        self.proof_at = max(self.proof_at, payload.stamp.proof_at)
        for seat, at in payload.stamp.heard.items():
            if at > self._heard.get(seat, NEVER):
                self._heard[seat] = at

    def lead(self, council: tuple[Seat, ...], *, now: float) -> None:
        """Prove what a leader can prove with this council."""
        if council:
            self._heard[self._seat] = now
            heard = sorted((self._heard.get(seat, NEVER) for seat in council), reverse=True)
            self.proof_at = max(self.proof_at, heard[len(council) // 2])
