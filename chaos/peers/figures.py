"""From runs to figures: percentiles, one summary a peer, and the targets that swimstream is held to.

A percentile is by nearest rank: an observed value, never one between two. Of a hundred observations or fewer the 99th
percentile is the largest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from chaos.peers.scenarios import FalseDeaths, Hardship, Idle, Kill, News

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CPU_MULT_MAX = 4.0
"""CPU that a swimstream node may use, in memberlist nodes (Python beside Go)."""
BYTES_NODES_MIN = 64
"""Size of a cluster from which on an idle node may send no more than one of kinship."""
NEWS = {"kill": "detection", "change": "a change"}
"""What targets call the news whose times are compared."""


@attrs.define(kw_only=True)
class Runs:
    """What came out of one peer's runs; grows."""

    idles: list[Idle] = attrs.field(factory=list)
    changes: list[News] = attrs.field(factory=list)
    goodbyes: list[News] = attrs.field(factory=list)
    kills: list[Kill] = attrs.field(factory=list)
    stops: list[Hardship] = attrs.field(factory=list)
    starvations: list[Hardship] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class Spread:
    """How some observations are spread; seconds, or whatever they were."""

    count: int
    mean: float
    p50: float
    p99: float
    max: float


@attrs.frozen(kw_only=True)
class Way:
    """How a piece of news came around. None: there was none."""

    each: Spread | None
    """From its beginning to each node that learned of it, over nodes and pieces."""
    first: Spread | None
    """From its beginning to the first node that learned of it, over pieces; so `last`."""
    last: Spread | None
    between: Spread | None
    """From the first to the last."""
    missed: int
    """How many nodes did not learn of it in time."""


@attrs.frozen(kw_only=True)
class Summary:
    """What one peer did in all runs. None: not measured."""

    kill: Way
    suspicion: Way
    """Of those that were killed. Only `first` compares: memberlist's accusers tell, those who hear of it do not."""
    change: Way
    goodbye: Way
    false_deaths_idle: int
    false_deaths_kill: int
    stopped: FalseDeaths | None
    starved: FalseDeaths | None
    cpu_share: Spread | None
    """CPU seconds per second and node, over nodes and runs; likewise what follows."""
    rss_bytes: Spread | None
    packets_per_s: Spread | None
    bytes_per_s: Spread | None
    stream_bytes_per_s: Spread | None
    unseen_packets: int


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
    return Spread(
        count=len(found),
        mean=math.fsum(found) / len(found),
        p50=percentile(found, 0.5),
        p99=percentile(found, 0.99),
        max=max(found),
    )


def way(times: Iterable[Sequence[float]], missed: Iterable[int]) -> Way:
    """Summarise pieces of news, each by its ascending times. One that nobody learned of shows in `missed` alone."""
    heard = [each for each in times if each]
    return Way(
        each=spread(time for each in heard for time in each),
        first=spread(each[0] for each in heard),
        last=spread(each[-1] for each in heard),
        between=spread(each[-1] - each[0] for each in heard),
        missed=sum(missed),
    )


def summarise(runs: Runs) -> Summary:
    """Return the figures of one peer."""
    return Summary(
        kill=way((kill.detection_s for kill in runs.kills), (kill.missed for kill in runs.kills)),
        suspicion=way((kill.suspected_s for kill in runs.kills), ()),
        change=way((news.heard_s for news in runs.changes), (news.missed for news in runs.changes)),
        goodbye=way((news.heard_s for news in runs.goodbyes), (news.missed for news in runs.goodbyes)),
        false_deaths_idle=sum(idle.false_deaths for idle in runs.idles),
        false_deaths_kill=sum(kill.false_deaths for kill in runs.kills),
        stopped=_add(runs.stops),
        starved=_add(runs.starvations),
        cpu_share=spread(share for idle in runs.idles for share in idle.cpu_share),
        rss_bytes=spread(size for idle in runs.idles for size in idle.rss_bytes),
        packets_per_s=spread(rate for idle in runs.idles for rate in idle.packets_per_s),
        bytes_per_s=spread(rate for idle in runs.idles for rate in idle.bytes_per_s),
        stream_bytes_per_s=spread(rate for idle in runs.idles for rate in idle.stream_bytes_per_s),
        unseen_packets=sum(idle.unseen_packets for idle in runs.idles),
    )


def judge(summaries: Mapping[str, Summary], *, nodes: int, encrypted: bool) -> tuple[Target, ...]:
    """Hold swimstream's figures against the others'."""
    ours = summaries.get("swimstream")
    others = [summary for name, summary in summaries.items() if name != "swimstream"]
    if ours is None or not others:
        return ()

    def times(news: str, who: str, share: str) -> Target:
        found = [_of(getattr(getattr(each, news), who), share) for each in (ours, *others)]
        names = {"each": "every observer", "first": "first to know", "last": "last to know"}
        return _no_more(f"{NEWS[news]}, {names[who]}, {share}", found[0], found[1:])

    counted = [false_deaths(each) for each in (ours, *others)]
    missed = [each.kill.missed if each.kill.each else None for each in (ours, *others)]
    return (
        *(times("kill", who, share) for who in ("each", "first", "last") for share in ("p50", "p99")),
        *(times("change", who, share) for who in ("each", "last") for share in ("p50", "p99")),
        _no_more("deaths missed", missed[0], missed[1:]),
        _no_more("false deaths by healthy nodes", counted[0][0], [each[0] for each in counted[1:]]),
        _no_more("false deaths by anyone", counted[0][1], [each[1] for each in counted[1:]]),
        _judge_cpu(summaries),
        _judge_bytes(summaries, nodes=nodes, encrypted=encrypted),
    )


def false_deaths(summary: Summary) -> tuple[int, int] | tuple[None, None]:
    """Return how often healthy nodes, and how often any, declared a process dead that lived; None if untested."""
    trials = [each for each in (summary.stopped, summary.starved) if each is not None]
    if not trials:
        return None, None
    calm = summary.false_deaths_idle + summary.false_deaths_kill
    return calm + sum(each.by_healthy for each in trials), calm + sum(each.by_anyone for each in trials)


def _add(trials: Sequence[Hardship]) -> FalseDeaths | None:
    if not trials:
        return None
    fields = [field.name for field in attrs.fields(FalseDeaths)]
    return FalseDeaths(**{field: sum(getattr(trial.deaths, field) for trial in trials) for field in fields})


def _judge_cpu(summaries: Mapping[str, Summary]) -> Target:
    claim = f"mean CPU of idle nodes <= {CPU_MULT_MAX:g} x memberlist"
    ours = _of(summaries["swimstream"].cpu_share, "mean")
    theirs = _of(summaries["memberlist"].cpu_share, "mean") if "memberlist" in summaries else None
    if ours is None or theirs is None:
        return Target(claim=claim, value=ours, bound=None, met=None, why="not measured")
    bound = CPU_MULT_MAX * theirs
    return Target(claim=claim, value=ours, bound=bound, met=ours <= bound)


def _judge_bytes(summaries: Mapping[str, Summary], *, nodes: int, encrypted: bool) -> Target:
    claim = "mean bytes per s of idle nodes, encrypted, <= kinship"
    ours = _of(summaries["swimstream"].bytes_per_s, "mean")
    theirs = _of(summaries["kinship"].bytes_per_s, "mean") if "kinship" in summaries else None
    if ours is None or theirs is None:
        return Target(claim=claim, value=ours, bound=theirs, met=None, why="not measured")
    figures = f"{ours:.4g} against {theirs:.4g}"
    if not encrypted:
        return Target(claim=claim, value=ours, bound=theirs, met=None, why=f"nothing was encrypted; {figures}")
    if nodes < BYTES_NODES_MIN:
        why = f"held to it from {BYTES_NODES_MIN} nodes on; {figures}"
        return Target(claim=claim, value=ours, bound=theirs, met=None, why=why)
    return Target(claim=claim, value=ours, bound=theirs, met=ours <= theirs)


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
