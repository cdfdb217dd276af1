"""Whole nodes: a worker keeps warm what the plan says, and has it still when it is given that instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.effects import KeepWarm, StartInstance
from swimstream.model.changes import Assign, CancelJob, Revoke, SetStandbys
from swimstream.model.status import InstanceState
from tests.core.test_hosting import L_S, MANY, ONE, Place, undecided

if TYPE_CHECKING:
    from swimstream.core.effects import Effect
    from swimstream.model.identity import InstanceId
    from tests.core.town import Citizen


class WarmPlace(Place):
    """Notes what was warm on a worker when it was told to start something."""

    def __init__(self, names: str = "abc") -> None:
        self.warm_at_start: list[tuple[str, str, list[str]]] = []
        self.both: set[str] = set()
        """What ran on a worker and was kept warm there, too."""
        super().__init__(names)
        for name in names:
            undecided(self.node(name))

    def keep_warm(self, instance: InstanceId, name: str) -> None:
        self.change(SetStandbys(instance=instance, runs=(self.node(name).run,), reason=""))

    def assign(self, instance: InstanceId, name: str) -> Assign:
        return Assign(instance=instance, run=self.node(name).run, failures=0, resume_from=b"", reason="", evidence=())

    def warm_on(self, name: str) -> list[str]:
        return self[name].warm

    def _carry_out_one(self, citizen: Citizen, effect: Effect) -> None:
        if isinstance(effect, StartInstance):
            self.warm_at_start.append((citizen.name, str(effect.instance), list(citizen.warm)))
        super()._carry_out_one(citizen, effect)
        if isinstance(effect, KeepWarm):
            self.both |= set(citizen.warm) & citizen.running.keys()


def other_than(host: str) -> str:
    return next(name for name in "abc" if name != host)


def test_who_the_plan_names_keeps_an_instance_warm_and_nobody_else() -> None:
    place = WarmPlace()
    other = other_than(place.host)
    place.keep_warm(ONE, other)
    place.run_until(lambda: place.warm_on(other) == [str(ONE)])
    assert not any(place.warm_on(name) for name in "abc" if name != other)
    place.change(SetStandbys(instance=ONE, runs=(), reason=""))
    place.run_until(lambda: not place.warm_on(other))


def test_what_it_is_given_is_warm_still_when_it_is_told_to_start_it_and_not_after() -> None:
    place = WarmPlace()
    held = place.node("a").plan.assignments[MANY]
    other = other_than(held.run.name)
    place.keep_warm(MANY, other)
    place.run_until(lambda: place.warm_on(other) == [str(MANY)])
    place.change(place.assign(MANY, other))
    place.run_until(lambda: str(MANY) in place[other].running)
    assert place.warm_at_start[-1] == (other, str(MANY), [str(MANY)])
    assert not place.warm_on(other)
    assert place[other].running[str(MANY)] > held.epoch


def test_a_former_copy_ends_before_its_worker_keeps_the_instance_warm() -> None:
    """It goes on until its successor runs, and is a standby of that one already."""
    place = WarmPlace()
    former = place.node("a").plan.assignments[MANY].run
    other = other_than(former.name)
    moved = attrs.evolve(place.assign(MANY, other), handover=True)
    place.change(moved, SetStandbys(instance=MANY, runs=(former,), reason=""))
    assert not place.both
    place.run_until(lambda: place.warm_on(former.name) == [str(MANY)])
    assert str(MANY) in place[other].running
    assert str(MANY) not in place[former.name].running
    assert not place.both


def test_what_may_not_be_started_yet_for_want_of_a_proof_stays_warm_until_then() -> None:
    place = WarmPlace()
    host = place.host
    other = next(name for name in "abc" if name not in (host, place.leader()))
    place.keep_warm(ONE, other)
    place.run_until(lambda: place.warm_on(other) == [str(ONE)])
    assert place.assignment is not None
    place.change(Revoke(instance=ONE, epoch=place.assignment.epoch, reason=""))
    place.run_until(lambda: place.state(host) is InstanceState.STOPPED)
    place.run_until_led()
    place.cut = {other}
    place.run_for(L_S)
    place.change(place.assign(ONE, other))
    entry = place.assign(ONE, other)
    place.tell(other, entry)
    assert place.state(other) is InstanceState.ISOLATED
    assert place.warm_on(other) == [str(ONE)]
    place.cut = set()
    place.run_until(lambda: str(ONE) in place[other].running)
    assert place.warm_at_start[-1] == (other, str(ONE), [str(ONE)])
    assert not place.warm_on(other)


def test_a_cancelled_job_is_kept_warm_by_nobody() -> None:
    place = WarmPlace()
    other = other_than(place.host)
    place.keep_warm(ONE, other)
    place.run_until(lambda: bool(place.warm_on(other)))
    place.change(CancelJob(job="job", asked_by="a"))
    place.run_until(lambda: not place.warm_on(other))


def test_a_worker_that_leaves_keeps_nothing_warm() -> None:
    place = WarmPlace()
    other = next(name for name in "abc" if name not in (place.host, place.leader()))
    place.keep_warm(ONE, other)
    place.run_until(lambda: bool(place.warm_on(other)))
    place.node(other)._hosting.begin_leaving(place.now)
    place.carry_out()
    assert not place.warm_on(other)
