"""How long a suspected member may stay silent before we declare it dead.

SWIM §4.2 uses one fixed time-out. Lifeguard (§IV-B, LHA-Suspicion) starts high and lowers it as independent
members confirm, so that one slow observer cannot kill a healthy peer alone. Arithmetic and a table: no clock, no
timers; see `membership.py` for the caller.

`Suspicions` holds the open ones. A node asks after every packet what is due next, and in a mass failure thousands
are open, so the earliest deadline is remembered.

Refused: counting a confirmation of a *newer* incarnation towards the old timer (memberlist does). The newer
incarnation proves that the member refuted in between, so it gets a fresh timer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from swimstream.config import Timing


@attrs.frozen(kw_only=True)
class Suspicion:
    """One open suspicion. Times are seconds on the driver's monotonic clock."""

    started_at: float
    timeout_s_min: float
    timeout_s_max: float
    confirmations_max: int
    reporters: frozenset[str] = frozenset()
    """Names of the accusers. Empty after a merge: hearsay from a sync accuses without signing."""
    told_at: float = 0.0
    """When this peer last began to tell of it."""

    @property
    def confirmations(self) -> int:
        """Return how many independent accusers there are beyond the first."""
        return max(0, min(len(self.reporters) - 1, self.confirmations_max))

    @property
    def wants_more(self) -> bool:
        """Return whether one more accuser would still bring the deadline nearer."""
        return len(self.reporters) <= self.confirmations_max

    def confirm(self, accuser: str) -> Suspicion:
        """Return the suspicion with one more accuser; the same one twice counts once."""
        return attrs.evolve(self, reporters=self.reporters | {accuser})

    def deadline(self) -> float:
        """Return when silence becomes death: an absolute time, never a duration."""
        assert 0 < self.timeout_s_min <= self.timeout_s_max
        if self.confirmations_max == 0:
            return self.started_at + self.timeout_s_min
        share = math.log1p(self.confirmations) / math.log1p(self.confirmations_max)
        span_s = self.timeout_s_max - self.timeout_s_min
        return self.started_at + self.timeout_s_max - share * span_s


def timeouts_s(*, members: int, probe_interval_s: float, mult: float, max_mult: float) -> tuple[float, float]:
    """Return the shortest and the longest suspicion, seconds, in a cluster of so many live members."""
    shortest_s = mult * max(1.0, math.log10(max(1, members))) * probe_interval_s
    return shortest_s, shortest_s * max_mult


def confirmations_max(*, members: int, wanted: int) -> int:
    """Return how many confirmations are possible: everyone but the suspect and the first accuser."""
    return max(0, min(wanted, members - 2))


class Suspicions:
    """The suspicions that are open, by the name of the suspect: at most one for each member."""

    def __init__(self, timing: Timing) -> None:
        """Suspect nobody."""
        self._timing = timing
        self._open: dict[str, Suspicion] = {}
        self._deadline: float | None = float("inf")
        """The earliest deadline, or None when it must be looked for."""

    def open(self, name: str, reporter: str, *, members: int, now: float) -> None:
        """Begin a suspicion, by nobody if `reporter` is empty, in a cluster of so many live members."""
        timing = self._timing
        shortest_s, longest_s = timeouts_s(
            members=members,
            probe_interval_s=timing.probe_interval_s,
            mult=timing.suspicion_mult,
            max_mult=timing.suspicion_max_mult,
        )
        opened = Suspicion(
            started_at=now,
            timeout_s_min=shortest_s,
            timeout_s_max=longest_s,
            confirmations_max=confirmations_max(members=members, wanted=timing.suspicion_confirmations),
            reporters=frozenset([reporter] if reporter else []),
            told_at=now,
        )
        self._forget_deadline_of(name)
        self._open[name] = opened
        self._heed_deadline_of(opened)

    def confirm(self, name: str, reporter: str) -> bool:
        """Add one more accuser to an open suspicion; return whether that is news that others need."""
        suspicion = self._open[name]
        if reporter in suspicion.reporters or not suspicion.wants_more:
            return False
        confirmed = self._open[name] = suspicion.confirm(reporter)
        self._heed_deadline_of(confirmed)  # it has come nearer, if it has moved at all
        return True

    def prolong(self, reporter: str, now: float) -> None:
        """Have every suspicion start anew that `reporter` alone has signed: it was suspected itself, and had to refute.

        It may not have been heard for a while, so those whom it accused had no chance to refute. Else one peer whose
        link comes and goes declares the healthy dead, and is believed.
        """
        for name, suspicion in self._open.items():
            if suspicion.reporters == {reporter}:
                self._open[name] = attrs.evolve(suspicion, started_at=now)
                self._deadline = None

    def to_retell(self, reporter: str, now: float) -> list[str]:
        """Return whose suspicion `reporter` alone has signed and has not told for the shortest time, sorted.

        Perhaps nobody has heard it: told again and again while it lasts, it reaches the accused in time to be refuted,
        even if the accuser's link comes and goes. Else the death at its end is the first that anybody hears, and is
        believed.
        """
        due = sorted(
            name
            for name, each in self._open.items()
            if each.reporters == {reporter} and each.told_at + each.timeout_s_min <= now
        )
        for name in due:
            self._open[name] = attrs.evolve(self._open[name], told_at=now)
        return due

    def close(self, name: str) -> bool:
        """End a suspicion; return whether there was one."""
        self._forget_deadline_of(name)
        return self._open.pop(name, None) is not None

    def due(self, now: float) -> list[str]:
        """Return whose time has run out, sorted."""
        if self.next_deadline() > now:
            return []
        return sorted(name for name, suspicion in self._open.items() if suspicion.deadline() <= now)

    def next_deadline(self) -> float:
        """Return when the next one runs out."""
        if self._deadline is None:
            self._deadline = min((suspicion.deadline() for suspicion in self._open.values()), default=float("inf"))
        return self._deadline

    def _heed_deadline_of(self, suspicion: Suspicion) -> None:
        if self._deadline is not None:
            self._deadline = min(self._deadline, suspicion.deadline())

    def _forget_deadline_of(self, name: str) -> None:
        """Have the earliest deadline looked for among the others, if it may be that of this suspicion."""
        suspicion = self._open.get(name)
        if suspicion is not None and self._deadline is not None and suspicion.deadline() <= self._deadline:
            self._deadline = None
