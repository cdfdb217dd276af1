"""Commands of people: judged by the leader's plan, committed once, and told to whoever asked, wherever that was."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import attrs
import pytest

from swimstream.core import change_requests, leader_requests
from swimstream.core.change_requests import refusal
from swimstream.model.changes import (
    CORDONED,
    CancelJob,
    Change,
    ClaimProgress,
    Command,
    DeclareDead,
    Entry,
    Evict,
    Pardon,
    Restart,
    SetPolicy,
    SetWorkerMode,
    SubmitJob,
    UpdateJob,
)
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import FURTHEST_PROGRESS
from swimstream.model.member import SPEAKS_CONFLICTS, SPEAKS_DIRECTIVES, Member, MemberState, Profile
from swimstream.model.plan import Plan
from swimstream.wire.council_messages import ChangeRequest
from tests.core.town import Town, job, run_in

if TYPE_CHECKING:
    from swimstream.model.job import JobSpec

OP = InstanceId("job", "op", 0)


def cordon(name: str = "a") -> SetWorkerMode:
    return SetWorkerMode(name=name, mode=CORDONED, level=0, boot=0, reason="", asked_by="x")


def update(spec: JobSpec, *, base: int = 0) -> UpdateJob:
    return UpdateJob(job=spec, base=base, asked_by="x")


def led_town() -> tuple[Town, str, list[str]]:
    """Return a town of three, its leader and the others."""
    town = Town("abc")
    leader = town.run_until_led()
    return town, leader, sorted(set("abc") - {leader})


def ask(town: Town, name: str, change: Command, *, request: int = 7) -> None:
    town.node(name).change(request, change, now=town.now)
    town.carry_out()


def until_answered(town: Town, name: str, request: int = 7, *, limit_s: float = 60.0) -> str:
    town.run_until(lambda: request in town[name].answers, limit_s=limit_s)
    return town[name].answers[request]


def with_job(town: Town, name: str, spec: JobSpec) -> None:
    town.submit(name, spec)
    assert until_answered(town, name, 1) == ""


def decided(town: Town, name: str, what: str) -> int:
    """Return how often the history says so."""
    return sum(each.what == what for each in town.node(name).plan.decisions)


# --- who is asked, and told -----------------------------------------------------------------------


@pytest.mark.parametrize("asks_leader", [True, False])
def test_a_command_is_answered_once_it_is_in_the_plan_of_the_worker_that_was_asked(asks_leader: bool) -> None:  # noqa: FBT001  # a parameter
    town, leader, others = led_town()
    asked = leader if asks_leader else others[0]
    ask(town, asked, cordon("c"))
    assert until_answered(town, asked) == ""
    assert town.node(asked).plan.directives.mode_of("c") == CORDONED


def test_a_follower_is_told_without_asking_again() -> None:
    town, _, others = led_town()
    with patch.object(leader_requests, "RETRY_S", 1_000.0):
        ask(town, others[0], cordon())
        assert until_answered(town, others[0], limit_s=10.0) == ""


def test_a_command_that_is_asked_for_again_is_not_proposed_again() -> None:
    town, leader, others = led_town()
    sender = run_in(town.node(leader), others[0])
    for _ in range(3):
        town.node(leader)._rooms.changes.receive(sender, ChangeRequest(request=9, change=cordon()), town.now)
        town.node(leader).fire_timers(now=town.now)
        town.run_for(0.5)
    assert decided(town, leader, "a: cordoned") == 1


def test_the_same_words_under_another_number_are_another_command() -> None:
    town, leader, others = led_town()
    for number in (7, 8):
        ask(town, others[0], cordon(), request=number)
        assert until_answered(town, others[0], number) == ""
    assert decided(town, leader, "a: cordoned") == 2


def test_a_leader_that_dies_before_it_answers_has_its_successor_asked() -> None:
    town, leader, others = led_town()
    town.cut = {leader}  # it takes the command, and nobody acks it
    ask(town, leader, cordon(), request=6)
    town.crash(leader)
    town.cut = set()
    ask(town, others[0], cordon("c"))
    assert until_answered(town, others[0]) == ""
    assert town.node(others[0]).plan.directives.mode_of("c") == CORDONED


def test_a_leader_that_was_replaced_has_its_successor_asked_for_what_it_had_taken_itself() -> None:
    town, leader, others = led_town()
    town.cut = {leader}
    ask(town, leader, cordon("c"))
    town.run_until(lambda: any(town.node(name).is_leader for name in others))
    town.cut = set()
    assert until_answered(town, leader) == ""
    assert town.node(leader).plan.directives.mode_of("c") == CORDONED
    assert not town.node(leader)._rooms.changes._accepted  # what it knows of them is of another log


def test_an_answer_that_was_lost_is_given_when_it_is_asked_for_again() -> None:
    town, leader, others = led_town()
    asker = others[0]
    with patch.object(leader_requests.LeaderRequests, "tell_done"):  # the leader tells nobody by itself
        ask(town, asker, cordon())
        assert until_answered(town, asker, limit_s=10.0) == ""
    assert decided(town, leader, "a: cordoned") == 1


def test_a_new_leader_judges_nothing_before_it_knows_what_is_committed() -> None:
    """By the plan of the day before it would refuse an update of a job that it does not know of yet."""
    town, leader, _ = led_town()
    with_job(town, leader, job())
    changes = town.node(leader)._rooms.changes
    council = town.node(leader)._rooms.council
    late = attrs.evolve(council.mark, term=council.mark.term + 1)
    unknown = CancelJob(job="nobody", asked_by="x")
    with patch.object(type(council), "mark", late):
        assert changes._accept((Run("b", 1), 5), unknown, town.now) is None
    assert changes._accept((Run("b", 1), 5), unknown, town.now) == leader_requests.Refused("job: there is no 'nobody'")


def test_a_refusal_is_told_to_whoever_asked() -> None:
    town, leader, others = led_town()
    for asker in (leader, others[0]):
        ask(town, asker, CancelJob(job="nobody", asked_by="x"))
        assert until_answered(town, asker) == "job: there is no 'nobody'"


# --- bounds ---------------------------------------------------------------------------------------


def test_more_commands_than_a_leader_holds_are_dropped_counted_and_asked_for_again() -> None:
    town, leader, others = led_town()
    town.cut = set(others)
    ask(town, leader, SetPolicy(rebalance_moves=1, asked_by="x"), request=90)  # from now on its log waits
    for number in range(4):
        ask(town, leader, cordon(f"{'abc'[number % 3]}"), request=100 + number)
    with patch.object(change_requests, "ACCEPTED_MAX", 3):
        town.run_for(0.1)
        assert town.node(leader).counters()["proposals_dropped"] >= 1
        town.cut = set()
        town.run_until(lambda: all(town[leader].answers.get(100 + n) == "" for n in range(4)), limit_s=30.0)


def test_a_command_that_is_too_big_is_refused_where_it_is_given() -> None:
    town, _, others = led_town()
    with patch.object(change_requests, "JOB_BYTES_MAX", 20):
        ask(town, others[0], update(job(parallelism=2)))
    assert town[others[0]].answers[7].startswith("command: expected at most 20 B encoded, got ")


@pytest.mark.parametrize("instance", [InstanceId("job", "op", 99_999), InstanceId("a b", "op", 0)])
@pytest.mark.parametrize("asks_leader", [True, False])
def test_a_command_that_no_leader_could_read_is_refused_where_it_is_given(
    instance: InstanceId,
    asks_leader: bool,  # noqa: FBT001  # a parameter
) -> None:
    town, leader, others = led_town()
    name = leader if asks_leader else others[0]
    ask(town, name, Pardon(instance=instance, asked_by="x"))
    assert town[name].answers[7].startswith("command: ")


def test_what_an_older_leader_could_not_read_is_refused_where_it_is_given() -> None:
    town, leader, others = led_town()
    asker = others[0]
    table = town.node(asker)._rooms.membership.table
    held = table.get(leader)
    assert held is not None
    table.put(attrs.evolve(held, profile=attrs.evolve(held.profile, speaks=SPEAKS_DIRECTIVES - 1)))
    ask(town, asker, cordon())
    assert town[asker].answers[7] == f"command: cannot be carried out while {leader} of an older version is alive"


# --- two at the same time -------------------------------------------------------------------------


def test_of_two_updates_of_one_version_at_the_same_time_one_is_refused() -> None:
    """Both are judged by a plan without the other; the second would be granted, and the plan ignore it."""
    town, leader, others = led_town()
    with_job(town, leader, job())
    for number, asker in enumerate(others, start=2):
        town.node(asker).change(7, update(job(parallelism=number), base=1), now=town.now)
    answers = {until_answered(town, asker) for asker in others}
    assert answers == {"", "base: expected version 2, which the job has come to meanwhile, got 1"}


def test_updates_of_two_jobs_at_the_same_time_are_both_made() -> None:
    town, leader, others = led_town()
    for number, name in enumerate("xy", start=1):
        town.submit(leader, job(name), request=number)
        assert until_answered(town, leader, number) == ""
    for asker, name in zip(others, "xy", strict=True):
        town.node(asker).change(7, update(job(name, parallelism=2), base=1), now=town.now)
    assert [until_answered(town, asker) for asker in others] == ["", ""]


def test_an_update_that_is_so_already_is_done_without_a_new_version() -> None:
    town, leader, others = led_town()
    with_job(town, leader, job())
    for number in (7, 8):
        ask(town, others[0], update(job(parallelism=2), base=1), request=number)
        assert until_answered(town, others[0], number) == ""
    assert town.node(leader).plan.version_of("job") == 2


# --- what is refused ------------------------------------------------------------------------------

JOB = SubmitJob(job=job(parallelism=2))


def plan_after(*changes: Change) -> Plan:
    return Plan().advance(Entry(index=index, term=1, change=change) for index, change in enumerate(changes, start=1))


def member(name: str, *, state: MemberState = MemberState.ALIVE, speaks: int = SPEAKS_DIRECTIVES) -> Member:
    profile = Profile(address=Address("h", 1), kinds=("map",), speaks=speaks)
    return Member(run=Run(name, 5), incarnation=0, state=state, profile=profile, since=0.0)


MEMBERS = {
    "a": member("a"),
    "old": member("old", state=MemberState.DEAD, speaks=2),
    "d": member("d", state=MemberState.DEAD),
    "s": member("s", state=MemberState.SUSPECT),
}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (update(job("other")), "job: there is no 'other'; submit it first"),
        (update(job(), base=3), "base: expected version 1, which the job has come to meanwhile, got 3"),
        (update(job(kind="sort")), "operators[0].kind: no live worker runs kind 'sort' (known kinds: map)"),
        (CancelJob(job="other", asked_by="a"), "job: there is no 'other'"),
        (
            Restart(instances=(InstanceId("job", "op", 2),), reason="", evidence=()),
            "instance: job/op[2] is not executed, so it cannot be restarted",
        ),
        (Pardon(instance=InstanceId("job", "op", 2), asked_by="a"), "instance: no job has job/op[2]"),
        (cordon("nobody"), "name: no worker of the name 'nobody' is known"),
        (
            DeclareDead(run=Run("a", 5), asked_by="a"),
            "name: a@5 is alive as far as the leader knows; nobody may declare it dead",
        ),
        (
            DeclareDead(run=Run("s", 5), asked_by="a"),
            "name: s@5 is suspect as far as the leader knows; nobody may declare it dead",
        ),
        (
            DeclareDead(run=Run("z", 1), asked_by="a"),
            "name: no worker z@1 is known, and nothing is assigned to it",
        ),
    ],
)
def test_a_refusal_names_the_field(change: Command, why: str) -> None:
    assert refusal(plan_after(JOB), change, MEMBERS) == why


@pytest.mark.parametrize(
    "change",
    [
        update(job(parallelism=3), base=1),
        CancelJob(job="job", asked_by="a"),
        Restart(instances=(OP, InstanceId("job", "op", 2)), reason="", evidence=()),
        Pardon(instance=OP, asked_by="a"),
        cordon(),
        DeclareDead(run=Run("d", 5), asked_by="a"),
        SetPolicy(rebalance_moves=0, asked_by="a"),
    ],
)
def test_a_command_that_can_be_carried_out_is_not_refused(change: Command) -> None:
    assert refusal(plan_after(JOB), change, MEMBERS) == ""


def test_a_kind_that_no_live_worker_runs_now_does_not_hinder_what_had_it_before() -> None:
    plan = plan_after(SubmitJob(job=job(kind="sort")))
    assert refusal(plan, update(job(kind="sort", parallelism=2)), MEMBERS) == ""


def test_a_cancelled_job_is_revived_by_an_update_of_whatever_it_was_but_of_no_certain_version() -> None:
    plan = plan_after(JOB, CancelJob(job="job", asked_by="a"))
    assert refusal(plan, update(job()), MEMBERS) == ""
    assert refusal(plan, update(job(), base=1), MEMBERS).startswith("base: the job 'job' was cancelled meanwhile")


def test_a_death_that_was_declared_already_is_declared_again_without_harm() -> None:
    plan = plan_after(JOB, Evict(run=Run("z", 1), reason="declared", evidence=()))
    assert refusal(plan, DeclareDead(run=Run("z", 1), asked_by="a"), MEMBERS) == ""


def test_nothing_is_commanded_while_an_older_worker_is_alive() -> None:
    members = MEMBERS | {"old": member("old", speaks=SPEAKS_DIRECTIVES - 1)}
    why = "command: cannot be carried out while old of an older version is alive"
    assert refusal(plan_after(JOB), cordon(), members) == why


def test_no_copy_is_spoken_for_while_a_worker_is_alive_that_knows_no_conflicts() -> None:
    claim = ClaimProgress(instance=InstanceId("job", "op", 0), epoch=1, run=Run("a", 1), progress=1, checkpoint=b"")
    newest = {name: member(name, speaks=SPEAKS_CONFLICTS) for name in MEMBERS}
    assert "older version" in refusal(plan_after(JOB), claim, MEMBERS)
    assert refusal(plan_after(JOB), claim, newest).startswith("epoch: nothing is to be settled about")


def test_an_update_that_wants_conflicts_settled_is_refused_while_a_worker_is_alive_that_knows_none() -> None:
    newest = {name: member(name, speaks=SPEAKS_CONFLICTS) for name in MEMBERS}
    wishful = job()
    (operator,) = wishful.operators
    wishful = attrs.evolve(wishful, operators=(attrs.evolve(operator, on_conflict=FURTHEST_PROGRESS),))
    why = "operators[0].on_conflict: 'furthest-progress' cannot be kept while"
    assert refusal(plan_after(JOB), update(wishful), MEMBERS).startswith(why)
    assert refusal(plan_after(JOB), update(wishful), newest) == ""


def test_updates_under_way_take_room_in_the_plan_too() -> None:
    plan = plan_after(JOB, SubmitJob(job=job("big")))
    big = update(job("big", parallelism=30))
    with patch("swimstream.core.submissions.INSTANCES_MAX", 40):
        assert refusal(plan, update(job(parallelism=5)), MEMBERS, under_way=[cordon()]) == ""
        assert "it takes at most 40" in refusal(plan, update(job(parallelism=10)), MEMBERS, under_way=[big])
