"""Beacons: how the proof of a quorum is written, read and matched with the question that it answers.

A leader that had a majority at `issued` says so to whoever asks, and they pass it on to whoever asks them. No clocks
are compared and no transit time is guessed: a beacon carries its *age*, and whoever reads it counts back from the
moment at which it sent the very question. The answer was written after that moment, so `asked_at - age` is never
later than the truth, whatever the network did to question and answer; by induction this holds along any chain.

Refused: counting from the receipt (every delay would lengthen the proof), and telling a beacon unasked (then nothing
bounds when it was written).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from swimstream.wire.council_messages import Beacon

if TYPE_CHECKING:
    from random import Random

ROUNDING_MS = 1
"""Added to every age, which is rounded up already: more than all that floats lose in a chain of sums."""
NUMBER_BITS = 62


@attrs.frozen(kw_only=True)
class Proof:
    """What this worker knows: a leader of `term` had a majority at `issued`, or later."""

    term: int
    index: int
    """The leader's commit index when it made the beacon."""
    issued: float
    """On this worker's own clock; never later than the sending of the heartbeats that the majority acked."""

    def written_at(self, now: float) -> Beacon:
        """Return what an answer says. `now` was read after the question came, and the age is of now.

        Rule 5: never keep what this returns in order to send it again.
        """
        age_ms = math.ceil(max(0.0, now - self.issued) * 1_000) + ROUNDING_MS
        return Beacon(term=self.term, index=self.index, age_ms=age_ms)


def proof_in(beacon: Beacon, *, asked_at: float) -> Proof:
    """Return what an answer proves to who sent the very question that it answers at `asked_at`.

    Rule 4: `issued := p - age`, with p the sending of that question; not of another one, and never the receipt.
    """
    return Proof(term=beacon.term, index=beacon.index, issued=asked_at - beacon.age_ms / 1_000)


class Questions:
    """When this worker has sent which question. The newest `kept` are remembered.

    Rule 4: a number is never used twice. The first one is drawn anew in every process, so that a late answer to a
    former process of this worker matches nothing.
    """

    def __init__(self, rng: Random, *, kept: int) -> None:
        """Begin with no question; the first number is drawn when the first question is asked."""
        self._rng = rng
        self._kept = kept
        self._asked_at: dict[int, float] = {}
        self._newest = 0

    def ask(self, now: float) -> int:
        """Return the number, above 0, of a question that is sent now; forget the oldest when there are too many."""
        self._newest = self._newest + 1 if self._newest else self._rng.getrandbits(NUMBER_BITS) + 1
        self._asked_at[self._newest] = now
        if len(self._asked_at) > self._kept:
            del self._asked_at[next(iter(self._asked_at))]
        return self._newest

    def asked_at(self, number: int) -> float | None:
        """Return when the question of that number was sent, None if it never was or is forgotten."""
        return self._asked_at.get(number)
