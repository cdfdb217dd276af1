"""What the figures are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from chaos.peers.figures import Target
from chaos.repair.busy import Busy
from chaos.repair.cost import Cost
from chaos.repair.reaping import Reaped
from chaos.repair.splits import Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RATIO_MAX = 0.3
AGREEMENT_MIN = 0.9

Outcome = Cost | Busy | Split | Reaped


@attrs.define(kw_only=True)
class Outcomes:
    """What came of all trials."""

    costs: list[Cost] = attrs.field(factory=list)
    busy: list[Busy] = attrs.field(factory=list)
    splits: list[Split] = attrs.field(factory=list)
    reaped: list[Reaped] = attrs.field(factory=list)

    def add(self, outcome: Outcome) -> None:
        """Put an outcome where it belongs."""
        match outcome:
            case Cost():
                self.costs.append(outcome)
            case Busy():
                self.busy.append(outcome)
            case Split():
                self.splits.append(outcome)
            case Reaped():
                self.reaped.append(outcome)


def judge(outcomes: Outcomes) -> tuple[Target, ...]:
    """Hold the figures against what is promised."""
    return (
        *(target for cost in outcomes.costs for target in _judge_cost(cost)),
        *(target for busy in outcomes.busy for target in _judge_busy(busy)),
        *_judge_splits(outcomes.splits),
        *_judge_reaped(outcomes.reaped),
    )


def _judge_cost(cost: Cost) -> list[Target]:
    ratios = [cost.ratio(exchange) for exchange in cost.by_difference.values()]
    most = max(cost.by_difference)
    return [
        _most(
            f"{cost.nodes:,} members, up to {most} records apart: bytes beside full push-pull", max(ratios), RATIO_MAX
        ),
        _most("an hour of syncs, a change a minute: bytes beside full push-pull", cost.quiet_hour.ratio, RATIO_MAX),
        _most("the same while all instances make progress", cost.busy_hour.ratio, RATIO_MAX),
    ]


def _judge_busy(busy: Busy) -> list[Target]:
    where = f"{busy.workers} workers of {busy.instances} busy instances"
    share = busy.equal_in_what_lasts / busy.pairs
    return [
        Target(
            claim=f"{where}: pairs that agree in what lasts",
            value=share,
            bound=AGREEMENT_MIN,
            met=share >= AGREEMENT_MIN,
        ),
        _most(
            f"{where}: the last progress is everywhere (s; bound: 6 comparisons of progress)",
            busy.settled_s,
            busy.bound_s,
        ),
    ]


def _judge_splits(splits: Sequence[Split]) -> list[Target]:
    found = [split for split in splits if split.is_within_memory or split.has_seeds]
    targets = []
    for split in found:
        how = "seeds" if split.has_seeds else "no seeds"
        where = f"cut for {_span(split.cut_s)}, tombstones of {_span(split.tombstone_s)}, {how}"
        targets.append(_most(f"{where}: all alive to all again (s)", split.healed_s, split.bound_s))
        targets.append(_most(f"{where}: healthy ones declared dead by the healing", split.deaths_by_healing, 0))
    return targets


def _judge_reaped(reaped: Iterable[Reaped]) -> list[Target]:
    targets = []
    for each in reaped:
        seen = each.brought_back + each.held_at_the_end
        targets += [
            _most(f"{each.late} a death: times that the dead was held again", seen, 0),
            Target(
                claim=f"{each.late} a death: who came late, forgotten by {each.late_forgotten}, is back",
                value=int(each.is_whole),
                bound=1,
                met=each.is_whole,
            ),
        ]
    return targets


def remarks(outcomes: Outcomes) -> tuple[Target, ...]:
    """Return what is worth a line but is no verdict."""
    lost = [split for split in outcomes.splits if not split.is_within_memory and not split.has_seeds]
    return (
        *(
            Target(
                claim=f"one sync of {cost.nodes:,} busy members in which progress counts",
                value=cost.ratio(cost.busy),
                bound=None,
                met=None,
                why="each would be, if progress always counted",
            )
            for cost in outcomes.costs
        ),
        *(
            Target(
                claim=f"{busy.workers} workers of {busy.instances} busy instances: pairs that agree in everything",
                value=busy.equal / busy.pairs,
                bound=None,
                met=None,
                why="",
            )
            for busy in outcomes.busy
        ),
        *(
            Target(
                claim=f"cut for {_span(split.cut_s)}, tombstones of {_span(split.tombstone_s)}, no seeds: healed after",
                value=split.healed_s,
                bound=None,
                met=None,
                why="longer than anybody remembers: only seeds bring them together",
            )
            for split in lost
        ),
    )


def _span(seconds: float) -> str:
    return f"{seconds / 3_600:g} h" if seconds >= 3_600 else f"{seconds / 60:g} min"


def _most(claim: str, value: float, bound: float) -> Target:
    return Target(claim=claim, value=value, bound=bound, met=value <= bound)
