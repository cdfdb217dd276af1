"""The judge of freezes, and a few in earnest."""

from __future__ import annotations

import attrs
import pytest

from chaos.freeze.judge import Heard, Verdict, judge
from chaos.freeze.run import line, report
from chaos.freeze.scene import START_S, Observer, freeze
from chaos.freeze.worker import NAME
from swimstream.events import InstanceChanged, MemberChanged
from swimstream.model.identity import InstanceId, Run
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.runtime.subscriptions import Subscriptions
from tests.worlds.views import member

HOLDS = [(10.0, 12.0), (14.0, 16.0)]
APART = "job/apart[0]"
INSIDE = "job/busy[0]"


def judged(*heard: Heard, isolation: str = "process", deaths: int = 0) -> Verdict:
    return judge(isolation, HOLDS, heard, apart=APART, suspicions=0, deaths=deaths)


BOTH = (Heard(INSIDE, 11.0), Heard(INSIDE, 11.1), Heard(INSIDE, 15.5))


def test_freezes_that_were_told_while_they_lasted_are_well_told() -> None:
    verdict = judged(*BOTH)
    assert (verdict.told, verdict.told_late, verdict.missed, verdict.delay_s_max) == (2, 0, 0, 1.5)
    assert verdict.ok


@pytest.mark.parametrize(("at", "late", "missed"), [(16.5, 1, 0), (13.0, 0, 1)])
def test_a_freeze_that_was_told_late_or_never_is_not_well_told_by_a_peer_apart(
    at: float, late: int, missed: int
) -> None:
    verdict = judged(Heard(INSIDE, 11.0), Heard(INSIDE, at))
    assert (verdict.told, verdict.told_late, verdict.missed, verdict.ok) == (1, late, missed, False)
    assert judged(Heard(INSIDE, 11.0), Heard(INSIDE, at), isolation="thread").ok


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_death_is_never_well_told(isolation: str) -> None:
    assert not judged(*BOTH, isolation=isolation, deaths=1).ok


def test_what_runs_in_a_process_of_its_own_does_not_freeze() -> None:
    verdict = judged(*BOTH, Heard(APART, 11.0))
    assert (verdict.wrong, verdict.ok) == (1, False)


@pytest.mark.parametrize("at", [9.0, 21.5])
def test_a_freeze_without_one_is_baseless(at: float) -> None:
    verdict = judged(*BOTH, Heard(INSIDE, at))
    assert (verdict.baseless, verdict.ok) == (1, False)


def test_only_a_peer_apart_is_judged_and_every_mode_is_shown() -> None:
    good = judged(*BOTH)
    bad = attrs.evolve(good, isolation="thread", deaths=3)
    assert report([good, bad])["ok"]
    assert not report([attrs.evolve(bad, isolation="process")])["ok"]
    assert "taken for dead 3" in line(bad)


def test_an_observer_counts_what_it_is_told_of_the_worker_that_freezes() -> None:
    told = Subscriptions()
    observer = Observer(told.subscribe())
    frozen = InstanceStatus(
        instance=InstanceId("job", "busy", 0), epoch=1, run=Run(NAME, 1), seq=1, state=InstanceState.FROZEN, since_ms=0
    )
    for name in (NAME, "another"):
        for state in (MemberState.SUSPECT, MemberState.DEAD):
            told.publish(MemberChanged(member(name, state=state)))
    told.publish(InstanceChanged(attrs.evolve(frozen, state=InstanceState.RUNNING)))
    told.publish(InstanceChanged(frozen))
    told.end()
    observer._thread.join(START_S)
    assert (observer.suspicions, observer.deaths, [each.instance for each in observer.heard]) == (1, 1, [INSIDE])


def test_a_worker_that_keeps_its_interpreter_for_seconds_is_not_taken_for_dead() -> None:
    """That each freeze is told as well, a machine that is busy may deny: tests/runtime/test_peer_process.py waits."""
    verdict = freeze("process", holds=2, hold_s=2.0, pause_s=0.5)
    assert (verdict.holds, verdict.deaths, verdict.wrong) == (2, 0, 0)
