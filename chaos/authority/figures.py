"""From outcomes to tables and verdicts, with what a model of the protocol's delays had said beforehand beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from chaos.authority.town import PACES, SEATS
from chaos.authority.trials import Freshness, Outcome, Recovery, Stop
from chaos.peers.figures import Spread, Target, percentile, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

FRESH_SHARE_MAX = 0.5
"""Of L: so old is authority at the most at 99 of 100 moments."""
STOP_SHARE = 0.8
"""Of L: a worker with older authority stops what runs at most once."""
NEEDLESS_MAX = 0.01
"""Share of healthy workers that a leader's crash may stop."""
VICTIMS = ("worker", "leader")
CUTS = {2.0: "2 s", 4.0: "4 s", 0.0: "1.5 L"}
MODEL_AGES = {(10, "lan"): (1.36, 2.59, 3.51), (100, "lan"): (1.92, 2.66, 3.30), (1_000, "lan"): (2.00, 2.70, 3.60),
              (1_000, "wan"): (3.39, 5.32, 6.16)}  # fmt: skip
"""p50, p99 and the largest age (s) that the model gave, for L = 8 s (lan) and 15 s (wan)."""
MODEL_RECOVERY = {
    ("local", "worker"): (6.5, 10.7),
    ("local", "leader"): (6.5, 10.7),
    ("lan", "worker"): (8.6, 12.4),
    ("lan", "leader"): (8.6, 12.4),
    ("wan", "worker"): (19.0, 22.8),
    ("wan", "leader"): (15.5, 22.7),
}
"""p50 and p99 (s) from a crash to the start elsewhere, likewise."""


@attrs.define(kw_only=True)
class Outcomes:
    """What came of all trials."""

    fresh: list[Freshness] = attrs.field(factory=list)
    recoveries: list[Recovery] = attrs.field(factory=list)
    stops: list[Stop] = attrs.field(factory=list)

    def add(self, outcome: Outcome) -> None:
        """Put an outcome where it belongs."""
        match outcome:
            case Freshness():
                self.fresh.append(outcome)
            case Recovery():
                self.recoveries.append(outcome)
            case Stop():
                self.stops.append(outcome)

    def of(self, pace: str, victim: str) -> list[Recovery]:
        """Return the recoveries of that pace and victim."""
        return [each for each in self.recoveries if (each.pace, each.victim) == (pace, victim)]

    def cuts(self, pace: str, cut_s: float) -> list[Stop]:
        """Return the cuts of that pace and length."""
        return [each for each in self.stops if (each.pace, each.cut_s) == (pace, cut_s)]


def judge(outcomes: Outcomes) -> tuple[Target, ...]:
    """Hold the figures against what is promised."""
    return (
        *(target for each in outcomes.fresh for target in _judge_fresh(each)),
        *(target for pace in PACES for victim in VICTIMS for target in _judge_recovery(outcomes, pace, victim)),
        *(target for pace in PACES for target in _judge_stops(outcomes, pace)),
    )


def _judge_fresh(each: Freshness) -> list[Target]:
    where = f"{each.workers:,} workers, {each.pace}"
    return [
        _most(f"{where}: age of authority, p99 (s) <= L/2", percentile(each.ages_s, 0.99),
              FRESH_SHARE_MAX * each.isolation_s),
        _most(f"{where}: oldest authority (s) < when operators are stopped", max(each.ages_s),
              STOP_SHARE * each.isolation_s),
        _most(f"{where}: at-most-one instances stopped in peace", each.stopped, 0),
    ]  # fmt: skip


def _judge_recovery(outcomes: Outcomes, pace: str, victim: str) -> list[Target]:
    found = outcomes.of(pace, victim)
    if not found:
        return []
    lost = sum(each.at_least_one_s == float("inf") or each.at_most_one_s == float("inf") for each in found)
    targets = [_most(f"{pace}, the {victim} crashes: instances that never ran again", lost, 0)]
    if victim == "leader":
        share = sum(each.stopped for each in found) / sum(each.healthy for each in found)
        targets.append(_most(f"{pace}, the leader crashes: share of healthy workers that stopped", share, NEEDLESS_MAX))
    return targets


def _judge_stops(outcomes: Outcomes, pace: str) -> list[Target]:
    short, long = outcomes.cuts(pace, 2.0), outcomes.cuts(pace, 0.0)
    targets = []
    if short:
        stopped = sum(each.stopped_s < float("inf") for each in short)
        targets.append(_most(f"{pace}, cut of 2 s: workers that stopped", stopped, 0))
    if long:
        targets += [
            _most(f"{pace}, cut of 1.5 L: last stop (s) <= L", max(each.stopped_s for each in long),
                  long[0].isolation_s),
            _most(f"{pace}, cut of 1.5 L: stopped by the fence alone", sum(each.by_fence for each in long), 0),
        ]  # fmt: skip
    cuts = [each for each in outcomes.stops if each.pace == pace]
    if cuts:
        lost = sum(each.back_s == float("inf") for each in cuts)
        targets += [
            _most(f"{pace}, any cut: instances that never ran again", lost, 0),
            _most(f"{pace}, any cut: instances that ran in two places", sum(each.overlapped for each in cuts), 0),
        ]
    return targets


# --- the tables, in Markdown ----------------------------------------------------------------------


def fresh_table(outcomes: Outcomes) -> str:
    """Return how old authority was, by size, and how often it was asked for.

    Every other question goes to one of the council, the others to anybody: that tells how many each seat gets.
    """
    rows = []
    for each in sorted(outcomes.fresh, key=lambda one: (one.pace, one.workers)):
        p50, p99 = percentile(each.ages_s, 0.5), percentile(each.ages_s, 0.99)
        model = MODEL_AGES.get((each.workers, each.pace))
        rows.append(
            (
                f"{each.workers:,}",
                f"{each.pace}, {each.isolation_s:g} s",
                f"{p50:.2f} / {p99:.2f} / {max(each.ages_s):.2f}",
                " / ".join(f"{age:.2f}" for age in model) if model else "–",
                f"{each.asked_per_s:.1f}",
                f"{each.asked_per_s / 2 * (1 / SEATS + 1 / each.workers):.1f}",
            )
        )
    head = ("workers", "preset, L", "age p50 / p99 / max, s", "model", "questions a second", "of these to each seat")
    return _table(head, rows)


def load_table(outcomes: Outcomes) -> str:
    """Return what a seat costs: packets and bytes a second, both ways, of a leader, another seat and anyone else."""
    rows = []
    for each in sorted(outcomes.fresh, key=lambda one: (one.pace, one.workers)):
        cells = [f"{each.workers:,}", each.pace]
        for rates in (each.leader, each.council, each.others):
            packets = rates.get("packets_in", 0) + rates.get("packets_out", 0)
            size = rates.get("bytes_in", 0) + rates.get("bytes_out", 0)
            cells.append(f"{packets:.1f}, {size / 1_000:.2f} kB" if rates else "–")
        rows.append(tuple(cells))
    return _table(("workers", "preset", "leader", "another seat", "a worker without one"), rows)


def recovery_table(outcomes: Outcomes) -> str:
    """Return the time from a crash to the start elsewhere, of either guarantee."""
    rows = []
    for pace in PACES:
        for victim in VICTIMS:
            found = outcomes.of(pace, victim)
            if found:
                model = MODEL_RECOVERY[pace, victim]
                rows.append(
                    (
                        pace,
                        victim,
                        str(len(found)),
                        _times(spread(each.at_least_one_s for each in found)),
                        _times(spread(each.at_most_one_s for each in found)),
                        f"{model[0]:.1f} / {model[1]:.1f}",
                        f"{sum(each.stopped for each in found)} of {sum(each.healthy for each in found)}",
                    )
                )
    head = ("preset", "crashed", "times", "at-least-one p50 / p99 / max, s", "at-most-one", "model p50 / p99",
            "healthy stopped")  # fmt: skip
    return _table(head, rows)


def stop_table(outcomes: Outcomes) -> str:
    """Return who stops for a cut, when, and when it runs again."""
    rows = []
    for pace in PACES:
        for cut_s, name in CUTS.items():
            found = outcomes.cuts(pace, cut_s)
            stopped = [each for each in found if each.stopped_s < float("inf")]
            if found:
                rows.append(
                    (
                        f"{pace}, {found[0].isolation_s:g} s",
                        name,
                        f"{len(stopped)} of {len(found)}",
                        _times(spread(each.stopped_s for each in stopped)),
                        _times(spread(each.back_s for each in stopped)),
                    )
                )
    head = ("preset, L", "cut", "stopped", "after the cut p50 / p99 / max, s", "runs again after the healing, s")
    return _table(head, rows)


def _times(found: Spread | None) -> str:
    return "–" if found is None else f"{found.p50:.1f} / {found.p99:.1f} / {found.max:.1f}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple(":--" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _most(claim: str, value: float, bound: float) -> Target:
    return Target(claim=claim, value=value, bound=bound, met=value <= bound)
