"""When many vanish together, wait a little: most often it is their uplink, and they come back with all they had.

An outage is when, within a few suspicions, half a site (at least 2 workers) or a third of all (at least 3) fall silent.
What those ran is then left alone for `HOLD_SUSPICIONS` shortest suspicions (LAN: 20 s, `local`: 5 s) after the last of
them; they are not evicted, so who comes back goes on where it was. After that it is executed elsewhere at a measured
pace, `MOVES_PER_WORKER_S` for each live worker, since a rush on the workers that are left would take those down next
(Kubernetes slows evictions down for a zone that is unhealthy, and stops them if all are). How much a worker takes at
all, placement decides.

Whatever is proven to have ended is not waited for: who has left, was replaced by a later run, was declared dead by a
person, or what its surviving peer has reported. Nor is a single death, however small the cluster. An outage is told
from what the members' records say, so a new leader sees the same one. Who is only suspected counts as silent as well:
else the first of a site to be declared dead would be moved before it is known to be one of many. And when the first of
them are back, the others are still waited for (`Outages`): they most likely come as well.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import attrs

from swimstream.model.member import Member, MemberState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swimstream.model.identity import Run

WINDOW_SUSPICIONS = 6
"""So far apart may two fall silent and still do so together: the longest suspicion, as the presets have it."""
HOLD_SUSPICIONS = 5
SITE_MIN = 2
SITE_SHARE = 1 / 2
ALL_MIN = 3
ALL_SHARE = 1 / 3
MOVES_PER_WORKER_S = 2.0
SILENT = (MemberState.SUSPECT, MemberState.DEAD)


@attrs.frozen(kw_only=True)
class Outage:
    """Why the runs of one are held, and until when."""

    until: float
    why: str


@attrs.frozen
class _Together:
    """Who of a site, or of all, is silent, by when; and how many are not."""

    silent_at: tuple[float, ...]
    live: int

    def around(self, at: float, window_s: float) -> tuple[int, float]:
        """Return how many fell silent within `window_s` of `at`, and when the last of them did."""
        first = bisect_left(self.silent_at, at - window_s)
        end = bisect_right(self.silent_at, at + window_s)
        return end - first, self.silent_at[end - 1] if end > first else at


class Outages:
    """Who vanished together with many others; remembers for one leadership who did, until that one is back."""

    def __init__(self, suspicion_s: float) -> None:
        """Begin with no memory. `suspicion_s` is the shortest suspicion."""
        self._suspicion_s = suspicion_s
        self._known: dict[Run, Outage] = {}

    def review(self, members: Mapping[str, Member]) -> dict[Run, Outage]:
        """Return why the runs are held, by run."""
        dead = {each.run for each in members.values() if each.state is MemberState.DEAD}
        known = {run: outage for run, outage in self._known.items() if run in dead}
        # a suspicion may be refuted, so that what was an outage only with it was none
        self._known = known | outages(members.values(), suspicion_s=self._suspicion_s, silent=(MemberState.DEAD,))
        return self._known | outages(members.values(), suspicion_s=self._suspicion_s)


def outages(
    members: Iterable[Member], *, suspicion_s: float, silent: tuple[MemberState, ...] = SILENT
) -> dict[Run, Outage]:
    """Return the dead runs that vanished together with many others. `suspicion_s`: the shortest suspicion."""
    known = list(members)
    everybody = _together(known, silent)
    by_site: dict[str, list[Member]] = {}
    for each in known:
        by_site.setdefault(each.profile.site, []).append(each)
    sites = {site: _together(there, silent) for site, there in by_site.items()}
    window_s = WINDOW_SUSPICIONS * suspicion_s
    found = {}
    for each in known:
        if each.state is not MemberState.DEAD:
            continue
        site = each.profile.site
        gone, last = sites[site].around(each.since, window_s)
        was = gone + sites[site].live
        place = f"workers of site {site}"
        if gone < SITE_MIN or gone < was * SITE_SHARE:
            gone, last = everybody.around(each.since, window_s)
            was, place = gone + everybody.live, "workers"
            if gone < ALL_MIN or gone < was * ALL_SHARE:
                continue
        until = last + HOLD_SUSPICIONS * suspicion_s
        found[each.run] = Outage(until=until, why=f"held: {gone} of {was} {place} vanished together")
    return found


def _together(members: list[Member], silent: tuple[MemberState, ...]) -> _Together:
    silent_at = sorted(each.since for each in members if each.state in silent)
    live = sum(not each.state.is_gone and each.state not in silent for each in members)
    return _Together(tuple(silent_at), live)


class Pace:
    """A token bucket for what an outage has left behind; the memory of one leadership, and full at its begin."""

    def __init__(self) -> None:
        """Begin with a full bucket."""
        self._tokens = float("inf")
        self._filled_at = 0.0
        self._rate = 0.0

    def refill(self, members: Mapping[str, Member], now: float) -> None:
        """Let in what has come since the last review, up to what one second brings."""
        live = sum(each.state is MemberState.ALIVE for each in members.values())
        self._rate = MOVES_PER_WORKER_S * max(1, live)
        came = (now - self._filled_at) * self._rate
        self._tokens = min(self._tokens + came, self._rate)
        self._filled_at = now

    def next_at(self) -> float:
        """Return when something may be moved next: now, or earlier, if it may be at once."""
        return self._filled_at + max(0.0, 1.0 - self._tokens) / self._rate

    def spend(self) -> None:
        """Take note that something was moved."""
        self._tokens -= 1.0
