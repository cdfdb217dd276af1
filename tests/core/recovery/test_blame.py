"""Poison: who was running on workers that crash, and when that is too much for chance."""

from __future__ import annotations

from random import Random

import pytest

from swimstream.core.boots import RAISE_MS_MAX
from swimstream.core.recovery.blame import LATER_RUN, SAME_PROCESS, streak_needed, suspects
from swimstream.model.changes import Blame, Change, DeclareDead, Evict, Pardon, Proof, Quarantine
from swimstream.model.directives import Blamed
from swimstream.model.identity import Run
from swimstream.model.member import MemberState
from swimstream.model.status import ErrorClass, InstanceState
from tests.core.recovery.situations import Scene, assigns, instance, job, member, newest

SEGV = "worker process was killed by SIGSEGV"
LATER_MS = RAISE_MS_MAX + 1
NAMES = "abcdef"


def town(*, parallelism: int = 12, names: str = NAMES) -> Scene:
    """Return workers on which everything runs, two instances on each of six, and one that runs nothing."""
    members = [newest(name) for name in names]
    scene = Scene(*members, newest("z", kinds=()), jobs=[job(parallelism=parallelism)])
    settle(scene)
    return scene


def settle(scene: Scene, *, starting: tuple[int, ...] = ()) -> list[Change]:
    """Decide until nothing is left to do, each worker taking up what it is given; return all that was decided."""
    made: list[Change] = []
    for _ in range(20):
        changes = scene.decide()
        for each in assigns(changes):
            begun = InstanceState.STARTING if each.instance.index in starting else InstanceState.RUNNING
            scene.say(begun, which=each.instance)
        made += changes
        if not changes:
            return made
    raise AssertionError("it never comes to rest")


def hosted(scene: Scene, name: str) -> list[int]:
    return [each.index for each in sorted(scene.plan.assignments) if scene.plan.assignments[each].run.name == name]


def last_words(scene: Scene, name: str, cause: str = SEGV) -> None:
    """Let the peer of a worker whose process has ended report what ran there."""
    for index in hosted(scene, name):
        scene.say(InstanceState.FAILED, which=instance(index), cause=cause, error=ErrorClass.INFRASTRUCTURE)
    scene.becomes(name, MemberState.LEFT)


def comes_back(scene: Scene, name: str, *, after_ms: int = LATER_MS) -> list[Change]:
    """Let a later run of a worker join."""
    scene.put(newest(name, boot=scene.members[name].run.boot + after_ms))
    return settle(scene)


def dies(scene: Scene, name: str) -> list[Change]:
    """Let a worker be declared dead, alone: long after whatever happened before."""
    scene.now += 100.0
    scene.becomes(name, MemberState.DEAD)
    return settle(scene)


def blames(changes: list[Change]) -> list[tuple[Proof, list[int]]]:
    return [(each.proof, [one.index for one in each.instances]) for each in changes if isinstance(each, Blame)]


def quarantined(scene: Scene) -> list[int]:
    return [each.index for each in sorted(scene.plan.directives.quarantined)]


def blamed(scene: Scene, index: int) -> Blamed:
    return scene.plan.directives.blame.get(instance(index), Blamed(deaths=0, weight_ppm=0))


# --- its peer has survived it ---------------------------------------------------------------------


def test_who_ran_on_a_worker_that_crashed_shares_the_blame() -> None:
    scene = town()
    there = hosted(scene, "a")
    last_words(scene, "a")
    made = settle(scene)
    assert blames(made) == [(Proof.CRASHED, there)]
    assert blamed(scene, there[0]) == Blamed(deaths=1, weight_ppm=500_000, crashes=(Run("a", 1),))


def test_the_first_of_the_last_words_is_enough_to_know_who_shares_it() -> None:
    scene = town()
    there = hosted(scene, "a")
    scene.say(InstanceState.FAILED, which=instance(there[0]), cause=SEGV, error=ErrorClass.INFRASTRUCTURE)
    made = settle(scene)
    last_words(scene, "a")
    assert blames(made + settle(scene)) == [(Proof.CRASHED, there)]


def test_what_was_only_starting_is_not_blamed() -> None:
    scene = Scene(newest("a"), newest("z", kinds=()), jobs=[job(parallelism=2)])
    settle(scene, starting=(1,))
    last_words(scene, "a")
    assert blames(settle(scene)) == [(Proof.CRASHED, [0])]


@pytest.mark.parametrize("how", ["was killed by SIGKILL", "was killed by SIGTERM", "has ended without a goodbye"])
def test_a_kill_by_somebodys_hand_blames_nobody(how: str) -> None:
    scene = town()
    last_words(scene, "a", f"worker process {how}")
    assert blames(settle(scene)) == []


def test_what_an_operator_says_of_itself_is_no_peers_word() -> None:
    scene = town()
    scene.say(InstanceState.FAILED, cause=SEGV)
    assert blames(settle(scene)) == []


def test_a_crash_is_judged_before_anything_of_it_is_executed_again() -> None:
    scene = town()
    last_words(scene, "a")
    assert [type(each) for each in scene.decide()] == [Blame]


def test_a_crash_is_judged_once_whoever_leads() -> None:
    scene = town()
    last_words(scene, "a")
    scene.decide()
    scene.new_leader()
    assert blames(settle(scene)) == []
    assert {held.deaths for held in scene.plan.directives.blame.values()} == {1}


def test_two_crashes_convict_who_was_alone_in_one() -> None:
    scene = town(parallelism=1, names="ab")
    for name in ("a", "b"):
        assert quarantined(scene) == []
        last_words(scene, name)
        settle(scene)
        comes_back(scene, name)
    assert quarantined(scene) == [0]
    decision = next(each for each in scene.plan.decisions if each.what.startswith("quarantine"))
    assert decision.reason == "2 workers crashed with it, 2.00 of the blame is its own"
    assert decision.evidence == ("it ran on a@1 when that ended", "it ran on b@1 when that ended")


def test_of_one_worker_two_crashes_in_a_row_count() -> None:
    scene = town(parallelism=3, names="a")
    for _ in range(6):
        last_words(scene, "a")
        settle(scene)
        comes_back(scene, "a")
    assert quarantined(scene) == []
    assert blamed(scene, 0).deaths == 2


# --- it was given up, and came back ---------------------------------------------------------------


def test_a_death_blames_nobody_as_long_as_nothing_proves_how_it_ended() -> None:
    scene = town()
    there = hosted(scene, "a")
    assert blames(dies(scene, "a")) == [(Proof.NONE, there)]
    assert not scene.plan.directives.blame


def test_a_later_run_without_a_goodbye_tells_that_the_one_before_has_ended() -> None:
    scene = town()
    there = hosted(scene, "a")
    dies(scene, "a")
    assert blames(comes_back(scene, "a")) == [(Proof.ENDED, there)]
    assert [blamed(scene, each).streak for each in there] == [1, 1]
    assert not scene.plan.directives.lost


def test_so_it_does_when_it_comes_before_the_death_is_known() -> None:
    scene = town()
    there = hosted(scene, "a")
    assert blames(comes_back(scene, "a")) == [(Proof.NONE, there), (Proof.ENDED, there)]


def test_who_was_only_cut_off_and_goes_on_as_a_later_run_is_no_crash() -> None:
    scene = town()
    dies(scene, "a")
    assert blames(comes_back(scene, "a", after_ms=RAISE_MS_MAX)) == [(Proof.ENDED, [])]
    assert not scene.plan.directives.blame
    assert [each.reason for each in scene.plan.decisions if "blame" in each.what] == [SAME_PROCESS]
    assert blames(comes_back(scene, "a")) == []


def test_who_has_left_blames_nobody() -> None:
    scene = town()
    scene.becomes("a", MemberState.LEFT)
    assert blames(settle(scene) + comes_back(scene, "a")) == []


def test_who_was_declared_dead_by_a_person_blames_nobody() -> None:
    scene = town()
    scene.becomes("a", MemberState.DEAD)
    scene.commit(DeclareDead(run=Run("a", 1), asked_by="b"))
    assert blames(settle(scene) + comes_back(scene, "a")) == []


def test_many_that_vanish_together_blame_nobody() -> None:
    scene = town()
    for name in "abc":
        scene.becomes(name, MemberState.DEAD)
    scene.now += 60.0
    made = settle(scene)
    assert len([each for each in made if isinstance(each, Evict)]) == 3
    assert blames(made) == []


@pytest.mark.parametrize("committed", range(1, 6))
def test_a_later_run_is_judged_once_whatever_was_committed_when_the_leader_died(committed: int) -> None:
    scene = town()
    there = hosted(scene, "a")
    scene.put(newest("a", boot=1 + LATER_MS))
    scene.commit(*scene.recovery.decide(scene.situation())[:committed])
    scene.new_leader()
    made = settle(scene)
    assert [each for each in blames(made) if each[0] is Proof.ENDED] == [(Proof.ENDED, there)]


def test_a_streak_on_one_worker_after_the_other_convicts_and_only_who_was_on_all_of_them() -> None:
    scene = town()
    needed = streak_needed(len(NAMES))
    assert needed == 6
    for crash in range(int(needed)):
        assert quarantined(scene) == []
        name = scene.where(instance(0))
        scene.now += 100.0
        made = dies(scene, name) + comes_back(scene, name)
        assert LATER_RUN in [each.reason for each in made if isinstance(each, Blame)], crash
    assert quarantined(scene) == [0]


def test_a_worker_that_ends_without_it_halves_the_streak() -> None:
    scene = town()
    for _ in range(3):
        name = scene.where(instance(0))
        dies(scene, name)
        comes_back(scene, name)
    assert blamed(scene, 0).streak == 3
    name = next(each for each in NAMES if hosted(scene, each) and 0 not in hosted(scene, each))
    dies(scene, name)
    comes_back(scene, name)
    assert blamed(scene, 0).streak == 1


def test_a_worker_that_flaps_counts_once_in_a_streak() -> None:
    scene = town(parallelism=2, names="a")
    for _ in range(9):
        dies(scene, "a")
        comes_back(scene, "a")
    assert blamed(scene, 0).streak == 1


@pytest.mark.parametrize("seed", range(4))
def test_kills_at_random_convict_nobody(seed: int) -> None:
    """Every instance loses its worker more than ten times on the way."""
    scene, rng = town(), Random(seed)
    for _ in range(80):
        name = rng.choice(NAMES)
        dies(scene, name)
        comes_back(scene, name)
    assert quarantined(scene) == []


@pytest.mark.parametrize(("workers", "needed"), [(1, float("inf")), (2, 14), (3, 9), (6, 6), (20, 4), (1_000, 2)])
def test_the_fewer_workers_the_longer_a_streak_may_be_chance(workers: int, needed: float) -> None:
    assert streak_needed(workers) == needed


# --- suspects -------------------------------------------------------------------------------------


def test_who_is_to_blame_for_a_crash_is_a_suspect_and_who_ran_where_one_worker_ended_is_not() -> None:
    scene = town()
    crashed, ended = hosted(scene, "a"), hosted(scene, "b")
    last_words(scene, "a")
    settle(scene)
    dies(scene, "b")
    comes_back(scene, "b")
    assert suspects(scene.plan) == {instance(index) for index in crashed}
    assert all(blamed(scene, index).streak == 1 for index in ended)


def test_nothing_is_held_against_what_has_run_well_for_long() -> None:
    scene = town()
    there = hosted(scene, "a")
    last_words(scene, "a")
    settle(scene)
    assert scene.decide_after(599.0) == []
    assert scene.decide_after(1.0) == [Pardon(instance=instance(index), asked_by="") for index in there]
    assert not scene.plan.directives.blame


def test_a_convicted_instance_is_executed_no_more() -> None:
    scene = town(parallelism=1, names="abc")
    for name in ("a", "b"):
        last_words(scene, name)
        settle(scene)
    assert not assigns(settle(scene))
    assert scene.plan.assignments[instance(0)].revoked


def test_nobody_is_blamed_or_quarantined_while_an_older_worker_lives() -> None:
    scene = town()
    scene.put(member("z"))
    last_words(scene, "a")
    made = settle(scene) + dies(scene, "b")
    assert not [each for each in made if isinstance(each, Blame | Quarantine)]
