"""Any sequence of deaths, returns, failures and ends: what can run ends up assigned to somebody who lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.model.changes import Assign, Evict
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_MOST_ONE, PINNED
from swimstream.model.member import SPEAKS_GUARANTEES, Member, MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.situations import ABSENCE_S, Scene, job, member

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swimstream.model.job import JobSpec

NAMES = "abcd"
ROUNDS_MAX = 40

happenings = st.lists(
    st.tuples(
        st.sampled_from(
            ["dies", "leaves", "is forgotten", "returns", "fails", "stops", "finishes", "new leader", "waits"]
        ),
        st.sampled_from(NAMES),
        st.integers(0, 5),
    ),
    max_size=15,
)
workers = st.fixed_dictionaries(
    {name: st.tuples(st.sampled_from([("map",), ("join",), ("join", "map")]), st.integers(0, 4)) for name in NAMES}
)
suspicions = st.lists(
    st.tuples(
        st.sampled_from(
            ["is suspected", "is refuted", "dies", "leaves", "is forgotten", "returns", "fails", "new leader", "waits"]
        ),
        st.sampled_from(NAMES),
        st.integers(0, 12),
    ),
    max_size=20,
)
HOLD_FOR_S = 20.0
GUARANTEED = (
    job("single", parallelism=2, instances=AT_MOST_ONE),
    job("held", hold_for_s=HOLD_FOR_S),
    job("both", instances=AT_MOST_ONE, hold_for_s=HOLD_FOR_S),
    job("bound", instances=PINNED),
    job("plain", kind="join"),
)
ENDS = {"fails": InstanceState.FAILED, "stops": InstanceState.STOPPED, "finishes": InstanceState.FINISHED}


class Story:
    """A scene in which workers take up what they are given, and everything is checked at each decision."""

    def __init__(
        self,
        able: dict[str, tuple[tuple[str, ...], int]],
        *,
        jobs: Sequence[JobSpec] = (job("one", parallelism=3), job("two", parallelism=2, kind="join")),
        speaks: int = 1,
    ) -> None:
        members = [
            member(name, kinds=kinds, capacity=capacity, speaks=speaks) for name, (kinds, capacity) in able.items()
        ]
        self.scene = Scene(*members, jobs=jobs)
        self.profiles = {each.run.name: each for each in members}
        self.finished: set[InstanceId] = set()

    def happen(self, what: str, name: str, number: int) -> None:
        scene = self.scene
        held = scene.members.get(name)
        if what in ENDS:
            mine = [which for which in sorted(scene.plan.assignments) if self.runs(which)]
            if mine:
                scene.say(ENDS[what], which=mine[number % len(mine)])
        elif what == "returns":
            boot = max([held.run.boot if held else 0, *(r.boot for r in self.planned_runs() if r.name == name)]) + 1
            scene.put(attrs.evolve(self.profiles[name], run=Run(name, boot)))
        elif what == "is suspected" and held is not None and held.state is MemberState.ALIVE:
            scene.becomes(name, MemberState.SUSPECT)
        elif what == "is refuted" and held is not None and held.state is not MemberState.LEFT:
            scene.becomes(name, MemberState.ALIVE)
        elif what in ("is suspected", "is refuted"):
            return
        elif what == "is forgotten":
            scene.members.pop(name, None)
        elif what == "new leader":
            scene.new_leader()
        elif what == "waits":
            scene.now += number
        elif held is not None:
            scene.becomes(name, MemberState.DEAD if what == "dies" else MemberState.LEFT)

    def planned_runs(self) -> list[Run]:
        return [held.run for held in self.scene.plan.assignments.values()]

    def lives(self, run: Run) -> bool:
        held = self.scene.members.get(run.name)
        return held is not None and held.run == run and held.state is MemberState.ALIVE

    def runs(self, which: InstanceId) -> bool:
        status = self.scene.statuses.get(which)
        held = self.scene.plan.assignments[which]
        return (
            status is not None
            and status.epoch == held.epoch
            and status.state is InstanceState.RUNNING
            and self.lives(held.run)
        )

    def decide(self) -> bool:
        """Let the leader decide and the workers follow; return whether anything was decided."""
        scene, before = self.scene, self.scene.plan
        changes = scene.decide()
        made = [change for change in changes if isinstance(change, Assign)]
        assert len({each.instance for each in made}) == len(made), "no instance twice in one decision"
        for change in changes:
            match change:
                case Assign():
                    held = before.assignments.get(change.instance)
                    assert self.lives(change.run), "only to the living"
                    assert held is None or scene.epoch(change.instance) > held.epoch, "epochs rise"
                    assert change.instance not in self.finished, "what has finished is never executed again"
                    assert change.reason
                    assert change.evidence
                case Evict():
                    assert change.reason
                case _:
                    pass
        self.check_room()
        self.finished |= {which for which, held in scene.plan.assignments.items() if held.finished}
        for which in sorted(scene.plan.assignments):
            held = scene.plan.assignments[which]
            status = scene.statuses.get(which)
            if self.lives(held.run) and not held.finished and (status is None or status.epoch < held.epoch):
                scene.say(InstanceState.RUNNING, which=which)
        return bool(changes)

    def check_room(self) -> None:
        for each in self.scene.members.values():
            held = [held for held in self.scene.plan.assignments.values() if held.run == each.run and not held.finished]
            assert len(held) <= each.profile.capacity, "nobody gets more than it can hold"

    def settle(self) -> None:
        for _ in range(ROUNDS_MAX):
            if not self.decide() and self.scene.recovery.next_deadline() == float("inf"):
                return
            due_at = self.scene.recovery.next_deadline()
            if due_at != float("inf"):
                self.scene.now = max(self.scene.now, due_at)
        raise AssertionError("the decisions come to an end")

    def feasible(self, which: InstanceId) -> list[Member]:
        """Return the living that could hold one more instance of that kind."""
        kind = self.scene.plan.jobs[which.job].operator(which.operator).kind
        held = self.planned_runs_unfinished()
        return [
            each
            for each in self.scene.members.values()
            if each.state is MemberState.ALIVE
            and not self.scene.plan.is_evicted(each.run)
            and kind in each.profile.kinds
            and held.count(each.run) < each.profile.capacity
        ]

    def planned_runs_unfinished(self) -> list[Run]:
        return [held.run for held in self.scene.plan.assignments.values() if not held.finished]


@settings(max_examples=150, deadline=None)
@given(workers, happenings)
def test_whatever_dies_everything_that_can_run_ends_up_with_somebody_who_lives(
    able: dict[str, tuple[tuple[str, ...], int]], story: list[tuple[str, str, int]]
) -> None:
    told = Story(able)
    told.decide()
    for what, name, number in story:
        told.happen(what, name, number)
        told.decide()
    told.scene.now += ABSENCE_S
    told.settle()
    for spec in told.scene.plan.jobs.values():
        for which in spec.instances():
            held = told.scene.plan.assignments.get(which)
            if held is None or not (held.finished or told.lives(held.run)):
                assert told.feasible(which) == [], f"{which} could run"


@settings(max_examples=150, deadline=None)
@given(workers, suspicions)
def test_whatever_is_guaranteed_everything_that_can_run_ends_up_with_somebody_who_lives(
    able: dict[str, tuple[tuple[str, ...], int]], story: list[tuple[str, str, int]]
) -> None:
    """And no decision on the way is one that the guard at the log refuses: see `Scene.decide`."""
    told = Story(able, jobs=GUARANTEED, speaks=SPEAKS_GUARANTEES)
    told.decide()
    for what, name, number in story:
        told.happen(what, name, number)
        told.decide()
    for each in [each for each in told.scene.members.values() if each.state is MemberState.SUSPECT]:
        told.scene.becomes(each.run.name, MemberState.ALIVE)
    told.scene.now += ABSENCE_S + HOLD_FOR_S
    told.settle()
    for which in [which for spec in GUARANTEED for which in spec.instances()]:
        held = told.scene.plan.assignments.get(which)
        if held is None or not (held.finished or told.lives(held.run)):
            home = held.run.name if held is not None and which.job == "bound" else ""
            able_now = [each for each in told.feasible(which) if home in ("", each.run.name)]
            assert able_now == [], f"{which} could run"


@settings(max_examples=50, deadline=None)
@given(workers, happenings)
def test_the_same_story_leads_to_the_same_plan(
    able: dict[str, tuple[tuple[str, ...], int]], story: list[tuple[str, str, int]]
) -> None:
    plans = []
    for _ in range(2):
        told = Story(able)
        for what, name, number in story:
            told.happen(what, name, number)
            told.decide()
        plans.append(told.scene.plan)
    assert plans[0] == plans[1]
