"""From worlds to figures: one row a story, and what each of its worlds was held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from chaos.peers.figures import Spread, spread
from swimstream.core.membership.suspicion import timeouts_s
from swimstream.simulator import promises
from swimstream.simulator.scenarios import LOSS_GENTLE_MAX, STORIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.worlds.outcome import Outcome

ROUNDS_MEDIAN = 2
TELLING_TICKS = 2
MEDIAN_STORY = "crash"
"""The median of P1 is for a network that does nothing else."""
ALWAYS = (
    promises.DETECTION,
    promises.INCARNATIONS,
    promises.AGREEMENT,
    promises.ONE_LEADER,
    promises.COMMITTED,
    promises.ONE_EPOCH,
    promises.BOUNDED,
    promises.ONE_NAME,
    promises.MINORITY,
    promises.COUNCIL,
    promises.AT_LEAST_ONE,
)
GUARANTEES = (promises.AT_MOST_ONE, promises.AUTHORITY, promises.PINNED, promises.LINEAR)
"""What is promised besides where jobs have operators of all guarantees."""


@attrs.frozen(kw_only=True)
class Row:
    """What the worlds of one story did. None: there was nothing to measure. Shares are of each world's own bound."""

    story: str
    promises: tuple[str, ...]
    """What each of its worlds was held to at every step."""
    worlds: int
    nodes_max: int
    broken: int
    crashes: int
    detection_s: Spread | None
    """From a crash to the death in one live worker's view, over crashes and workers."""
    detection_share_max: float
    members_settled_s: Spread | None
    """From the last fault until everybody's view of the members was the truth, over worlds."""
    members_share_max: float
    settled_s: Spread | None
    """Until plan, leader and instances were right as well."""
    settled_share_max: float
    false_deaths: int
    """Live workers that were declared dead, in any view: of none that had no excuse, where P2 is promised."""
    virtual_s: float


@attrs.frozen(kw_only=True)
class Target:
    """A claim about many worlds that no single one can break. `is_met` is None without anything to judge."""

    claim: str
    value: float | None
    bound: float
    is_met: bool | None


def promises_of(story: str) -> tuple[str, ...]:
    """Return what every world of a story is held to."""
    told = STORIES[story]
    gentlest = attrs.evolve(told.links, loss=min(told.links.loss, LOSS_GENTLE_MAX))
    scenarios = [attrs.evolve(told.scenario(seed), links=gentlest) for seed in range(2)]
    is_gentle = all(scenario.is_gentle for scenario in scenarios) and told.loss_max <= LOSS_GENTLE_MAX
    always = (*ALWAYS, *GUARANTEES) if told.has_guarantees else ALWAYS
    always = (*always, promises.ONCE_BACK) if told.has_conflicts else always
    return (promises.NO_FALSE_DEATH, *always) if is_gentle and told.links.loss <= LOSS_GENTLE_MAX else always


def summarise(outcomes: Sequence[Outcome]) -> list[Row]:
    """Return a row for each story, in the order of `STORIES`."""
    rows = []
    for story in STORIES:
        own = [outcome for outcome in outcomes if outcome.story == story]
        if own:
            rows.append(_row(story, own))
    return rows


def judge(outcomes: Sequence[Outcome]) -> list[Target]:
    """Return the claims about many worlds."""
    timing = STORIES[MEDIAN_STORY].timing
    shortest_s, _ = timeouts_s(
        members=1,
        probe_interval_s=timing.probe_interval_s,
        mult=timing.suspicion_mult,
        max_mult=timing.suspicion_max_mult,
    )
    bound = ROUNDS_MEDIAN * timing.probe_interval_s + shortest_s + TELLING_TICKS * timing.gossip_interval_s
    # below five workers there are not enough accusers to shorten a suspicion, above ten it is longer
    own = [each for each in outcomes if each.story == MEDIAN_STORY and 5 <= each.nodes <= 10]
    seen = spread(time for each in own for time in each.detection_s)
    return [
        Target(
            claim=f"P1, median of {MEDIAN_STORY!r}, 5 to 10 workers: 2 rounds, the shortest suspicion, 2 gossip ticks",
            value=seen.p50 if seen is not None else None,
            bound=bound,
            is_met=seen.p50 <= bound if seen is not None else None,
        )
    ]


def _row(story: str, outcomes: Sequence[Outcome]) -> Row:
    kept = [outcome for outcome in outcomes if outcome.broken is None]
    return Row(
        story=story,
        promises=promises_of(story),
        worlds=len(outcomes),
        nodes_max=max(outcome.nodes for outcome in outcomes),
        broken=len(outcomes) - len(kept),
        crashes=sum(outcome.crashes for outcome in kept),
        detection_s=spread(time for outcome in kept for time in outcome.detection_s),
        detection_share_max=max(
            (time / outcome.detection_s_max for outcome in kept for time in outcome.detection_s), default=0.0
        ),
        members_settled_s=spread(outcome.members_settled_s for outcome in kept),
        members_share_max=max(
            (outcome.members_settled_s / outcome.members_settling_s_max for outcome in kept), default=0.0
        ),
        settled_s=spread(outcome.settled_s for outcome in kept),
        settled_share_max=max((outcome.settled_s / outcome.settling_s_max for outcome in kept), default=0.0),
        false_deaths=sum(outcome.false_deaths for outcome in kept),
        virtual_s=sum(outcome.lasted_s for outcome in kept),
    )
