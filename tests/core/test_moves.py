"""At-most-one instances among whole nodes: suspicion, hold, death, wait and move, through the council."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.config import LAN
from swimstream.core.council.guard import MoveGuard
from swimstream.core.council.stops import wait_s
from swimstream.model.changes import Assign
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.model.report import Report
from swimstream.model.status import InstanceState, InstanceStatus
from tests.core.town import Town, job

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from swimstream.model.changes import Change
    from swimstream.model.plan import Assignment

ONE = InstanceId("job", "op", 0)
WAIT_S = wait_s(round(LAN.isolation_timeout_s * 1_000), round(LAN.clock_drift * 1e6))


def held_by(town: Town) -> Assignment:
    """Return where the leader's plan has the instance."""
    return town.node(town.run_until_led()).plan.assignments[ONE]


def settled() -> tuple[Town, str]:
    """Return a town in which an at-most-one instance is taken up, and the worker that has it."""
    town = Town("abcd")
    leader = town.run_until_led()
    spec = OperatorSpec(name="op", kind="map", instances=AT_MOST_ONE)
    town.submit(leader, JobSpec(name="job", operators=(spec,)))
    town.run_until(lambda: any(status.instance == ONE for status in town.node(leader).statuses()))
    return town, held_by(town).run.name


def decided(town: Town, name: str, what: str) -> bool:
    return any(decision.what.startswith(what) for decision in town.node(name).plan.decisions)


def test_a_crashed_worker_is_held_during_the_suspicion_and_its_instance_moves_when_the_wait_is_over() -> None:
    town, host = settled()
    town.crash(host)
    other = next(name for name in "abcd" if name != host)
    town.run_until(lambda: decided(town, other, f"hold {host}"))
    held_at = town.now
    assert not decided(town, other, f"evict {host}")
    town.run_until(lambda: town.node(other).plan.assignments[ONE].run.name != host)
    assert town.now - held_at >= WAIT_S * 0.9, "the others hear of the hold a little later than the leader"
    assert decided(town, other, f"evict {host}")
    assert all(citizen.node.counters().get("moves_refused", 0) == 0 for citizen in town.citizens.values())


def test_what_its_own_worker_says_has_ended_moves_without_the_wait() -> None:
    town, host = settled()
    held = held_by(town)
    town.node(host).report(
        Report(instance=ONE, epoch=held.epoch, state=InstanceState.FAILED, cause="out of cheese"), now=town.now
    )
    town.carry_out()
    stopped_at = town.now
    leader = town.run_until_led()
    town.run_until(lambda: town.node(leader).plan.assignments[ONE].epoch > held.epoch)
    assert town.now - stopped_at < WAIT_S / 2


def test_what_another_run_says_of_the_same_instance_and_epoch_is_no_proof() -> None:
    """A newcomer that has met two clusters before it knew either plan brings along what is said in the other one.

    Two clusters with one job are likely to have given the same epochs.
    """
    town, host = settled()
    held = held_by(town)
    foreign = InstanceStatus(
        instance=ONE, epoch=held.epoch, run=Run("e", 1), seq=1_000, state=InstanceState.FAILED, since_ms=0
    )
    for citizen in town.citizens.values():
        citizen.node._rooms.tell_status(foreign)
        citizen.node._settle()
    town.run_for(WAIT_S)
    assert held_by(town) == held
    assert str(ONE) in town[host].running


def test_what_the_council_has_left_out_is_decided_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does while another is about to lead; nothing else may happen that would bring it up again."""
    town = Town("abc")
    leader = town.node(town.run_until_led())
    town.run_for(5.0)
    admit = MoveGuard.admit

    def admit_no_assignment(guard: MoveGuard, changes: Sequence[Change], now: float) -> list[Change]:
        return admit(guard, [change for change in changes if not isinstance(change, Assign)], now)

    monkeypatch.setattr(MoveGuard, "admit", admit_no_assignment)
    town.submit(leader.run.name, job())
    town.run_for(5.0)
    assert ONE not in leader.plan.assignments
    monkeypatch.undo()
    town.run_for(5.0)
    assert ONE in leader.plan.assignments
