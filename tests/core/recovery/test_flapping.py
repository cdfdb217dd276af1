"""A worker that comes and goes is given nothing for a while."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.recovery.flapping import (
    DELAY_SUSPICIONS,
    DELAY_SUSPICIONS_MAX,
    RETURNS,
    WINDOW_SUSPICIONS,
)
from swimstream.model.changes import CORDONED, NORMAL, QUARANTINED, Change, SetWorkerMode
from swimstream.model.identity import Run
from swimstream.model.member import MemberState
from tests.core.recovery.situations import Scene, job, newest

SUSPICION_S = 4.0
FIRST_S = DELAY_SUSPICIONS * SUSPICION_S
APART_S = 10.0


def town() -> Scene:
    """Return five workers that have been seen alive."""
    scene = Scene(*(newest(name) for name in "abcde"))
    scene.decide()
    scene.decide()
    return scene


def comes_and_goes(scene: Scene, name: str, *, times: int = RETURNS, apart_s: float = APART_S) -> list[Change]:
    """Let a worker die and come back as the same run, again and again."""
    made: list[Change] = []
    for _ in range(times):
        scene.becomes(name, MemberState.DEAD)
        made += scene.decide_after(apart_s / 2)
        scene.becomes(name, MemberState.ALIVE)
        made += scene.decide_after(apart_s / 2)
    return made


def modes(changes: list[Change]) -> list[tuple[str, str, int]]:
    return [(each.name, each.mode, each.level) for each in changes if isinstance(each, SetWorkerMode)]


def test_a_worker_that_has_come_back_three_times_is_quarantined() -> None:
    scene = town()
    assert modes(comes_and_goes(scene, "a", times=RETURNS - 1)) == []
    assert modes(comes_and_goes(scene, "a", times=1)) == [("a", QUARANTINED, 1)]
    assert scene.plan.directives.modes["a"].reason == "it came back 3 times within 20 s"


def test_returns_that_lie_far_apart_count_nothing() -> None:
    assert modes(comes_and_goes(town(), "a", times=9, apart_s=WINDOW_SUSPICIONS * SUSPICION_S * 0.6)) == []


def test_a_later_run_of_the_name_is_a_return() -> None:
    scene, made = town(), list[Change]()
    for boot in (2, 3, 4):
        scene.put(newest("a", boot=boot))
        made += scene.decide_after(APART_S)
    assert modes(made) == [("a", QUARANTINED, 1)]


def test_what_it_ran_is_not_given_to_it_in_the_very_decision_that_quarantines_it() -> None:
    """The last return is that of a later run, so that what the former one had is to be placed as well."""
    scene = Scene(*(newest(name) for name in "abcde"), jobs=[job()])
    scene.decide()
    for boot in range(2, 2 + RETURNS):
        assert scene.where() == "a"
        scene.put(newest("a", boot=boot))
        scene.decide_after(APART_S)
    scene.decide()
    assert scene.plan.directives.mode_of("a") == QUARANTINED
    assert scene.where() != "a"


def test_who_says_goodbye_before_may_restart_as_often_as_it_likes() -> None:
    scene, made = town(), list[Change]()
    for boot in range(2, 9):
        scene.becomes("a", MemberState.LEFT)
        made += scene.decide_after(1.0)
        scene.put(newest("a", boot=boot))
        made += scene.decide_after(1.0)
    assert modes(made) == []


def test_a_quarantine_is_over_after_a_while_and_lasts_twice_as_long_the_next_time() -> None:
    scene = town()
    for level, delay_s in ((1, FIRST_S), (2, 2 * FIRST_S), (3, 4 * FIRST_S)):
        comes_and_goes(scene, "a")
        assert scene.plan.directives.modes["a"].mode == QUARANTINED
        scene.decide()
        assert modes(scene.decide_after(delay_s * 0.999)) == []
        assert modes(scene.decide_after(delay_s * 0.002)) == [("a", NORMAL, level)]
        assert scene.plan.directives.mode_of("a") == NORMAL


def test_how_often_it_was_is_forgotten_after_a_long_quiet_time() -> None:
    scene = town()
    comes_and_goes(scene, "a")
    scene.decide()
    scene.decide_after(FIRST_S)
    scene.decide()
    assert modes(scene.decide_after(DELAY_SUSPICIONS_MAX * SUSPICION_S)) == [("a", NORMAL, 0)]
    assert not scene.plan.directives.modes


def test_no_quarantine_lasts_longer_than_the_longest() -> None:
    scene = town()
    scene.commit(SetWorkerMode(name="a", mode=QUARANTINED, level=64, boot=0, reason="", asked_by=""))
    scene.decide()
    assert modes(scene.decide_after(DELAY_SUSPICIONS_MAX * SUSPICION_S)) == [("a", NORMAL, 64)]


def test_a_person_ends_it_at_once_and_it_does_not_come_back_by_itself() -> None:
    scene = town()
    comes_and_goes(scene, "a")
    scene.commit(SetWorkerMode(name="a", mode=NORMAL, level=0, boot=0, reason="", asked_by="b"))
    assert not scene.plan.directives.modes
    assert modes(scene.decide_after(1.0)) == []


def test_whom_a_person_has_cordoned_is_left_as_it_is() -> None:
    scene = town()
    scene.commit(SetWorkerMode(name="a", mode=CORDONED, level=0, boot=0, reason="", asked_by="b"))
    assert modes(comes_and_goes(scene, "a", times=9)) == []


def test_half_of_the_workers_are_always_left() -> None:
    scene, made = town(), list[Change]()
    for _ in range(RETURNS):
        for name in "abcd":
            made += comes_and_goes(scene, name, times=1, apart_s=2.0)
    assert [name for name, _, _ in modes(made)] == ["a", "b"]


def test_a_new_leader_keeps_the_level_and_begins_to_count_anew() -> None:
    scene = town()
    comes_and_goes(scene, "a")
    scene.new_leader()
    scene.decide()
    assert modes(scene.decide_after(FIRST_S)) == [("a", NORMAL, 1)]
    assert modes(comes_and_goes(scene, "a", times=RETURNS - 1)) == []
    assert modes(comes_and_goes(scene, "a", times=1)) == [("a", QUARANTINED, 2)]


@pytest.mark.parametrize("state", [MemberState.ALIVE, MemberState.SUSPECT])
def test_a_suspicion_alone_is_no_return(state: MemberState) -> None:
    scene, made = town(), list[Change]()
    for _ in range(9):
        scene.becomes("a", MemberState.SUSPECT)
        made += scene.decide_after(1.0)
        scene.put(attrs.evolve(scene.members["a"], state=state, run=Run("a", 1)))
        made += scene.decide_after(1.0)
    assert modes(made) == []
