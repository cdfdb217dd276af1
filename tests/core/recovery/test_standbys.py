"""Who keeps an instance warm is in the plan, changes only when it must, and is promoted before all others."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.recovery.placement import Places
from swimstream.core.recovery.places import places_in
from swimstream.model.changes import CORDONED, DRAINING, Assign, CancelJob, Evict, Quarantine, SetStandbys, UpdateJob
from swimstream.model.identity import Run
from swimstream.model.job import APART_SITE, APART_WORKER, AT_LEAST_ONE, AT_MOST_ONE, JobSpec
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.lively import Lively
from tests.core.recovery.situations import WAIT_S, instance, job, newer, newest, the_assign


def warm(*, standby: int = 1, parallelism: int = 1, instances: str = AT_LEAST_ONE, apart: str = "") -> JobSpec:
    (spec,) = job(parallelism=parallelism, instances=instances).operators
    return JobSpec(name="job", operators=(attrs.evolve(spec, standby=standby, anti_affinity=apart),))


def scene(*names: str, spec: JobSpec | None = None, capacity: int = 64) -> Lively:
    """A settled scene; the first letter of a worker's name is its site."""
    made = Lively(*(newest(name, capacity=capacity, site=name[0]) for name in names), jobs=[spec or warm()])
    made.settle()
    return made


def standbys(here: Lively, index: int = 0) -> list[str]:
    return [run.name for run in here.plan.directives.standbys.get(instance(index), ())]


@pytest.mark.parametrize("standby", [1, 2])
def test_so_many_others_keep_an_instance_warm_as_its_operator_says(standby: int) -> None:
    here = scene("a1", "a2", "a3", "a4", spec=warm(standby=standby))
    assert len(standbys(here)) == standby
    assert here.where() not in standbys(here)


def at_home(*, standby: int = 1) -> JobSpec:
    """Return a job that prefers site a."""
    (spec,) = warm(standby=standby).operators
    return JobSpec(name="job", operators=(attrs.evolve(spec, prefer_site="a"),))


def test_a_worker_in_another_site_stands_by_before_one_in_its_own_even_if_that_is_preferred() -> None:
    here = scene("a1", "a2", "b1", spec=at_home())
    assert (here.where(), standbys(here)) == ("a1", ["b1"])


def test_one_in_its_own_site_stands_by_if_there_is_no_other() -> None:
    here = scene("a1", "a2")
    assert {here.where(), *standbys(here)} == {"a1", "a2"}


def test_an_instance_that_wants_none_has_none() -> None:
    assert not standbys(scene("a1", "a2", spec=warm(standby=0)))


def test_nothing_changes_as_long_as_the_standbys_can_stay() -> None:
    here = scene("a1", "a2", "b1", "b2")
    here.put(newest("c1", site="c"))
    assert here.settle() == []


def test_a_suspected_standby_keeps_its_part() -> None:
    here = scene("a1", "b1", "c1")
    here.becomes(standbys(here)[0], MemberState.SUSPECT)
    assert here.settle() == []


@pytest.mark.parametrize("mode", [CORDONED, DRAINING])
def test_a_standby_that_is_given_nothing_new_is_replaced(mode: str) -> None:
    here = scene("a1", "b1", "c1")
    (former,) = standbys(here)
    here.set_mode(former, mode)
    here.settle()
    assert standbys(here) == [({"a1", "b1", "c1"} - {former, here.where()}).pop()]


def test_a_standby_that_is_gone_is_replaced() -> None:
    here = scene("a1", "b1", "c1")
    (former,) = standbys(here)
    here.commit(Evict(run=Run(former, 1), reason="gone", evidence=()))
    (change,) = here.settle()
    assert isinstance(change, SetStandbys)
    assert change.reason == f"{former} cannot keep it warm any more"
    assert standbys(here) == [({"a1", "b1", "c1"} - {former, here.where()}).pop()]


def test_a_place_that_becomes_free_is_taken() -> None:
    here = scene("a1")
    assert not standbys(here)
    here.put(newest("b1", site="b"))
    here.settle()
    assert standbys(here) == ["b1"]


def test_standbys_take_slots_from_each_other() -> None:
    here = scene("a1", spec=warm(parallelism=3))
    here.put(newest("b1", site="b", capacity=2))
    here.settle()
    assert [standbys(here, index) for index in range(3)] == [["b1"], ["b1"], []]
    here.put(newest("b1", site="b", capacity=1))
    here.settle()
    assert [standbys(here, index) for index in range(3)] == [["b1"], [], []]


def test_what_keeps_warm_gives_way_to_what_runs() -> None:
    here = scene("a1", "b1", capacity=1)
    assert standbys(here)
    here.submit(attrs.evolve(job("other")))
    here.settle()
    assert set(here.running().values()) == {"a1", "b1"}
    assert not standbys(here)


def test_one_that_must_be_apart_from_its_like_may_stand_by_where_none_of_them_is() -> None:
    here = scene("a1", "b1", "c1", spec=warm(parallelism=2, apart=APART_WORKER))
    free = ({"a1", "b1", "c1"} - set(here.running().values())).pop()
    assert [standbys(here, 0), standbys(here, 1)] == [[free], [free]]


def test_an_instance_keeps_nobody_from_standing_by_for_itself() -> None:
    here = scene("a1", "a2", spec=warm(apart=APART_SITE))
    assert {here.where(), *standbys(here)} == {"a1", "a2"}
    assert here.settle() == []


def test_who_keeps_it_warm_is_preferred_only_for_what_has_to_move() -> None:
    here = scene("a1", "a2", "b1", spec=at_home())
    places = places_in(here.situation())
    places.free(instance(), Run("a1", 1))
    chosen = [places.choose(instance(), has_to_move=has_to_move).run for has_to_move in (True, False)]
    assert chosen == [Run("b1", 1), Run("a1", 1)]


def test_a_suspect_goes_where_it_is_apart_from_other_suspects_and_not_where_it_is_warm() -> None:
    here = scene("a1", "a2", "b1", spec=at_home())
    places = Places(here.plan, here.members.values(), suspects=(instance(),))
    places.free(instance(), Run("a1", 1))
    assert places.choose(instance()).run == Run("a1", 1)


def test_when_its_worker_dies_it_goes_on_where_it_is_warm_above_all_scores() -> None:
    here = scene("a1", "b1", "c1", "d1")
    (former,) = standbys(here)
    for name in sorted({"a1", "b1", "c1", "d1"} - {former, here.where()}):
        here.put(newest(name, site=name[0], capacity=1_000))  # less loaded
    here.submit(attrs.evolve(job("more", parallelism=4)))
    here.settle()
    before = here.epoch()
    here.becomes(here.where(), MemberState.DEAD, accusers=("b1", "c1", "d1", "a1"))
    here.settle()
    assert here.where() == former
    assert here.epoch() > before
    assert former not in standbys(here)
    assert len(standbys(here)) == 1


def test_the_promotion_says_why() -> None:
    here = scene("a1", "b1")
    (former,) = standbys(here)
    here.becomes(here.where(), MemberState.DEAD, accusers=(former,))
    made = the_assign(here.decide())
    assert made.run.name == former
    assert made.evidence[0].startswith("keeps it warm, ")


def test_a_standby_that_fails_a_filter_meanwhile_is_not_promoted() -> None:
    here = scene("a1", "b1", "c1")
    (former,) = standbys(here)
    here.put(newest(former, site=former[0], kinds=("other",)))
    here.becomes(here.where(), MemberState.DEAD, accusers=("a1", "b1", "c1"))
    assert the_assign(here.decide()).run.name != former


def test_a_drained_worker_hands_over_to_who_keeps_it_warm() -> None:
    here = scene("a1", "b1", "c1")
    (former,) = standbys(here)
    here.set_mode(here.where(), DRAINING)
    made = the_assign(here.decide())
    assert (made.run.name, made.handover) == (former, True)


def test_what_may_run_once_is_promoted_only_after_the_wait_that_any_move_has() -> None:
    here = scene("a1", "b1", "c1", spec=warm(instances=AT_MOST_ONE))
    (former,) = standbys(here)
    holder, before = here.where(), here.epoch()
    here.becomes(holder, MemberState.DEAD, accusers=("a1", "b1", "c1"))
    here.decide()
    assert (here.where(), here.epoch()) == (holder, before), "it may still act"
    here.decide_after(WAIT_S + 1)
    assert here.where() == former
    assert here.epoch() > before


def test_a_failure_that_is_to_be_tried_elsewhere_goes_to_who_keeps_it_warm() -> None:
    here = scene("a1", "b1", "c1", "d1")
    (former,) = standbys(here)
    holder = here.where()
    for _ in range(50):
        if here.where() != holder:
            break
        here.say(InstanceState.FAILED, cause="boom")
        here.settle()
        here.decide_after(120.0)
    assert here.where() == former


def test_what_nobody_wants_any_more_is_not_kept_warm() -> None:
    here = scene("a1", "b1", spec=warm())
    here.commit(Quarantine(instance=instance(), epoch=here.epoch(), reason="poison", evidence=()))
    here.settle()
    assert not standbys(here)


def test_an_update_that_wants_fewer_lets_them_go() -> None:
    here = scene("a1", "b1", "c1", "d1", spec=warm(standby=2))
    first = standbys(here)[0]
    here.commit(UpdateJob(job=warm(standby=1), base=0, asked_by="t"))
    here.settle()
    assert len(standbys(here)) == 1
    assert first in [*standbys(here), here.where()]


def test_a_cancelled_job_has_no_standbys() -> None:
    here = scene("a1", "b1")
    here.commit(CancelJob(job="job", asked_by="t"))
    here.settle()
    assert not here.plan.directives.standbys


def test_nothing_is_proposed_that_an_older_worker_would_not_understand() -> None:
    here = Lively(newest("a1"), newest("b1"), newer("c1"), jobs=[warm()])
    here.settle()
    assert not here.plan.directives.standbys


def test_a_list_is_not_touched_while_anything_else_is_to_be_decided() -> None:
    here = scene("a1", "b1", "c1")
    here.set_mode(standbys(here)[0], CORDONED)
    here.submit(job("other"))
    assert [type(change) for change in here.decide()] == [Assign]
    assert [type(change) for change in here.decide()] == [SetStandbys]


def test_an_instance_that_nobody_has_is_placed_before_anything_is_kept_warm() -> None:
    here = Lively(newest("a1"), newest("b1"), jobs=[warm(parallelism=2)])
    assert not any(isinstance(change, SetStandbys) for change in here.decide())
