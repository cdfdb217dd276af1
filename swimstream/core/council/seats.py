"""Who gets a vote: an odd number of runs, spread over sites, so that one site's failure leaves a majority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.changes import Seat

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.model.member import Member

SEATS_DEFAULT = 5


def choose_council(founder: Member, members: Iterable[Member]) -> tuple[Seat, ...]:
    """Return the first council among `members`: up to five seats, an odd number, one site after the other.

    The founder always sits: it holds the only copy of the founding until it has been elected.
    """
    by_site: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda member: member.run.name):
        by_site.setdefault(member.profile.site, []).append(member)
    ranked = [
        member
        for rank in range(max(map(len, by_site.values())))
        for site in sorted(by_site)
        for member in by_site[site][rank : rank + 1]
    ]
    ranked.remove(founder)
    ranked.insert(0, founder)
    size = min(SEATS_DEFAULT, len(ranked) - 1 + len(ranked) % 2)
    return tuple(sorted(Seat(member.run.name, member.profile.voter) for member in ranked[:size]))


def majority(council: tuple[Seat, ...]) -> int:
    """Return how many seats decide."""
    return len(council) // 2 + 1
