"""From deaths to figures, and the targets: seconds from SIGKILL until all that ran there beats elsewhere. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from chaos.peers.figures import Target, percentile
from chaos.recovery.operators import LEAST, ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chaos.recovery.diary import Kill

BOUNDS_S = {LEAST: (8.0, 11.0), ONCE: (9.0, 12.0)}
"""On `lan`, p50 and p95, for deaths that the others must find out."""
TOLD_S_MAX = 1.0
"""p50 on `lan` if the surviving peer says so."""
LEADER_TIMES_MAX = 1.3
GUARANTEES = {LEAST: "at-least-one", ONCE: "at-most-one"}
WAYS = {
    ("thread", True): "peer on a thread, worker killed",
    ("process", True): "peer in a process, both killed",
    ("process", False): "peer in a process, worker killed",
}
HEAD = ("preset", "what dies", "victim", "guarantee", "n", "noticed", "decided", "p50", "p95", "max")


@attrs.frozen(kw_only=True)
class Series:
    """All deaths of one sort, for one guarantee. Seconds since the kill."""

    preset: str
    way: str
    was_leader: bool
    operator: str
    noticed_s: tuple[float, ...]
    decided_s: tuple[float, ...]
    running_s: tuple[float, ...]

    def share(self, share: float) -> float:
        """Return the time within which that share of them was over."""
        return percentile(self.running_s, share)


def series(kills: Iterable[Kill]) -> list[Series]:
    """Return the deaths by sort, in the order of the table."""
    found: dict[tuple[str, str, bool, str], list[Kill]] = {}
    for kill in kills:
        for operator in kill.running_s:
            way = WAYS[kill.isolation, kill.is_machine]
            found.setdefault((kill.preset, way, kill.was_leader, operator), []).append(kill)
    order = list(WAYS.values())
    return [
        Series(
            preset=preset,
            way=way,
            was_leader=was_leader,
            operator=operator,
            noticed_s=tuple(kill.noticed_s for kill in those),
            decided_s=tuple(kill.decided_s[operator] for kill in those),
            running_s=tuple(kill.running_s[operator] for kill in those),
        )
        for (preset, way, was_leader, operator), those in sorted(
            found.items(), key=lambda item: (item[0][0], order.index(item[0][1]), item[0][2], item[0][3])
        )
    ]


def judge(kills: Sequence[Kill], *, wanted: int, presets: Sequence[str]) -> list[Target]:
    """Hold the deaths against the targets; what was not measured is not met."""
    found = [
        Target(
            claim="at-most-one instances that ran twice at a time",
            value=sum(kill.overlaps for kill in kills),
            bound=0,
            met=not any(kill.overlaps for kill in kills),
        )
    ]
    every = series(kills)
    fewest = min((len(each.running_s) for each in every), default=0)
    whole = len(every) == len(presets) * len(WAYS) * 2 * 2
    found.append(Target(claim="deaths of each sort", value=fewest, bound=wanted, met=whole and fewest >= wanted))
    if "lan" in presets:
        for operator in BOUNDS_S:
            found += _times(every, operator)
    found += _leaders(every, presets)
    return found


def _times(every: Sequence[Series], operator: str) -> list[Target]:
    def of(keep: Callable[[Series], bool]) -> list[float]:
        mine = [each for each in every if each.preset == "lan" and each.operator == operator and keep(each)]
        return [time for each in mine for time in each.running_s]

    found_out = of(lambda each: each.way != WAYS["process", False])
    told = of(lambda each: each.way == WAYS["process", False])
    p50_max, p95_max = BOUNDS_S[operator]
    what = f"lan, {GUARANTEES[operator]}"
    return [
        _at_most(f"{what}, found out, p50 (s)", found_out, 0.5, p50_max),
        _at_most(f"{what}, found out, p95 (s)", found_out, 0.95, p95_max),
        _at_most(f"{what}, told by the surviving peer, p50 (s)", told, 0.5, TOLD_S_MAX),
    ]


def _at_most(claim: str, times: Sequence[float], share: float, bound: float) -> Target:
    if not times:
        return Target(claim=claim, value=None, bound=bound, met=None, why="not measured")
    value = percentile(times, share)
    return Target(claim=claim, value=value, bound=bound, met=value <= bound)


def _leaders(every: Sequence[Series], presets: Sequence[str]) -> list[Target]:
    """Compare deaths of the leader with those of another worker, guarantee by guarantee."""
    found = []
    for preset in presets:
        for operator, guarantee in GUARANTEES.items():
            claim = f"{preset}, {guarantee}, found out: p50 of the leader (s) <= {LEADER_TIMES_MAX:g} x of a worker"
            mine = [each for each in every if (each.preset, each.operator) == (preset, operator)]
            mine = [each for each in mine if each.way != WAYS["process", False]]
            leader = [time for each in mine if each.was_leader for time in each.running_s]
            worker = [time for each in mine if not each.was_leader for time in each.running_s]
            if not leader or not worker:
                found.append(Target(claim=claim, value=None, bound=None, met=None, why="not measured"))
                continue
            found.append(_at_most(claim, leader, 0.5, LEADER_TIMES_MAX * percentile(worker, 0.5)))
    return found


def table(kills: Iterable[Kill]) -> str:
    """Return a line a series, in Markdown."""
    lines = [" | ".join(HEAD), " | ".join("---" for _ in HEAD)]
    for each in series(kills):
        noticed = [time for time in each.noticed_s if time < float("inf")]
        cells = (
            each.preset,
            each.way,
            "leader" if each.was_leader else "worker",
            GUARANTEES[each.operator],
            str(len(each.running_s)),
            f"{percentile(noticed, 0.5):.2f}" if noticed else "-",
            f"{percentile(each.decided_s, 0.5):.2f}",
            f"{each.share(0.5):.2f}",
            f"{each.share(0.95):.2f}",
            f"{max(each.running_s):.2f}",
        )
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)
