"""From runs to figures: percentiles, one summary a peer, and the targets that swimstream is held to.

A percentile is by nearest rank: an observed value, never one between two. Of a hundred observations or fewer the 99th
percentile is the largest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chaos.peers.scenarios import Idle, Kill, Stall

CPU_MULT_MAX = 4.0
"""CPU that a swimstream node may use, in memberlist nodes (Python beside Go)."""


@attrs.frozen(kw_only=True)
class Spread:
    """How some observations are spread; seconds, or whatever they were."""

    count: int
    p50: float
    p99: float
    max: float


@attrs.frozen(kw_only=True)
class Summary:
    """What one peer did in all runs. None: not measured, or not counted by the implementation."""

    first: Spread | None
    """From the kill to the first live node that declared the victim dead, over kills; so `last`."""
    last: Spread | None
    knowing: Spread | None
    """From the first node that knew to the last, over kills."""
    missed: int
    false_deaths_idle: int
    false_deaths_kill: int
    stall_deaths_of_others: int
    stall_deaths_of_stopped: int
    stall_deaths_by_stopped: int
    cpu_share: Spread | None
    """CPU seconds per second and node, over nodes and runs; likewise the next three."""
    rss_bytes: Spread | None
    packets_per_s: Spread | None
    bytes_per_s: Spread | None


@attrs.frozen(kw_only=True)
class Target:
    """One comparison that swimstream should win. `met` is None if it cannot be judged; `why` says why."""

    claim: str
    value: float | None
    bound: float | None
    met: bool | None
    why: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of `values` do not exceed; `values` is not empty."""
    assert values
    assert 0 < share <= 1
    return sorted(values)[math.ceil(share * len(values)) - 1]


def spread(values: Iterable[float]) -> Spread | None:
    """Return how `values` are spread; None if there are none."""
    found = list(values)
    if not found:
        return None
    return Spread(count=len(found), p50=percentile(found, 0.5), p99=percentile(found, 0.99), max=max(found))


def summarise(idles: Sequence[Idle], kills: Sequence[Kill], stalls: Sequence[Stall]) -> Summary:
    """Return the figures of one peer. A kill that nobody declared has no times; it shows in `missed`."""
    declared = [kill for kill in kills if kill.detection_s]
    return Summary(
        first=spread(kill.detection_s[0] for kill in declared),
        last=spread(kill.detection_s[-1] for kill in declared),
        knowing=spread(kill.spread_s for kill in declared),
        missed=sum(kill.missed for kill in kills),
        false_deaths_idle=sum(idle.false_deaths for idle in idles),
        false_deaths_kill=sum(kill.false_deaths for kill in kills),
        stall_deaths_of_others=sum(stall.deaths_of_others for stall in stalls),
        stall_deaths_of_stopped=sum(stall.deaths_of_stopped for stall in stalls),
        stall_deaths_by_stopped=sum(stall.deaths_by_stopped for stall in stalls),
        cpu_share=spread(share for idle in idles for share in idle.cpu_share),
        rss_bytes=spread(size for idle in idles for size in idle.rss_bytes),
        packets_per_s=spread(rate for idle in idles for rate in idle.packets_per_s),
        bytes_per_s=spread(rate for idle in idles for rate in idle.bytes_per_s),
    )


def judge(summaries: Mapping[str, Summary]) -> tuple[Target, ...]:
    """Hold swimstream's figures against the others'."""
    ours = summaries.get("swimstream")
    others = [summary for name, summary in summaries.items() if name != "swimstream"]
    if ours is None or not others:
        return ()
    return (
        _no_more("first to know, p50", _of(ours.first, "p50"), [_of(each.first, "p50") for each in others]),
        _no_more("first to know, p99", _of(ours.first, "p99"), [_of(each.first, "p99") for each in others]),
        _no_more("last to know, p50", _of(ours.last, "p50"), [_of(each.last, "p50") for each in others]),
        _no_more("last to know, p99", _of(ours.last, "p99"), [_of(each.last, "p99") for each in others]),
        _no_more("deaths missed", ours.missed, [each.missed for each in others]),
        _no_more("false deaths, all scenarios", _false_deaths(ours), [_false_deaths(each) for each in others]),
        _judge_cpu(summaries),
        Target(
            claim="bytes per idle node <= kinship",
            value=_of(ours.bytes_per_s, "p50"),
            bound=None,
            met=None,
            why="kinship counts no bytes",
        ),
    )


def _false_deaths(summary: Summary) -> int:
    """Return how often a healthy node declared a process dead that had not been killed."""
    return (
        summary.false_deaths_idle
        + summary.false_deaths_kill
        + summary.stall_deaths_of_others
        + summary.stall_deaths_of_stopped
    )


def _judge_cpu(summaries: Mapping[str, Summary]) -> Target:
    claim = f"CPU per idle node <= {CPU_MULT_MAX:g} x memberlist"
    ours = _of(summaries["swimstream"].cpu_share, "p50")
    theirs = _of(summaries["memberlist"].cpu_share, "p50") if "memberlist" in summaries else None
    if ours is None or theirs is None:
        return Target(claim=claim, value=ours, bound=None, met=None, why="memberlist was not measured")
    bound = CPU_MULT_MAX * theirs
    return Target(claim=claim, value=ours, bound=bound, met=ours <= bound)


def _no_more(what: str, value: float | None, others: Sequence[float | None]) -> Target:
    measured = [other for other in others if other is not None]
    claim = f"{what} <= the better peer"
    if value is None or not measured:
        return Target(claim=claim, value=value, bound=None, met=None, why="not measured")
    bound = min(measured)
    return Target(claim=claim, value=value, bound=bound, met=value <= bound)


def _of(spread_: Spread | None, field: str) -> float | None:
    if spread_ is None:
        return None
    value: float = getattr(spread_, field)
    return value
