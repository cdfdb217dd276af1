"""From outcomes to the papers' tables, and what is held against what the papers claim.

A percentile is by nearest rank: an observed value. A tolerance stands in the text of its claim.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from chaos.papers.lifeguard import Interval, Threshold
from chaos.papers.swim import E_RATIO, PERIOD_S, Crashed, Load, Protocol, Survival
from chaos.papers.variants import LIFEGUARD, SWIM, VARIANTS
from chaos.peers.figures import Target, percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FALSE_MIN = 20
"""Fewer false positives of plain SWIM than this show nothing."""
BUDDY = "Buddy"
ALONE = ("LHA-Probe", "LHA-Suspicion")
"""Parts that are judged alone; of the buddy system alone see `remarks`."""
SURVIVAL_SAMPLE = 6
"""The group under loss is judged after so many samples, a minute: later hardly anybody is left without suspicion."""


@attrs.define(kw_only=True)
class Outcomes:
    """What came of all trials; grows with each."""

    crashes: list[Crashed] = attrs.field(factory=list)
    loads: list[Load] = attrs.field(factory=list)
    survivals: list[Survival] = attrs.field(factory=list)
    intervals: list[Interval] = attrs.field(factory=list)
    thresholds: list[Threshold] = attrs.field(factory=list)

    def add(self, outcome: Crashed | Load | Survival | Interval | Threshold) -> None:
        """Put an outcome where it belongs."""
        match outcome:
            case Crashed():
                self.crashes.append(outcome)
            case Load():
                self.loads.append(outcome)
            case Survival():
                self.survivals.append(outcome)
            case Interval():
                self.intervals.append(outcome)
            case Threshold():
                self.thresholds.append(outcome)


@attrs.frozen(kw_only=True)
class SizeFigures:
    """SWIM at one size of the group. Times are in periods since the crash, mean over the crashes."""

    nodes: int
    crashes: int
    probed: float
    """In which period the victim was first probed; expected e/(e-1)."""
    probed_error: float
    """Standard error of that mean."""
    suspected: float
    first: float
    last: float
    suspected_max: float
    messages: float
    message_bytes: float


@attrs.frozen(kw_only=True)
class VariantFigures:
    """One row of Lifeguard's tables. Shares are of plain SWIM's figure; None if that is zero."""

    variant: str
    false: int
    false_by_healthy: int
    rightful: int
    false_share: float | None
    false_by_healthy_share: float | None
    first_p50: float
    first_p99: float
    last_p50: float
    last_p99: float
    detections: int
    missed: int
    messages: float
    message_bytes: float


def mean(values: Iterable[float]) -> float:
    """Return the mean; not a number if there are none."""
    found = list(values)
    return math.fsum(found) / len(found) if found else math.nan


def size_figures(outcomes: Outcomes) -> list[SizeFigures]:
    """Return SWIM's figures by the size of the group."""
    rows = []
    for nodes in sorted({each.nodes for each in outcomes.crashes}):
        crashes = [each for each in outcomes.crashes if each.nodes == nodes]
        loads = [each for each in outcomes.loads if each.nodes == nodes]
        probed = mean(each.periods for each in crashes)
        variance = mean((each.periods - probed) ** 2 for each in crashes)
        rows.append(
            SizeFigures(
                nodes=nodes,
                crashes=len(crashes),
                probed=probed,
                probed_error=math.sqrt(variance / len(crashes)),
                suspected=mean(each.suspected_s / PERIOD_S for each in crashes),
                first=mean(each.first_s / PERIOD_S for each in crashes),
                last=mean(each.last_s / PERIOD_S for each in crashes),
                suspected_max=max(each.suspected_s / PERIOD_S for each in crashes),
                messages=mean(each.messages for each in loads),
                message_bytes=mean(each.message_bytes for each in loads),
            )
        )
    return rows


def survival_sizes(outcomes: Outcomes) -> dict[Protocol, list[float]]:
    """Return the mean size of the group under loss at each sample, by protocol."""
    return {protocol: [mean(sizes) for sizes in zip(*_runs(outcomes, protocol), strict=True)] for protocol in Protocol}


def variant_figures(outcomes: Outcomes) -> dict[str, VariantFigures]:
    """Return Lifeguard's figures by variant, in the order of the table; those that were not run are left out."""
    rows: dict[str, VariantFigures] = {}
    for name in (variant.name for variant in VARIANTS):
        intervals = [each for each in outcomes.intervals if each.variant == name]
        thresholds = [each for each in outcomes.thresholds if each.variant == name]
        first = [at for each in thresholds for at in each.first_s]
        last = [at for each in thresholds for at in each.last_s]
        if not intervals or not thresholds:
            continue
        false = sum(each.false for each in intervals)
        false_by_healthy = sum(each.false_by_healthy for each in intervals)
        plain = rows.get(SWIM.name)
        rows[name] = VariantFigures(
            variant=name,
            false=false,
            false_by_healthy=false_by_healthy,
            rightful=sum(each.rightful for each in intervals),
            false_share=_share(false, plain.false if plain else false),
            false_by_healthy_share=_share(false_by_healthy, plain.false_by_healthy if plain else false_by_healthy),
            first_p50=percentile(first, 0.5) if first else math.inf,
            first_p99=percentile(first, 0.99) if first else math.inf,
            last_p50=percentile(last, 0.5) if last else math.inf,
            last_p99=percentile(last, 0.99) if last else math.inf,
            detections=len(first),
            missed=sum(each.missed for each in thresholds),
            messages=mean(each.messages for each in intervals),
            message_bytes=mean(each.message_bytes for each in intervals),
        )
    return rows


def judge(outcomes: Outcomes) -> tuple[Target, ...]:
    """Hold the figures against the papers' claims."""
    return (*_judge_swim(outcomes), *_judge_lifeguard(variant_figures(outcomes)))


def remarks(outcomes: Outcomes) -> tuple[Target, ...]:
    """Return what is worth a line but is no verdict."""
    rows = variant_figures(outcomes)
    if SWIM.name not in rows or BUDDY not in rows:
        return ()
    value, bound = rows[BUDDY].false, rows[SWIM.name].false
    why = "the paper's figure is not at hand"
    return (
        Target(claim="Buddy alone: false positives (beside plain SWIM's)", value=value, bound=bound, met=None, why=why),
    )


def _judge_swim(outcomes: Outcomes) -> list[Target]:
    targets = []
    rows = size_figures(outcomes)
    if rows:
        probed = mean(each.periods for each in outcomes.crashes)
        worst = max((row.suspected_max - 1) / (2 * row.nodes - 1) for row in rows)
        messages = [row.messages for row in rows]
        targets += [
            _within("SWIM: first probed in period e/(e-1) = 1.58, on average (tolerance 15 %)", probed, E_RATIO, 0.15),
            _most("SWIM: who crashed is probed within 2n - 1 periods (longest wait / that, at most 1)", worst, 1.0),
            _within("SWIM: 2 messages a member and period (tolerance 5 %)", mean(messages), 2.0, 0.05),
            _most("SWIM: messages do not grow with n (largest / smallest, at most 1.05)", _ratio(messages), 1.05),
        ]
    if outcomes.survivals:
        sizes = {name: series[SURVIVAL_SAMPLE] for name, series in survival_sizes(outcomes).items()}
        without, suspicion = sizes[Protocol.INFECTION], sizes[Protocol.SUSPICION]
        whole = sizes[Protocol.WHOLE]
        joins = outcomes.survivals[0].sizes[0]
        targets += [
            _least(
                "SWIM: at 10 % loss suspicion keeps a group larger (after 60 s, at least 1.5 x)",
                suspicion,
                1.5 * without,
            ),
            _least("swimstream: at 10 % loss nobody is declared dead (members left after 60 s)", whole, joins),
        ]
    return targets


def _judge_lifeguard(rows: Mapping[str, VariantFigures]) -> list[Target]:
    plain, whole = rows.get(SWIM.name), rows.get(LIFEGUARD.name)
    if plain is None or whole is None:
        return []
    targets = [
        _fewer("Lifeguard, all parts: false positives (at most 1/10 of plain SWIM's)", whole.false, plain.false, 10),
        _fewer(
            "Lifeguard, all parts: those by healthy members (at most 1/10 of plain SWIM's)",
            whole.false_by_healthy,
            plain.false_by_healthy,
            10,
        ),
    ]
    targets += [
        _fewer(f"{row.variant} alone: false positives (at most plain SWIM's)", row.false, plain.false, 1)
        for row in rows.values()
        if row.variant in ALONE
    ]
    return [
        *targets,
        _most("Lifeguard, first detection, p50 (at most 1.2 x plain SWIM)", whole.first_p50, 1.2 * plain.first_p50),
        _most("Lifeguard, all have heard, p50 (at most 1.2 x plain SWIM)", whole.last_p50, 1.2 * plain.last_p50),
        _most("Lifeguard, blocked members not found out by all (none)", whole.missed, 0),
    ]


def _runs(outcomes: Outcomes, protocol: Protocol) -> Sequence[tuple[int, ...]]:
    return [each.sizes for each in outcomes.survivals if each.protocol is protocol]


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _ratio(values: Sequence[float]) -> float:
    return max(values) / min(values)


def _most(claim: str, value: float, bound: float) -> Target:
    return Target(claim=claim, value=value, bound=bound, met=value <= bound)


def _least(claim: str, value: float, bound: float) -> Target:
    return Target(claim=claim, value=value, bound=bound, met=value >= bound)


def _within(claim: str, value: float, bound: float, tolerance: float) -> Target:
    return Target(claim=claim, value=value, bound=bound, met=abs(value - bound) <= tolerance * bound)


def _fewer(claim: str, value: int, plain: int, times: int) -> Target:
    if plain < FALSE_MIN:
        return Target(claim=claim, value=value, bound=None, met=None, why=f"plain SWIM had {plain} only")
    return Target(claim=claim, value=value, bound=plain / times, met=value <= plain / times)
