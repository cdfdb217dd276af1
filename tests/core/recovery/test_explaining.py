"""Why an instance is where it is, what would come of deaths, and where a job would go: nothing is changed by asking."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.explaining import Explanation, explain
from swimstream.core.supposing import dry_run, what_if
from swimstream.errors import UsageError
from swimstream.model.changes import DRAINING, CancelJob, DeclareDead, Found, Quarantine, Seat, UpdateJob
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_MOST_ONE, PINNED, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.lively import Lively, pipeline
from tests.core.recovery.situations import instance, job, newest


def why(here: Lively, which: InstanceId | None = None) -> Explanation:
    return explain(which or instance(), here.situation())


def settled(*names: str, jobs: tuple[JobSpec, ...] = (), capacity: int = 64) -> Lively:
    seats = tuple(Seat(name, 0) for name in names)
    here = Lively(*(newest(name, capacity=capacity, site=name[0]) for name in names))
    here.commit(Found(cluster_id=1, council=seats))
    for spec in jobs:
        here.submit(spec)
    here.settle()
    return here


# --- explain --------------------------------------------------------------------------------------


def test_it_tells_where_since_which_decision_and_why() -> None:
    here = settled("a", "b", jobs=(job(),))
    told = why(here)
    assert (told.state, told.run, told.epoch) == ("running", Run("a", 1), here.epoch())
    assert told.decision is not None
    assert (told.decision.index, told.decision.reason) == (told.epoch, "the job was accepted")
    assert told.decision.evidence[0] == "site a, 0 of 64 slots held"
    assert (told.version, told.guarantee, told.waits_for) == (1, "at-least-one", "")


def test_what_is_in_quarantine_is_not_called_pending_and_what_was_cancelled_neither() -> None:
    here = settled("a", jobs=(job(),))
    here.commit(Quarantine(instance=instance(), epoch=here.epoch(), reason="used up", evidence=()))
    assert why(here).state == "quarantined"
    here.commit(CancelJob(job="job", asked_by="a"))
    here.settle()
    assert why(here).state == "cancelled"


def test_it_tells_who_keeps_it_warm() -> None:
    (spec,) = job().operators
    here = settled("a", "b", jobs=(JobSpec(name="job", operators=(attrs.evolve(spec, standby=1),)),))
    assert (why(here).run, why(here).standbys) == (Run("a", 1), (Run("b", 1),))


def test_it_tells_who_died_and_who_saw_it() -> None:
    here = settled("a", "b", "c", jobs=(job(),))
    here.becomes("a", MemberState.DEAD, accusers=("b", "c"))
    here.settle()
    told = [(each.what, each.reason, each.evidence) for each in why(here).history]
    assert [what for what, _, _ in told] == [
        "accept job job",
        "assign job/op[0] to a@1",
        "note who ran on a@1: job/op[0]",
        "evict a@1",
        "assign job/op[0] to b@1",
    ]
    assert told[3][2] == ("seen by b", "seen by c")


def test_history_tells_that_a_job_was_begun_anew_and_that_its_worker_was_declared_dead() -> None:
    here = settled("a", "b", jobs=(job(),))
    here.commit(CancelJob(job="job", asked_by="t"), UpdateJob(job=job(), base=1, asked_by="t", fresh=True))
    here.settle()
    here.commit(DeclareDead(run=here.plan.assignments[instance()].run, asked_by="t"))
    deeds = [each.what.split()[0] for each in why(here).history]
    assert deeds == ["accept", "assign", "cancel", "begin", "assign", "declare"]


def test_history_of_others_is_left_out() -> None:
    here = settled("a", "b", jobs=(job(parallelism=2), job("other")))
    assert all("other" not in each.what and "op[1]" not in each.what for each in why(here).history)


def test_it_tells_what_every_worker_would_be_for_it() -> None:
    here = settled("a", "b", "c", jobs=(job(),))
    here.set_mode("c", DRAINING)
    told = [(each.run.name, each.score is not None, each.why) for each in why(here).candidates]
    assert told == [
        ("a", True, "site a, 0 of 64 slots held"),
        ("b", True, "site b, 0 of 64 slots held"),
        ("c", False, "given nothing new"),
    ]


def test_it_tells_why_nothing_runs() -> None:
    here = settled("a", jobs=(job(kind="join"),))
    told = why(here)
    assert (told.state, told.run, told.decision) == ("pending", None, None)
    assert told.waits_for == "no live worker runs kind 'join'"


def test_it_tells_why_it_stays_on_a_worker_that_drains() -> None:
    here = settled("a", jobs=(job(),))
    here.set_mode("a", DRAINING)
    told = why(here)
    assert told.state == "running"
    assert told.waits_for == "a drains, but has to keep it: is given nothing new: a (draining)"


def test_before_a_word_of_its_epoch_it_is_assigned() -> None:
    here = settled("a")
    here.submit(job())
    here.decide()
    told = why(here)
    assert (told.state, told.status) == ("assigned", None)


def test_what_has_finished_has_finished() -> None:
    here = settled("a", jobs=(job(),))
    here.say(InstanceState.FINISHED)
    here.settle()
    assert why(here).state == "finished"


def test_nobody_can_explain_what_no_job_has() -> None:
    with pytest.raises(UsageError, match=r"no job has job/op\[7\]"):
        why(settled("a", jobs=(job(),)), instance(7))


# --- what if --------------------------------------------------------------------------------------


def test_what_a_worker_has_would_move_and_why() -> None:
    here = settled("a", "b", "c", jobs=(job(),))
    plan = here.plan
    outcome = what_if(here.situation(), kill=["a"])
    (move,) = outcome.moves
    assert (move.instance, move.before, move.after) == (instance(), Run("a", 1), Run("b", 1))
    assert move.reason.startswith("a: declared dead")
    assert move.evidence[0] == "site b, 0 of 64 slots held"
    assert outcome.pending == ()
    assert here.plan == plan, "nothing is decided by asking"


@pytest.mark.parametrize("instances", [AT_MOST_ONE, "at-least-one"])
def test_it_tells_the_same_as_what_then_comes_of_it(instances: str) -> None:
    here = settled("a", "b", "c", jobs=(pipeline("j", parallelism=4, instances=instances),))
    told = {move.instance: move.after for move in what_if(here.situation(), kill=["a"]).moves}
    assert told
    ours = here.on("a")
    here.becomes("a", MemberState.DEAD, accusers=("b", "c"))
    here.settle()
    here.now += 100.0
    here.settle()
    assert told == {which: here.plan.assignments[which].run for which in ours}


def test_what_would_have_no_place_is_told_with_the_reason() -> None:
    here = settled("a", "b", jobs=(job(parallelism=4),), capacity=2)
    outcome = what_if(here.situation(), kill=["a"])
    assert outcome.moves == ()
    assert [why for _, why in outcome.pending] == ["the only live worker that runs kind 'map' is full"] * 2


def test_what_is_pinned_would_wait() -> None:
    here = settled("a", "b", "c", jobs=(job(instances=PINNED),))
    outcome = what_if(here.situation(), kill=["a"])
    assert outcome.moves == ()
    assert outcome.pending == ((instance(), "pinned to a, which is away"),)


def test_a_whole_site_may_be_supposed_dead() -> None:
    here = settled("n1", "n2", "s1", jobs=(job(parallelism=6),))
    outcome = what_if(here.situation(), site="n")
    assert {move.after.name for move in outcome.moves} == {"s1"}
    assert len(outcome.moves) == len(here.on("n1")) + len(here.on("n2"))


def test_it_tells_whether_the_council_could_decide_it() -> None:
    here = settled("a", "b", "c")
    one, two = what_if(here.situation(), kill=["a"]), what_if(here.situation(), kill=["a", "b"])
    assert (one.seats, one.seats_left, one.is_able) == (3, 2, True)
    assert (two.seats_left, two.is_able) == (1, False)


@pytest.mark.parametrize(("asked", "words"), [
    ({"kill": ["z"]}, "no live worker has the name 'z'"),
    ({"site": "z"}, "no live worker is in 'z'"),
    ({}, "expected the name of a worker"),
])  # fmt: skip
def test_a_question_about_nobody_is_refused(asked: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        what_if(settled("a").situation(), **asked)


# --- dry run --------------------------------------------------------------------------------------


def test_a_dry_run_tells_where_a_job_would_go_and_submits_nothing() -> None:
    here = settled("a", "b", jobs=(job(),))
    outcome = dry_run(here.situation(), pipeline("new", parallelism=1))
    assert [(str(move.instance), move.before, move.after.name) for move in outcome.moves] == [
        ("new/sink[0]", None, "a"), ("new/source[0]", None, "b")
    ]  # fmt: skip
    assert (outcome.change, "new" in here.plan.jobs) == ("new", False)


def test_a_dry_run_is_what_then_happens() -> None:
    here = settled("a", "b", "c", jobs=(job(parallelism=4),))
    spec = pipeline("new", parallelism=5)
    told = {move.instance: move.after for move in dry_run(here.situation(), spec).moves}
    here.submit(spec)
    here.settle()
    assert told == {which: held.run for which, held in here.plan.assignments.items() if which.job == "new"}


def test_a_dry_run_tells_what_would_be_missing() -> None:
    wide = JobSpec(name="new", operators=(OperatorSpec(name="op", kind="map", labels={"gpu": "yes"}),))
    outcome = dry_run(settled("a").situation(), wide)
    assert outcome.pending == (
        (InstanceId("new", "op", 0), "no live worker that could run it has gpu=yes; a could be tagged so"),
    )


def test_a_dry_run_of_a_job_that_is_there_is_one_of_an_update() -> None:
    here = settled("a", "b", jobs=(job(parallelism=2),))
    outcome = dry_run(here.situation(), job(parallelism=3))
    assert (outcome.change, [str(move.instance) for move in outcome.moves]) == ("update", ["job/op[2]"])


def test_a_dry_run_of_a_job_that_was_cancelled_is_one_of_its_revival() -> None:
    here = settled("a", "b", jobs=(job(parallelism=2),))
    here.commit(CancelJob(job="job", asked_by="t"))
    outcome = dry_run(here.situation(), job(parallelism=2))
    assert (outcome.change, len(outcome.moves)) == ("revival", 2)


def test_a_dry_run_of_what_would_be_refused_is_refused() -> None:
    here = settled("a", jobs=(job(),))
    other = attrs.evolve(job(), operators=(attrs.evolve(job().operators[0], instances=PINNED),))
    with pytest.raises(UsageError, match="instances"):
        dry_run(here.situation(), other)


def test_a_dry_run_refuses_a_job_as_submitting_it_would() -> None:
    situation = settled("a").situation()
    unknown = JobSpec(name="new", operators=(OperatorSpec(name="op", kind="reduce"),))
    with pytest.raises(UsageError, match=r"operators\[0\].kind: no live worker runs kind 'reduce'"):
        dry_run(situation, unknown)
    huge = JobSpec(name="new", operators=(OperatorSpec(name="op", kind="map", parameters={"text": "x" * 300_000}),))
    with pytest.raises(UsageError, match="job: expected at most 262144 B"):
        dry_run(situation, huge)
