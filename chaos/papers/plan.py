"""Which trials are made: a quick selection, or the papers' whole grid. Every trial has a seed of its own.

All variants get the same seeds: the same members are blocked, at the same moments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from chaos.papers.lifeguard import IntervalTrial, ThresholdTrial
from chaos.papers.swim import CrashTrial, LoadTrial, LossTrial, Protocol
from chaos.papers.variants import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Sequence

Trial = CrashTrial | LoadTrial | LossTrial | IntervalTrial | ThresholdTrial


@attrs.frozen(kw_only=True)
class Size:
    """How much is done. Seconds are virtual."""

    group_sizes: tuple[int, ...] = (8, 16, 24, 32, 40, 48, 55)
    """SWIM's n."""
    crashes: int
    """For each n."""
    losses: int
    """Groups under loss, for each protocol."""
    nodes: int = 128
    """Lifeguard's n."""
    concurrent: tuple[int, ...]
    """Lifeguard's C."""
    blocked_s: tuple[float, ...]
    """Lifeguard's D in the interval experiments."""
    free_s: tuple[float, ...]
    """Lifeguard's I."""
    repetitions: int
    lasts_s: float
    """Shortest interval experiment."""
    threshold_s: float = 32.768
    """Lifeguard's D in the threshold experiments."""
    thresholds: int
    """Threshold experiments for each variant and C."""
    load_periods: int = 50
    joins: int = 17
    """SWIM's group under loss."""
    loss_s: float = 300.0


QUICK = Size(
    crashes=30,
    losses=10,
    concurrent=(1, 8, 32),
    blocked_s=(16.384, 32.768),
    free_s=(0.064,),
    repetitions=1,
    lasts_s=32.0,
    thresholds=1,
)
FULL = Size(
    crashes=200,
    losses=40,
    concurrent=(1, 4, 8, 12, 16, 20, 24, 28, 32),
    blocked_s=tuple(0.128 * 4**power for power in range(5)),
    free_s=tuple(0.001 * 4**power for power in range(8)),
    repetitions=10,
    lasts_s=120.0,
    thresholds=10,
)


def swim_trials(size: Size, *, seed: int) -> list[Trial]:
    """Return SWIM's experiments."""
    trials: list[Trial] = []
    for nodes in size.group_sizes:
        trials.append(LoadTrial(nodes=nodes, seed=f"{seed}/load/{nodes}", periods=size.load_periods))
        trials.extend(CrashTrial(nodes=nodes, seed=f"{seed}/crash/{nodes}/{i}") for i in range(size.crashes))
    trials.extend(
        LossTrial(nodes=size.joins, protocol=protocol, seed=f"{seed}/loss/{i}", lasts_s=size.loss_s)
        for protocol in Protocol
        for i in range(size.losses)
    )
    return trials


def lifeguard_trials(size: Size, *, seed: int) -> list[Trial]:
    """Return Lifeguard's experiments."""
    trials: list[Trial] = []
    for variant in VARIANTS:
        for concurrent in size.concurrent:
            trials.extend(
                ThresholdTrial(
                    variant=variant,
                    nodes=size.nodes,
                    concurrent=concurrent,
                    blocked_s=size.threshold_s,
                    seed=f"{seed}/threshold/{concurrent}/{i}",
                )
                for i in range(size.thresholds)
            )
            trials.extend(
                IntervalTrial(
                    variant=variant,
                    nodes=size.nodes,
                    concurrent=concurrent,
                    blocked_s=blocked_s,
                    free_s=free_s,
                    lasts_s=size.lasts_s,
                    seed=f"{seed}/interval/{concurrent}/{blocked_s}/{free_s}/{i}",
                )
                for blocked_s in size.blocked_s
                for free_s in size.free_s
                for i in range(size.repetitions)
            )
    return trials


def dearest_first(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with the longest ahead, so that no process is left alone with one at the end."""
    return sorted(trials, key=_cost, reverse=True)


def _cost(trial: Trial) -> float:
    match trial:
        case IntervalTrial():
            return trial.nodes * (trial.concurrent + 4) * max(trial.lasts_s, trial.blocked_s + trial.free_s)
        case ThresholdTrial():
            return trial.nodes * (trial.concurrent + 4) * trial.blocked_s
        case LossTrial():
            return trial.nodes * trial.lasts_s
        case LoadTrial():
            return trial.nodes * trial.periods
        case CrashTrial():
            return trial.nodes
