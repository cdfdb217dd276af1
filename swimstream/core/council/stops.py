"""Since when a leader knows that the entries which stop a run are committed, and how long it must wait from then on.

A held, revoked or evicted run may act until its authority runs out. Proofs that a quorum stands (beacons) carry the
index up to which their leader had committed; one from before the stop entry, at index k, does not tell the run of it.
All such proofs were issued before the leader of today knew k committed:

- its own: it issues proofs with an index below k only before it commits k;
- those of later leaders show k: they have k in their log, and issue nothing before they have committed all of it;
- those of older leaders were acked by a voter that had not yet voted for this one: they are older than its *election*.

So the wait may begin when this leader advances its commit index over k (`commit_reached`), and, for what was in its
log when it was elected, at its election: after the election it proves nothing before its own first entry, and with it
everything before that, is committed. Never earlier: what an older leader wrote down about its own time counts nothing.

Refused: the time of the append (the entry may commit much later), and any time stamp within an entry.
"""

from __future__ import annotations

import attrs

MARKS_MAX = 256


def wait_s(isolation_ms: int, drift_ppm: int) -> float:
    """Return how long after its stop entry is known to be committed a run may still act, on the leader's clock.

    Rule 8: `L * (1 + rho) / (1 - rho)`. The run's clock may be slow, so that its L lasts up to `L / (1 - rho)` of true
    time; the leader's may be fast, so that it must count `(1 + rho)` times that.
    """
    assert 0 <= drift_ppm < 1_000_000
    rho = drift_ppm / 1_000_000
    return isolation_ms / 1_000 * (1 + rho) / (1 - rho)


@attrs.define(kw_only=True)
class Mark:
    """All entries up to `index` that no earlier mark covers count as committed from `at` on."""

    index: int
    at: float
    opened_at: float


class StopLedger:
    """The book of one leadership. At most `MARKS_MAX` + 2 marks: commits that are near each other share one.

    Whatever is joined or dropped counts as known *later* than it was, never earlier.
    """

    def __init__(self, *, elected_at: float, last_index: int) -> None:
        """Begin at an election. Rule 9: the entries up to `last_index`, which the log holds, count from then on."""
        self._marks = [Mark(index=last_index, at=elected_at, opened_at=float("-inf"))]

    def commit_reached(self, index: int, now: float, *, kept_s: float) -> None:
        """Note that the leader has advanced its commit over `index`.

        Rule 9: entries that are younger than the election count from now on. Nobody asks about more than `kept_s`.
        """
        newest = self._marks[-1]
        if index <= newest.index:
            return
        if now < newest.opened_at + kept_s / MARKS_MAX:
            newest.index, newest.at = index, now
        else:
            self._marks.append(Mark(index=index, at=now, opened_at=now))
        while len(self._marks) > 1 and self._marks[1].at + kept_s <= now:
            del self._marks[0]  # what it covered counts from the next one on, which is long enough ago as well

    def known_since(self, index: int) -> float:
        """Return since when the leader knows that `index` is committed; infinity if it was never told so.

        For an entry that was in the log at the election this is the election even while it is not committed: ask only
        for entries that are.
        """
        return next((mark.at for mark in self._marks if index <= mark.index), float("inf"))

    def __len__(self) -> int:
        """Return how many marks are kept."""
        return len(self._marks)
