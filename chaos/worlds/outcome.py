"""What came of one world, small enough to cross from one process to another."""

from __future__ import annotations

import attrs

from swimstream.simulator import promises
from swimstream.simulator.promises import PromiseBroken
from swimstream.simulator.scenarios import STORIES
from swimstream.simulator.world import live_through

FAILED = "a world must not fail in any other way"
"""Stands where a promise would, for an error of the simulator itself."""


@attrs.frozen(kw_only=True)
class Broken:
    """A promise that was broken."""

    promise: str
    time_s: float
    """Virtual."""
    detail: str
    trace: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Outcome:
    """The figures of one world, and the bounds that it was held to. Times are virtual seconds; 0 if it broke."""

    story: str
    seed: int
    nodes: int
    broken: Broken | None = None
    crashes: int = 0
    detection_s: tuple[float, ...] = ()
    detection_s_max: float
    """P1's bound; the others are P3's."""
    members_settled_s: float = 0.0
    members_settling_s_max: float
    settled_s: float = 0.0
    settling_s_max: float
    false_deaths: int = 0
    lasted_s: float = 0.0


def live(task: tuple[str, int, bool]) -> Outcome:
    """Live through the world of (story, seed); keep the trace of a breach if the third says so. Never raises."""
    name, seed, keeps_trace = task
    scenario = STORIES[name].scenario(seed)
    nodes = scenario.nodes + scenario.faults.namesakes
    outcome = Outcome(
        story=name,
        seed=seed,
        nodes=nodes,
        detection_s_max=promises.detection_s_max(scenario.timing, nodes=nodes),
        members_settling_s_max=promises.members_settling_s_max(scenario.timing, nodes=nodes),
        settling_s_max=scenario.settling_s_max,
    )
    try:
        report = live_through(scenario)
    except PromiseBroken as broken:
        trace = broken.trace if keeps_trace else ""
        found = Broken(promise=broken.promise, time_s=broken.time, detail=broken.detail, trace=trace)
        return attrs.evolve(outcome, broken=found)
    except Exception as error:  # noqa: BLE001  # one failing world must not end the thousands beside it
        found = Broken(promise=FAILED, time_s=0.0, detail=f"{type(error).__name__}: {error}", trace="")
        return attrs.evolve(outcome, broken=found)
    return attrs.evolve(
        outcome,
        crashes=report.crashes,
        detection_s=report.detection_s,
        members_settled_s=report.members_settled_s,
        settled_s=report.settled_s,
        false_deaths=report.false_deaths,
        lasted_s=report.lasted_s,
    )
