"""What the operators' beats say: which copy of which instance ran where, from when to when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from chaos.recovery.operators import LEAST, ONCE

if TYPE_CHECKING:
    from collections.abc import Iterable


@attrs.frozen
class Copy:
    """One epoch of an instance on one worker; times are seconds on the clock of the beats."""

    instance: str
    epoch: int
    worker: str
    began_at: float
    last_at: float

    @property
    def operator(self) -> str:
        """Return the operator's name."""
        return self.instance.partition("/")[2].partition("[")[0]


@attrs.frozen(kw_only=True)
class Kill:
    """One death, and how long the others took. Seconds since the kill; infinite: not in time."""

    preset: str
    isolation: str
    is_machine: bool
    """The peer was killed along with its worker; always so on a thread."""
    was_leader: bool
    victim: str
    noticed_s: float
    """When the first of the others held it for dead or gone."""
    decided_s: Mapping[str, float]
    """Operator → when the last of what it ran of it had been given to another, as the first of the others knew."""
    running_s: Mapping[str, float]
    """Operator → when the last of what it ran of it began to beat elsewhere."""
    overlaps: int
    """At-most-one instances whose former copy still beat when the later one did. Must be 0."""


class Diary:
    """All beats so far, a record for each copy; grows with them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._copies: dict[tuple[str, int, str], Copy] = {}
        self._pending = ""

    def add(self, text: str) -> None:
        """Take in what was written since the last call; the last line may be half a line."""
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            stamp, instance, epoch, worker = line.split()
            at, key = float(stamp), (instance, int(epoch), worker)
            known = self._copies.get(key, Copy(*key, at, at))
            self._copies[key] = attrs.evolve(known, began_at=min(known.began_at, at), last_at=max(known.last_at, at))

    def newest(self, job: str) -> dict[str, Copy]:
        """Return the copy of the highest epoch of each instance of a job."""
        found: dict[str, Copy] = {}
        for copy in self._copies.values():
            if copy.instance.startswith(f"{job}/") and copy.epoch >= found.get(copy.instance, copy).epoch:
                found[copy.instance] = copy
        return found

    def hosted(self, job: str, worker: str) -> dict[str, Copy]:
        """Return what of a job beats on one worker."""
        return {name: copy for name, copy in self.newest(job).items() if copy.worker == worker}

    def running_s(self, lost: Iterable[Copy], *, killed_at: float) -> dict[str, float]:
        """Return, for each operator, when the last of its lost copies had a later one that beat elsewhere."""
        found: dict[str, float] = {}
        for former in lost:
            later = [copy.began_at for copy in self._later(former)]
            found[former.operator] = max(found.get(former.operator, 0.0), min(later, default=float("inf")) - killed_at)
        return found

    def overlaps(self, lost: Iterable[Copy]) -> int:
        """Return how many at-most-one copies beat after a later one had begun; `lost` are as of any moment."""
        now = [self._copies[copy.instance, copy.epoch, copy.worker] for copy in lost if copy.operator == ONCE]
        return sum(any(later.began_at <= former.last_at for later in self._later(former)) for former in now)

    def doubles(self) -> int:
        """Return how many copies beat when a later one of the same instance had begun, wherever that was."""
        every = list(self._copies.values())
        return sum(
            any(
                later.instance == former.instance and later.epoch > former.epoch and later.began_at <= former.last_at
                for later in every
            )
            for former in every
        )

    def _later(self, former: Copy) -> list[Copy]:
        return [
            copy
            for copy in self._copies.values()
            if copy.instance == former.instance and copy.epoch > former.epoch and copy.worker != former.worker
        ]


OPERATORS = (LEAST, ONCE)
