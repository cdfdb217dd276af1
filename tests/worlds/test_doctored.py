"""A whole world with a participant that breaks one rule: the judge finds it out, whatever the others do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.core.effects import Effect, Saved, StartInstance, StopInstance, VoteRecord
from swimstream.core.node import Node
from swimstream.model.job import AT_LEAST_ONE
from swimstream.simulator import promises
from swimstream.simulator.faults import Faults
from swimstream.simulator.network import Links
from swimstream.simulator.promises import PromiseBroken
from swimstream.simulator.scenarios import Scenario
from swimstream.simulator.world import live_through

if TYPE_CHECKING:
    from random import Random

    from swimstream.config import NodeConfig
    from swimstream.simulator.participant import Maker


class Overconfident(Node):
    """Starts at-most-one instances with a fence that no proof of a quorum reaches to."""

    def take_effects(self) -> list[Effect]:
        effects = super().take_effects()
        return [
            attrs.evolve(effect, fence_at=self._now + 100.0) if isinstance(effect, StartInstance) else effect
            for effect in effects
        ]


class Timid(Node):
    """Stops at once what it starts, at-least-one instances too."""

    def take_effects(self) -> list[Effect]:
        effects = super().take_effects()
        started = [effect for effect in effects if isinstance(effect, StartInstance)]
        shy = [effect for effect in started if effect.spec.instances == AT_LEAST_ONE]
        return [*effects, *(StopInstance(effect.instance, effect.epoch) for effect in shy)]


class Talkative(Node):
    """Starts everything twice."""

    def take_effects(self) -> list[Effect]:
        effects = super().take_effects()
        return [*effects, *(effect for effect in effects if isinstance(effect, StartInstance))]


class Forgetful(Node):
    """Forgets its vote when it restarts, but not the term."""

    def __init__(self, config: NodeConfig, *, boot: int, saved: Saved, rng: Random, now: float) -> None:
        vote = VoteRecord(saved.vote.term, "")
        super().__init__(config, boot=boot, saved=attrs.evolve(saved, vote=vote), rng=rng, now=now)


def outcome(maker: Maker, scenario: Scenario) -> str:
    """Return which promise broke, or nothing."""
    try:
        live_through(scenario, maker=maker)
    except PromiseBroken as broken:
        return broken.promise
    return ""


def quiet(*, has_guarantees: bool) -> Scenario:
    return Scenario(nodes=3, seed=1, faults=Faults(), has_guarantees=has_guarantees)


def test_who_counts_on_more_authority_than_it_can_have_is_caught() -> None:
    assert outcome(Overconfident, quiet(has_guarantees=True)) == promises.AUTHORITY


def test_who_stops_what_is_its_own_is_caught() -> None:
    assert outcome(Timid, quiet(has_guarantees=False)) == promises.AT_LEAST_ONE


def test_who_starts_an_epoch_twice_is_caught() -> None:
    assert outcome(Talkative, quiet(has_guarantees=False)) == promises.ONE_EPOCH


def restless(seed: int) -> Scenario:
    """Return a world in which voters restart within the terms in which they have voted."""
    faults = Faults(crashes=30, leader_crashes=20, down_s=(0.02, 0.3), host_crashes=0.0)
    return Scenario(nodes=3, seed=seed, jobs=0, links=Links(delay_s=0.02, jitter_s=0.3), faults=faults)


@pytest.mark.timeout(300)
def test_who_forgets_its_vote_is_caught() -> None:
    """Not in every world: it must be asked for its vote again."""
    assert any(outcome(Forgetful, restless(seed)) == promises.ONE_LEADER for seed in range(60))


def test_nobody_is_caught_where_all_remember_their_votes() -> None:
    assert {outcome(Node, restless(seed)) for seed in range(4)} == {""}
