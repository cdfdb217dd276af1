"""The whole participant: founding to recovery, other clusters, evictions, goodbyes, jobs."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.effects import Saved
from swimstream.events import Decided, ForeignCluster, LeaderChanged, Superseded
from swimstream.model.member import MemberState, Profile
from swimstream.model.status import InstanceState
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.messages import Alive, Header, SyncDigest
from tests.core.council.peers import FakeDisk
from tests.core.town import Town, address_of, job, run_in

INSTANCE = "job/op[0]"


def with_job(names: str = "abc", *, parallelism: int = 1) -> Town:
    """Return a town where `job` runs."""
    town = Town(names)
    leader = town.run_until_led()
    town.submit(leader, job(parallelism=parallelism))
    town.run_until(lambda: any(citizen.running for citizen in town.citizens.values()))
    town.run_until_led()
    return town


def holder(town: Town) -> str:
    (name,) = (name for name, citizen in town.citizens.items() if citizen.is_up and INSTANCE in citizen.running)
    return name


# --- beginning ------------------------------------------------------------------------------------


def test_workers_find_each_other_and_elect_one_leader() -> None:
    town = Town("abc")
    leader = town.run_until_led()
    assert leader == "a"
    assert {town.node(name).plan.cluster_id for name in "abc"} == {town.node("a").plan.cluster_id}
    assert town.node("b").plan == town.node("a").plan


def test_a_worker_alone_is_a_cluster_of_one() -> None:
    town = Town("a")
    assert town.run_until_led() == "a"


def test_nothing_is_founded_before_the_expected_number_is_there() -> None:
    town = Town("ab", expect=3)
    town.run_for(30.0)
    assert town.leader() == ""
    town.settle_in("c")
    assert town.run_until_led() == "a"


def test_a_late_joiner_follows_and_founds_nothing() -> None:
    town = Town("abc", expect=3)
    town.run_until_led()
    before = town.node("a").plan.cluster_id
    town.settle_in("d")
    town.run_until_led()
    assert {citizen.node.plan.cluster_id for citizen in town.citizens.values()} == {before}


def test_everybody_is_told_who_leads_and_what_was_decided() -> None:
    town = with_job()
    for citizen in town.citizens.values():
        assert any(isinstance(event, LeaderChanged) and event.name == "a" for event in citizen.events)
        told = [event.decision.index for event in citizen.events if isinstance(event, Decided)]
        assert told == list(range(1, town.node("a").plan.index + 1))


def test_equal_nodes_fed_equally_emit_equal_effects() -> None:
    plans = [with_job().node("a").plan for _ in range(2)]
    assert plans[0] == plans[1]


# --- recovery, end to end -------------------------------------------------------------------------


def test_when_a_worker_dies_what_it_ran_runs_elsewhere_under_a_higher_epoch() -> None:
    town = with_job()
    first = holder(town)
    epoch = town[first].running[INSTANCE]
    town.crash(first)
    town.run_until(lambda: any(c.is_up and INSTANCE in c.running for c in town.citizens.values()))
    assert town[holder(town)].running[INSTANCE] > epoch


def test_when_the_leader_dies_another_one_is_elected_and_keeps_the_plan() -> None:
    town = with_job()
    before = town.node("b").plan
    town.crash("a")
    assert town.run_until_led() in "bc"
    after = town.node("b").plan
    assert after.decisions[: before.index] == before.decisions
    assert after.jobs == before.jobs


def test_a_new_leader_leaves_alone_what_runs_well() -> None:
    town = Town("abc")
    town.run_until_led()
    town.submit("a", job(parallelism=3))
    town.run_until(lambda: all(citizen.running for citizen in town.citizens.values()))
    town.run_until_led()
    kept = {name: dict(town[name].running) for name in "bc"}
    town.crash("a")
    town.run_until_led()
    town.run_for(30.0)
    for name in "bc":
        assert kept[name].items() <= town[name].running.items()


def test_a_whole_council_that_restarts_from_its_disks_goes_on_with_its_plan() -> None:
    town = with_job()
    before = town.node("a").plan
    disks = {name: town[name].disk for name in "abc"}
    for name in "abc":
        town.crash(name)
    town.citizens.clear()
    for name in "abc":
        town.settle_in(name, disk=disks[name])
    town.run_until_led()
    after = town.node("a").plan
    assert after.decisions[: before.index] == before.decisions
    town.run_until(lambda: any(INSTANCE in citizen.running for citizen in town.citizens.values()))


def test_an_evicted_run_goes_on_under_a_higher_boot_and_stops_what_it_held() -> None:
    town = with_job(parallelism=3)
    town.run_until(lambda: all(citizen.running for citizen in town.citizens.values()))
    old, held = town.node("c").run, dict(town["c"].running)
    town.cut = {"c"}
    town.run_until(lambda: town.node("b").plan.is_evicted(old))
    assert town["c"].running == held
    town.cut = set()
    town.run_until(lambda: town.node("c").run.boot > old.boot)
    assert not held.items() & town["c"].running.items()
    town.run_until(lambda: run_in(town.node("b"), "c") == town.node("c").run)
    assert town.node("b").plan == town.node("c").plan


def test_what_a_worker_says_of_its_instances_everybody_sees() -> None:
    town = with_job()
    town.run_until(
        lambda: all(
            [status.state for status in citizen.node.statuses()] == [InstanceState.RUNNING]
            for citizen in town.citizens.values()
        )
    )


# --- names and clusters ---------------------------------------------------------------------------


def test_a_later_run_of_the_own_name_ends_this_one() -> None:
    town = with_job()
    name = holder(town)
    node = town.node(name)
    elsewhere = attrs.evolve(own_profile(town, name), address=address_of("z"))
    later = Alive(run=attrs.evolve(node.run, boot=node.run.boot + 1), incarnation=0, profile=elsewhere)
    header = Header(node.plan.cluster_id, run_in(node, "a" if name != "a" else "b"))
    node.receive_packet(encode_packet(header, [encode_message(later)]), source=address_of("b"), now=town.now)
    town.carry_out()
    assert any(isinstance(event, Superseded) and event.by == later.run for event in town[name].events)
    assert town[name].running == {}
    assert node.next_deadline() == float("inf")
    assert not node.is_leader


def own_profile(town: Town, name: str) -> Profile:
    return next(member.profile for member in town.node(name).members() if member.run.name == name)


def foreign_packet(town: Town, *, cluster_id: int) -> bytes:
    stranger = Alive(run=attrs.evolve(town.node("b").run, name="x"), incarnation=0, profile=own_profile(town, "b"))
    return encode_packet(Header(cluster_id, stranger.run), [encode_message(stranger)])


def test_another_cluster_is_refused_and_told_of_once() -> None:
    town = Town("abc")
    town.run_until_led()
    data = foreign_packet(town, cluster_id=town.node("a").plan.cluster_id + 1)
    for _ in range(3):
        town.node("a").receive_packet(data, source=address_of("b"), now=town.now)
    town.carry_out()
    assert len([event for event in town["a"].events if isinstance(event, ForeignCluster)]) == 1
    assert town.node("a").counters()["packets_foreign"] == 3
    assert "x" not in {member.run.name for member in town.node("a").members()}


def test_a_newcomer_of_no_cluster_is_welcome() -> None:
    town = Town("abc")
    town.run_until_led()
    town.node("a").receive_packet(foreign_packet(town, cluster_id=0), source=address_of("b"), now=town.now)
    assert "x" in {member.run.name for member in town.node("a").members()}


def test_a_worker_with_the_state_of_another_cluster_is_refused_when_it_joins() -> None:
    elsewhere = Town("d")
    elsewhere.run_until_led()
    town = Town("abc")
    town.run_until_led()
    plan = elsewhere.node("d").plan
    newcomer = town.settle_in("d", disk=FakeDisk(Saved(voter=9, plan=plan)))
    town.run_for(5.0)
    assert "belongs to cluster" in newcomer.answers[0]


def test_what_a_foreigner_asks_by_stream_tells_nothing_but_who_we_are() -> None:
    town = Town("abc")
    town.run_until_led()
    stranger = Header(town.node("a").plan.cluster_id + 1, attrs.evolve(town.node("b").run, name="x"))
    digest = encode_message(SyncDigest(entries=()))
    town["a"].incoming[-99] = ("a", 0)
    town.node("a").receive_frame(-99, encode_packet(stranger, [digest]), now=town.now)
    (answer,) = (effect for effect in town.node("a").take_effects() if hasattr(effect, "frame"))
    assert len(answer.frame) < 60


# --- goodbye --------------------------------------------------------------------------------------


def test_a_goodbye_is_heard_by_all_and_then_answered() -> None:
    town = Town("abc")
    town.run_until_led()
    town.node("c").leave(5, now=town.now)
    town.run_until(lambda: 5 in town["c"].answers, limit_s=5.0)
    for name in "ab":
        states = {member.run.name: member.state for member in town.node(name).members()}
        assert states["c"] is MemberState.LEFT


def test_what_ran_on_a_worker_that_left_runs_elsewhere_without_waiting_for_a_suspicion() -> None:
    town = with_job()
    name = holder(town)
    town.node(name).leave(5, now=town.now)
    town.run_until(lambda: 5 in town[name].answers)
    assert town[name].running == {}
    town.crash(name)
    town.run_until(lambda: any(c.is_up and INSTANCE in c.running for c in town.citizens.values()), limit_s=20.0)


def test_a_leader_that_leaves_has_another_lead_before_it_says_goodbye() -> None:
    town = Town("abc")
    leader = town.run_until_led()
    left_at = town.now
    town.node(leader).leave(5, now=town.now)
    town.carry_out()
    assert not town.node(leader).is_leader
    assert town.leader()
    assert town.now == left_at  # nobody had to wait for an election time-out
    town.run_until(lambda: 5 in town[leader].answers, limit_s=5.0)


def test_a_leader_that_nobody_can_follow_leaves_all_the_same() -> None:
    town = Town("abc")
    leader = town.run_until_led()
    town.cut = {leader}
    town.node(leader).leave(5, now=town.now)
    town.run_until(lambda: 5 in town[leader].answers, limit_s=5.0)
    assert not town.node(leader).is_leader


def test_leaving_twice_is_leaving_once() -> None:
    town = Town("abc")
    town.run_until_led()
    town.node("c").leave(5, now=town.now)
    town.node("c").leave(6, now=town.now)
    town.run_until(lambda: {5, 6} <= town["c"].answers.keys())
    town.node("c").leave(7, now=town.now)
    town.carry_out()
    assert town["c"].answers[7] == ""


def test_a_worker_alone_leaves_at_once() -> None:
    town = Town("a")
    town.run_until_led()
    town.node("a").leave(5, now=town.now)
    town.run_until(lambda: 5 in town["a"].answers, limit_s=0.1)


# --- jobs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asker", ["a", "c"])
def test_a_job_is_answered_once_it_is_in_the_plan_here(asker: str) -> None:
    town = Town("abc")
    town.run_until_led()
    town.submit(asker, job())
    town.run_until(lambda: 1 in town[asker].answers, limit_s=10.0)
    assert town[asker].answers[1] == ""
    assert "job" in town.node(asker).plan.jobs


def test_who_leaves_does_not_come_back_when_it_hears_that_it_was_evicted() -> None:
    """The leader evicts it at once, and it is still there to hear of it: it must not take that for a false death."""
    town = with_job()
    (name,) = (each for each, citizen in town.citizens.items() if citizen.running)
    run = town.node(name).run
    town.node(name).leave(5, now=town.now)
    town.carry_out()
    town.run_until(lambda: 5 in town[name].answers, limit_s=10.0)
    others = [each for each in town.citizens if each != name]
    town.run_until(lambda: all(town.node(each).plan.is_evicted(run) for each in others), limit_s=30.0)
    for other in others:
        (held,) = [member for member in town.node(other).members() if member.run.name == name]
        assert (held.run, held.state) == (run, MemberState.LEFT)


@pytest.mark.parametrize("asker", ["a", "c"])
def test_an_unknown_kind_is_refused_with_the_name_of_the_field(asker: str) -> None:
    town = Town("abc")
    town.run_until_led()
    town.submit(asker, job(kind="maap"))
    town.run_until(lambda: 1 in town[asker].answers, limit_s=10.0)
    assert town[asker].answers[1] == ("operators[0].kind: no live worker runs kind 'maap' (known kinds: map)")
    assert town.node("a").plan.jobs == {}


@pytest.mark.parametrize("asker", ["a", "c"])
def test_submitting_the_same_job_again_does_nothing_and_succeeds(asker: str) -> None:
    town = with_job()
    index = town.node("a").plan.index
    town.submit(asker, job(), request=2)
    town.run_until(lambda: 2 in town[asker].answers, limit_s=10.0)
    assert (town[asker].answers[2], town.node("a").plan.index) == ("", index)


@pytest.mark.parametrize("asker", ["a", "c"])
def test_another_job_of_the_same_name_is_refused(asker: str) -> None:
    town = with_job()
    town.submit(asker, job(parallelism=2), request=2)
    town.run_until(lambda: 2 in town[asker].answers, limit_s=10.0)
    assert (
        town[asker].answers[2] == "name: another job is named 'job' already, with other operators; an update changes it"
    )
    assert town.node("a").plan.jobs["job"] == job()


def test_a_job_survives_a_change_of_the_leader() -> None:
    town = Town("abc")
    town.run_until_led()
    town.crash("a")
    town.submit("c", job())
    town.run_until(lambda: 1 in town["c"].answers, limit_s=60.0)
    assert town["c"].answers[1] == ""
    town.run_until(lambda: any(c.is_up and INSTANCE in c.running for c in town.citizens.values()))


def test_a_job_that_is_submitted_before_there_is_a_leader_waits_for_one() -> None:
    town = Town("ab", expect=3)
    town.run_for(5.0)
    town.submit("b", job())
    town.run_for(5.0)
    assert 1 not in town["b"].answers
    town.settle_in("c")
    town.run_until(lambda: 1 in town["b"].answers)
    assert town["b"].answers[1] == ""


def test_several_jobs_at_a_time_are_all_accepted() -> None:
    town = Town("abc")
    town.run_until_led()
    for number, name in enumerate("abc" * 3):
        town.submit(name, job(f"job{number}"), request=10 + number)
    town.run_until(lambda: sum(len(citizen.answers) for citizen in town.citizens.values()) == 3 + 9)
    assert len(town.node("a").plan.jobs) == 9


def test_more_submissions_than_the_bound_are_refused() -> None:
    town = Town("ab", expect=3)
    for request in range(1, 300):
        town.submit("a", job(f"job{request}"), request=request)
    refused = [error for error in town["a"].answers.values() if error]
    assert set(refused) == {"job: expected at most 256 submissions at a time"}
    assert len(refused) == 299 - 256


# --- time -----------------------------------------------------------------------------------------


def test_the_next_deadline_moves_on_after_the_timers_were_fired() -> None:
    """A deadline that stays in the past would make the driver spin."""
    town = with_job()
    for _ in range(300):
        node = min((citizen.node for citizen in town.citizens.values()), key=lambda each: each.next_deadline())
        town.now = max(town.now, node.next_deadline())
        node.fire_timers(now=town.now)
        for _ in range(3):  # a commit is told at once, so a deadline may be due again once or twice
            if node.next_deadline() <= town.now:
                node.fire_timers(now=town.now)
        assert node.next_deadline() > town.now
        town.carry_out()
