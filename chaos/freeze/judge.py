"""What others have heard of a worker that froze, beside the times at which it did. Pure."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

LATE_S = 5.0
"""News of a freeze that come so long after its end are news of another one."""


@attrs.frozen
class Heard:
    """An observer was told at `at`, in seconds, that an instance is frozen."""

    instance: str
    at: float


@attrs.frozen(kw_only=True)
class Verdict:
    """How one mode has done. Times are seconds."""

    isolation: str
    holds: int
    suspicions: int
    deaths: int
    told: int
    """Holds that somebody was told of while they lasted."""
    told_late: int
    """Holds that somebody was told of when they were over."""
    missed: int
    delay_s_median: float | None
    """From the begin of a hold until the first observer was told."""
    delay_s_max: float | None
    wrong: int
    """News of a freeze of what runs in a process of its own."""
    baseless: int
    """News of a freeze when none had begun a while before."""

    @property
    def ok(self) -> bool:
        """Return whether nobody took it for dead, and a peer apart has told every freeze while it lasted."""
        told_all = self.isolation != "process" or self.told == self.holds
        return not self.deaths and not self.wrong and not self.baseless and told_all


def judge(
    isolation: str,
    holds: Sequence[tuple[float, float]],
    heard: Sequence[Heard],
    *,
    apart: str,
    suspicions: int,
    deaths: int,
) -> Verdict:
    """Compare the holds, each from and until, with what was heard of instances; `apart` froze never."""
    inside = sorted(each.at for each in heard if each.instance != apart)
    firsts = []
    for number, (begun_at, _) in enumerate(holds):
        next_at = holds[number + 1][0] if number + 1 < len(holds) else float("inf")
        firsts.append(next((at for at in inside if begun_at <= at < next_at), None))
    told = [(at, hold) for at, hold in zip(firsts, holds, strict=True) if at is not None]
    delays_s = [at - begun_at for at, (begun_at, _) in told]
    return Verdict(
        isolation=isolation,
        holds=len(holds),
        suspicions=suspicions,
        deaths=deaths,
        told=sum(at <= until for at, (_, until) in told),
        told_late=sum(at > until for at, (_, until) in told),
        missed=len(holds) - len(told),
        delay_s_median=statistics.median(delays_s) if delays_s else None,
        delay_s_max=max(delays_s, default=None),
        wrong=sum(each.instance == apart for each in heard),
        baseless=sum(not any(begun_at <= at <= until + LATE_S for begun_at, until in holds) for at in inside),
    )
