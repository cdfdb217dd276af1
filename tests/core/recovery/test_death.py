"""On how much evidence a leader takes a worker for dead: two accusers, from two sites, where there are two."""

from __future__ import annotations

import pytest

from swimstream.model.changes import Evict, Hold
from swimstream.model.identity import Run
from swimstream.model.job import AT_MOST_ONE
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.situations import DOUBT_S, Scene, job, newest


def running(sites: str, *, instances: str = "at-least-one") -> Scene:
    """Return a scene of workers `a`, `b`, `c` ... in these sites, where the instance runs on `a`."""
    workers = [newest(name, site=site) for name, site in zip("abcdef", sites, strict=False)]
    scene = Scene(*workers, jobs=[job(instances=instances)], doubt_s=DOUBT_S)
    scene.decide()
    scene.decide()
    scene.say(InstanceState.RUNNING)
    assert scene.decide() == []
    assert scene.where() == "a"
    return scene


def reason(scene: Scene) -> str:
    """Return why `a` is evicted, or nothing if it is not."""
    found = [change.reason for change in scene.decide() if isinstance(change, Evict)]
    return found[0] if found else ""


@pytest.mark.parametrize(
    ("sites", "accusers"),
    [("xx", ("b",)), ("xxx", ("b", "c")), ("xxy", ("b", "c")), ("xyyy", ("c", "d")), ("xyyz", ("b", "d"))],
)
def test_enough_accusers_decide_at_once(sites: str, accusers: tuple[str, ...]) -> None:
    scene = running(sites)
    scene.becomes("a", MemberState.DEAD, accusers=accusers)
    assert reason(scene) == "declared dead"


@pytest.mark.parametrize(
    ("sites", "accusers", "how"),
    [
        ("xxx", ("b",), "though only one has seen it"),
        ("xxx", (), "though nobody says to have seen it"),
        ("xyyz", ("b", "c"), "though seen from site y only"),
        ("xyyz", ("f", "g"), "though nobody knows from where"),
    ],
)
def test_too_few_are_waited_for_within_a_bound_and_then_it_is_decided_and_told(
    sites: str, accusers: tuple[str, ...], how: str
) -> None:
    scene = running(sites)
    scene.becomes("a", MemberState.DEAD, accusers=accusers)
    assert reason(scene) == ""
    assert scene.recovery.next_deadline() == pytest.approx(scene.now + DOUBT_S)
    scene.now += DOUBT_S
    assert reason(scene) == f"declared dead, {how}"


def test_another_accuser_ends_the_wait() -> None:
    scene = running("xxx")
    scene.becomes("a", MemberState.DEAD, accusers=("b",))
    assert reason(scene) == ""
    scene.becomes("a", MemberState.DEAD, accusers=("b", "c"))
    assert reason(scene) == "declared dead"


def test_a_goodbye_needs_no_accuser() -> None:
    scene = running("xxx")
    scene.becomes("a", MemberState.LEFT)
    assert reason(scene) == "has left"


def test_a_later_run_needs_no_accuser() -> None:
    scene = running("xxx")
    scene.put(newest("a", boot=2, site="x"))
    assert reason(scene) == "a later run is here: a@2"


def test_at_most_one_instances_are_waited_for_from_the_suspicion_on_whatever_the_evidence() -> None:
    scene = running("xxx", instances=AT_MOST_ONE)
    scene.becomes("a", MemberState.SUSPECT, accusers=("b",))
    assert scene.decide() == [Hold(run=Run("a", 1), reason="suspected", evidence=("seen by b",))]


def test_a_death_that_is_in_doubt_releases_nobody() -> None:
    """The wait for the end of a suspect goes on while more accusers are waited for."""
    scene = running("xyz", instances=AT_MOST_ONE)
    scene.becomes("a", MemberState.SUSPECT, accusers=("b",))
    scene.decide()
    scene.becomes("a", MemberState.DEAD, accusers=("b",))
    assert scene.decide() == []
    assert scene.plan.is_held(Run("a", 1))
