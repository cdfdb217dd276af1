"""Whether a soak went well: everything that must hold, each as a target with what was found. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from chaos.peers.figures import Target
from chaos.soak.growth import Sample, growths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.soak.growth import Growth


@attrs.frozen(kw_only=True)
class Struck:
    """One event as it came; times are seconds since the begin. `trouble`: what did not go as it should."""

    kind: str
    names: tuple[str, ...]
    detail: str
    at: float
    until: float
    trouble: str = ""


@attrs.define(kw_only=True)
class Soak:
    """What has happened; grows."""

    strikes: list[Struck] = attrs.field(factory=list)
    samples: list[Sample] = attrs.field(factory=list)
    ended_unasked: list[str] = attrs.field(factory=list)
    """Workers that ended though nobody had harmed them."""
    ended_badly: list[str] = attrs.field(factory=list)
    """Workers that were told to end and had another status than 0, or did not."""
    left_behind: list[str] = attrs.field(factory=list)
    quarantined: list[str] = attrs.field(factory=list)
    failure: str = ""
    """Why it was given up; the job has not finished, or nobody knows."""
    lost: int = 0
    doubled: int = 0
    unexpected: int = 0
    rows: int = 0
    stale_writes_refused: int = 0
    overlaps: int = 0
    """At-most-one copies that beat when a later one had begun."""

    def growths(self) -> list[Growth]:
        """Return how the processes have grown that lived for long."""
        return growths(self.samples)


def judge(soak: Soak, *, rows_expected: int, expect_growths: bool) -> list[Target]:
    """Return all that must hold. `expect_growths`: it lasted long enough for somebody to be judged."""
    grown = soak.growths()
    faults = [fault for growth in grown for fault in growth.faults]
    return [
        _none("the job did not finish", [soak.failure] if soak.failure else []),
        _count("rows lost or different", soak.lost),
        _count("rows written twice", soak.doubled),
        _count("rows made up", soak.unexpected),
        Target(claim="rows", value=soak.rows, bound=rows_expected, met=soak.rows == rows_expected),
        _count("at-most-one instances that ran twice at a time", soak.overlaps),
        _none("workers that ended unasked", soak.ended_unasked),
        _none("workers that did not end well when told to", soak.ended_badly),
        _none("instances in quarantine", soak.quarantined),
        _none("commands and returns that failed", [each.trouble for each in soak.strikes if each.trouble]),
        _none("processes left behind", soak.left_behind),
        _none("processes that grow", faults),
        Target(
            claim="processes that lived long enough to be judged",
            value=len(grown),
            bound=1,
            met=bool(grown) or not expect_growths,
        ),
    ]


def _count(claim: str, found: int) -> Target:
    return Target(claim=claim, value=found, bound=0, met=found == 0)


def _none(claim: str, found: Sequence[str]) -> Target:
    return Target(claim=claim, value=len(found), bound=0, met=not found, why="; ".join(found)[:2_000])
