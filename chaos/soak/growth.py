"""Whether something grows with time: a straight line by least squares, beside what the instances hosted explain. Pure.

A process that takes over instances has more sockets and memory; that is no leak. So a figure is explained by a
constant, the time, and how many instances there were: three unknowns, the normal equations solved by elimination.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WARM_UP_S = 30.0
"""After its start, a process is left alone for so long."""
OBSERVED_S_MIN = 60.0
"""A process that was there for less afterwards tells nothing."""
SAMPLES_MIN = 20
RIDGE = 1e-9
"""So that a worker that always hosts as many instances has a solution as well."""
RSS_MIB_MAX, RSS_MIB_PER_MIN_MAX = 6.0, 0.25
THREADS_MAX, FDS_MAX = 2.0, 6.0


@attrs.frozen(kw_only=True)
class Sample:
    """One look at one process; `at` in seconds since the begin."""

    at: float
    name: str
    pid: int
    rss_mib: float
    threads: int
    fds: int
    hosted: int
    """Instances of the worker that it is, or is the peer of."""


@attrs.frozen(kw_only=True)
class Growth:
    """By how much a process has grown, as the line has it, while it was observed."""

    name: str
    pid: int
    observed_s: float
    rss_mib: float
    threads: float
    fds: float

    @property
    def faults(self) -> list[str]:
        """Return what has grown by more than its bound, in words."""
        bounds = {
            "rss_mib": RSS_MIB_MAX + RSS_MIB_PER_MIN_MAX * self.observed_s / 60,
            "threads": THREADS_MAX,
            "fds": FDS_MAX,
        }
        who = f"{self.name} ({self.pid}), {self.observed_s:.0f} s"
        return [
            f"{who}: {what} grew by {getattr(self, what):.1f}, more than {bound:.1f}"
            for what, bound in bounds.items()
            if getattr(self, what) > bound
        ]


def growths(samples: Iterable[Sample]) -> list[Growth]:
    """Return how each process has grown that was there for long enough."""
    lives: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        lives.setdefault((sample.name, sample.pid), []).append(sample)
    found = []
    for (name, pid), life in sorted(lives.items()):
        warm = [sample for sample in life if sample.at >= life[0].at + WARM_UP_S]
        observed_s = warm[-1].at - warm[0].at if warm else 0.0
        if observed_s >= OBSERVED_S_MIN and len(warm) >= SAMPLES_MIN:
            times, hosted = [each.at for each in warm], [float(each.hosted) for each in warm]
            figures = {
                what: slope(times, hosted, [float(getattr(each, what)) for each in warm]) * observed_s
                for what in ("rss_mib", "threads", "fds")
            }
            found.append(Growth(name=name, pid=pid, observed_s=observed_s, **figures))
    return found


def slope(times: Sequence[float], hosted: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much `values` grow a second, apart from what `hosted` explains."""
    count = len(values)
    middle_at, middle_hosted = sum(times) / count, sum(hosted) / count
    by_time = [at - middle_at for at in times]
    by_hosted = [each - middle_hosted for each in hosted]
    middle = sum(values) / count
    rest = [value - middle for value in values]
    tt, th = _dot(by_time, by_time) + RIDGE, _dot(by_time, by_hosted)
    hh = _dot(by_hosted, by_hosted) + RIDGE
    tv, hv = _dot(by_time, rest), _dot(by_hosted, rest)
    return (tv * hh - hv * th) / (tt * hh - th * th)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
