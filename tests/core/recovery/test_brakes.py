"""What vanishes together is left alone for a while, since it may well come back; then it is moved at a pace."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.recovery.brakes import HOLD_SUSPICIONS, MOVES_PER_WORKER_S, WINDOW_SUSPICIONS, outages
from swimstream.core.recovery.pending import pending
from swimstream.model.changes import Assign, Change, DeclareDead, Evict, Release
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_MOST_ONE
from swimstream.model.member import Member, MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.situations import WAIT_S, Scene, assigns, instance, job, newest

SUSPICION_S = 4.0
HOLD_S = HOLD_SUSPICIONS * SUSPICION_S
WINDOW_S = WINDOW_SUSPICIONS * SUSPICION_S
EDGE = "abcd"


def settle(scene: Scene) -> list[Change]:
    """Decide until nothing is left to do now, each worker taking up what it is given; return all that was decided."""
    made: list[Change] = []
    for _ in range(20):
        changes = scene.decide()
        for each in assigns(changes):
            scene.say(InstanceState.RUNNING, which=each.instance)
        made += changes
        if not changes:
            return made
    raise AssertionError("it never comes to rest")


def two_sites(*, instances: str = "at-least-one", parallelism: int = 12) -> Scene:
    """Return four workers at an edge and eight at home, with an instance on each."""
    workers = [newest(name, site="edge") for name in EDGE] + [newest(name, site="home") for name in "efghijkl"]
    scene = Scene(*workers, jobs=[job(instances=instances, parallelism=parallelism)])
    settle(scene)
    return scene


def held_at(scene: Scene, names: str) -> list[InstanceId]:
    """Return the instances that these workers have, sorted."""
    return sorted(each for each, held in scene.plan.assignments.items() if held.run.name in names)


def vanish(scene: Scene, names: str, *, state: MemberState = MemberState.DEAD) -> list[Change]:
    for name in names:
        scene.becomes(name, state)
    return settle(scene)


def evicted(changes: list[Change]) -> list[str]:
    return [each.run.name for each in changes if isinstance(each, Evict)]


def records(**sites: str) -> list[Member]:
    """Return members of sites: a letter for each, in upper case if it is dead."""
    return [
        newest(f"{site}-{place}", site=site, state=MemberState.DEAD if letter.isupper() else MemberState.ALIVE)
        for site, letters in sites.items()
        for place, letter in enumerate(letters)
    ]


@pytest.mark.parametrize(
    ("members", "held"),
    [
        (records(only="Aaa"), 0),
        (records(only="Aa"), 0),
        (records(only="A"), 0),
        (records(edge="AA", home="aaaa"), 2),
        (records(edge="AAa", home="aaaa"), 2),
        (records(edge="AAaaa", home="aaaa"), 0),
        (records(edge="A", home="aaaa"), 0),
        (records(one="Aaaa", two="Aaaa", three="Aaa"), 0),
        (records(one="Aaa", two="Aaa", three="Aaa"), 3),
        (records(one="A", two="A", three="a", four="a", five="a"), 0),
    ],
)
def test_half_a_site_or_a_third_of_all_is_an_outage_and_one_or_two_workers_are_not(
    members: list[Member], held: int
) -> None:
    assert len(outages(members, suspicion_s=SUSPICION_S)) == held


def test_who_has_left_is_no_part_of_an_outage() -> None:
    left = [attrs.evolve(each, state=MemberState.LEFT) for each in records(edge="AAAA")]
    assert not outages([*left, *records(home="Aaaa")], suspicion_s=SUSPICION_S)


def test_deaths_that_lie_far_apart_are_no_outage() -> None:
    first, second, *others = records(edge="AAa", home="aa")
    apart = attrs.evolve(second, since=first.since + WINDOW_S * 1.001)
    assert not outages([first, apart, *others], suspicion_s=SUSPICION_S)
    together = attrs.evolve(second, since=first.since + WINDOW_S)
    assert len(outages([first, together, *others], suspicion_s=SUSPICION_S)) == 2


def test_the_first_of_a_site_to_be_declared_dead_is_held_since_the_others_are_suspected() -> None:
    scene = two_sites()
    vanish(scene, "bcd", state=MemberState.SUSPECT)
    assert not assigns(vanish(scene, "a"))


def test_one_death_in_a_small_cluster_is_acted_on_at_once() -> None:
    scene = Scene(*(newest(name) for name in "abc"), jobs=[job(parallelism=3)])
    settle(scene)
    assert evicted(vanish(scene, "a")) == ["a"]


def test_what_a_lost_site_ran_is_left_alone_for_a_while_and_it_is_said_why() -> None:
    scene = two_sites()
    lost = held_at(scene, EDGE)
    assert not [each for each in vanish(scene, EDGE) if isinstance(each, Assign | Evict)]
    scene.decide_after(HOLD_S * 0.5)
    reasons = pending(scene.plan, scene.members, waits=scene.recovery.waits, now=scene.now)
    assert sorted(reasons) == lost
    assert set(reasons.values()) == {"held: 4 of 4 workers of site edge vanished together (10.0 s left)"}
    assert scene.recovery.next_deadline() == scene.now + HOLD_S * 0.5


def test_a_site_that_comes_back_in_time_goes_on_where_it_was() -> None:
    scene = two_sites()
    epochs = {which: held.epoch for which, held in scene.plan.assignments.items()}
    vanish(scene, EDGE)
    scene.now += HOLD_S * 0.9
    made = vanish(scene, EDGE, state=MemberState.ALIVE)
    assert {type(each) for each in made} == {Release}
    scene.now += 10 * HOLD_S
    assert settle(scene) == []
    assert {which: held.epoch for which, held in scene.plan.assignments.items()} == epochs


def test_when_the_first_of_a_site_are_back_the_last_is_still_waited_for() -> None:
    scene = two_sites()
    vanish(scene, EDGE)
    scene.now += HOLD_S * 0.5
    assert not evicted(vanish(scene, "abc", state=MemberState.ALIVE))
    scene.now += HOLD_S * 0.5
    assert evicted(settle(scene)) == ["d"]


def test_a_death_beside_a_suspicion_that_is_refuted_is_acted_on() -> None:
    scene = Scene(*(newest(name) for name in "abc"), jobs=[job(parallelism=3)])
    settle(scene)
    vanish(scene, "b", state=MemberState.SUSPECT)
    assert not evicted(vanish(scene, "a"))
    assert evicted(vanish(scene, "b", state=MemberState.ALIVE)) == ["a"]


def test_a_site_that_stays_away_is_given_up_and_what_it_ran_moves() -> None:
    scene = two_sites()
    lost = held_at(scene, EDGE)
    vanish(scene, EDGE)
    scene.now += HOLD_S
    made = settle(scene)
    assert evicted(made) == list(EDGE)
    assert sorted(each.instance for each in assigns(made)) == lost


def test_a_leader_that_takes_over_in_the_midst_holds_it_as_long() -> None:
    scene = two_sites()
    lost = held_at(scene, EDGE)
    vanish(scene, EDGE)
    scene.now += HOLD_S * 0.9
    scene.new_leader()
    assert not assigns(settle(scene))
    scene.now += HOLD_S * 0.1
    assert len(assigns(settle(scene))) == len(lost)


def test_at_most_one_instances_are_waited_for_during_the_outage_and_not_after_it() -> None:
    scene = two_sites(instances=AT_MOST_ONE)
    lost = held_at(scene, EDGE)
    vanish(scene, EDGE)
    assert scene.plan.is_held(Run("a", 1))
    scene.now += max(HOLD_S, WAIT_S)
    assert len(assigns(settle(scene))) == len(lost)


def test_what_its_surviving_peer_has_reported_is_not_waited_for() -> None:
    scene = two_sites()
    for name in EDGE:
        scene.becomes(name, MemberState.DEAD)
    scene.say(InstanceState.FAILED, which=instance(1), cause="worker process was killed by SIGKILL")
    made = settle(scene)
    assert [each.instance for each in assigns(made)] in ([], [instance(1)])
    scene.now += 1.0
    made += settle(scene)
    assert [each.instance for each in assigns(made)] == [instance(1)]


def test_a_later_run_of_the_name_is_not_waited_for() -> None:
    scene = two_sites()
    there = held_at(scene, "a")
    vanish(scene, EDGE)
    scene.put(newest("a", site="edge", boot=5_000))
    assert sorted(each.instance for each in assigns(settle(scene))) == there


def test_a_person_who_declares_one_dead_ends_the_wait_for_it() -> None:
    scene = two_sites()
    there = held_at(scene, "b")
    vanish(scene, EDGE)
    scene.commit(DeclareDead(run=Run("b", 1), asked_by="e"))
    assert sorted(each.instance for each in assigns(settle(scene))) == there


def test_after_an_outage_so_many_move_in_each_second_as_the_live_workers_take() -> None:
    scene = two_sites(parallelism=120)
    vanish(scene, EDGE)
    scene.now += HOLD_S
    a_second = int(MOVES_PER_WORKER_S * 8)
    moved = len(assigns(settle(scene)))
    assert moved == a_second
    for _ in range(4):
        before = scene.now
        while scene.now < before + 1.0:
            scene.now = scene.recovery.next_deadline()
            made = len(assigns(settle(scene)))
            assert made <= a_second
            moved += made
            if moved == 40:
                return
    raise AssertionError(f"only {moved} of 40 have moved in 4 s")
