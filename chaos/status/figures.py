"""From outcomes to tables and verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.peers.figures import Target, percentile
from chaos.status.storm import AFTER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.status.decision import Decision
    from chaos.status.storm import Outcome

SYNCS = 2
"""By so many sync intervals after the last instance runs again, everybody knows it."""
DECISION_CPU_S_MAX = 1.0


def judge(outcomes: Sequence[Outcome], decisions: Sequence[Decision]) -> tuple[Target, ...]:
    """Hold the figures against what is promised."""
    return (
        *(target for each in outcomes for target in _judge_storm(each)),
        *(target for each in decisions for target in _judge_decision(each)),
    )


def _judge_storm(each: Outcome) -> list[Target]:
    where = f"{each.workers:,} workers of {each.instances}"
    lost = sum(at == float("inf") for at in each.runs_s)
    claim = f"{where}: from the last instance that runs again until everybody knows (s) <= {SYNCS} sync intervals"
    return [
        _most(f"{where}: lost instances that never ran again", lost, 0),
        _most(claim, each.converged_s, SYNCS * each.sync_interval_s),
    ]


def _judge_decision(each: Decision) -> list[Target]:
    where = f"{each.lost:,} of {each.workers * (each.lost // (each.workers // 10)):,} instances lost"
    return [
        _most(f"{where}: instances that nobody was given", each.lost - each.moved, 0),
        _most(f"{where}: CPU of the decision (s) < 1", each.cpu_s, DECISION_CPU_S_MAX),
    ]


def _most(claim: str, value: float, bound: float) -> Target:
    return Target(claim=claim, value=value, bound=bound, met=value <= bound)


# --- the tables, in Markdown ----------------------------------------------------------------------


def storm_table(outcomes: Sequence[Outcome]) -> str:
    """Return when the lost instances ran again, and when everybody knew."""
    rows = [
        (
            f"{each.workers:,}",
            f"{each.lost:,} of {each.workers * each.instances:,}",
            f"{percentile(each.runs_s, 0.5):.1f} / {each.runs_s[-1]:.1f}",
            f"{percentile(each.pairs_s, 0.5):.1f} / {percentile(each.pairs_s, 0.99):.1f}",
            f"{percentile(each.knows_s, 0.5):.1f} / {each.knows_s[-1]:.1f}",
            f"{each.converged_s:.1f}",
        )
        for each in outcomes
    ]
    head = ("workers", "lost", "run again, p50 / last, s", "a worker knows one to run, p50 / p99",
            "a worker knows all to run, p50 / last", "last worker after last instance, s")  # fmt: skip
    return _table(head, rows)


def bytes_table(outcomes: Sequence[Outcome]) -> str:
    """Return what a worker sends and receives, a second."""
    rows = [
        (
            f"{each.workers:,}",
            *(_spread(values) for values in (each.quiet_bytes_per_s, each.storm_bytes_per_s)),
            f"{max(rate.datagrams + rate.streams for rate in each.rates):,.0f}",
        )
        for each in outcomes
    ]
    head = ("workers", "in peace, p50 / p99 / max, B/s", f"from the deaths until {AFTER_S:.0f} s after all agree",
            "mean of all in the worst second")  # fmt: skip
    return _table(head, rows)


def decision_table(decisions: Sequence[Decision]) -> str:
    """Return what the leader's decision costs."""
    rows = [
        (
            f"{each.workers:,}",
            f"{each.lost:,}",
            str(each.reviews),
            f"{each.cpu_s:.2f}",
            f"{each.cpu_s_max:.2f}",
            f"{each.idle_cpu_s:.2f}",
        )
        for each in decisions
    ]
    head = ("workers", "lost", "reviews", "CPU of all, s", "of the longest, s", "of one that finds nothing, s")
    return _table(head, rows)


def _spread(values: Sequence[float]) -> str:
    return f"{percentile(values, 0.5):,.0f} / {percentile(values, 0.99):,.0f} / {values[-1]:,.0f}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple(":--" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
