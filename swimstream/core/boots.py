"""Which boot a new run takes: the calendar time, but above every earlier boot that its memory tells of.

A clock that was set back must not make a restarted worker look older than the run that it replaces. And no two runs
may take the same boot: what one of them has started under an epoch, the other one would start again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.changes import Assign, Evict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from swimstream.core.effects import Saved

RAISE_MS_MAX = 1_000


def boot_above(saved: Saved, *, name: str, now_ms: int) -> int:
    """Return a boot for a run of `name` that starts at `now_ms` with the memory `saved`."""
    earlier = list(_boots(saved, name))
    if saved.voter > now_ms:  # equal: this very start has made the memory
        earlier.append(saved.voter)
    return max(now_ms, *(boot + 1 for boot in earlier))


def boot_after(boot: int, *, rng: Random) -> int:
    """Return a boot above `boot` for a run that goes on, or takes over, from there.

    Not simply the next one. A worker without a disk and with a calendar that was set back may find the same earlier run
    twice, in two lives; and a namesake may find it at the same time.
    """
    return boot + 1 + rng.randrange(RAISE_MS_MAX)


def _boots(saved: Saved, name: str) -> Iterator[int]:
    yield saved.boot
    yield saved.plan.evicted.get(name, -1)
    for assignment in saved.plan.assignments.values():
        if assignment.run.name == name:
            yield assignment.run.boot
    for entry in saved.entries:
        if isinstance(entry.change, Assign | Evict) and entry.change.run.name == name:
            yield entry.change.run.boot
