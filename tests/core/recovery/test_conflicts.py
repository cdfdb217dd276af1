"""A worker that was given up is back, and its copy had gone on: which copy is gone on with, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.core.explaining import explain
from swimstream.core.recovery.brakes import MOVES_PER_WORKER_S
from swimstream.model.changes import (
    CORDONED,
    DRAINING,
    LEAVING,
    QUARANTINED,
    Assign,
    ClaimProgress,
    KeepReplacement,
    Restart,
    SetWorkerMode,
    UpdateJob,
)
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import FURTHEST_PROGRESS, KEEP_REPLACEMENT, PINNED, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from swimstream.wire.plan_codec import encode_plan
from swimstream.wire.plan_reader import decode_plan_untrusted
from tests.core.recovery.situations import ACCEPT_S, Scene, assigns, instance, newest, the_assign

if TYPE_CHECKING:
    from swimstream.model.changes import Change
    from swimstream.model.directives import Conflict
    from swimstream.model.member import Member

ONE = instance()
A, B = Run("a", 1), Run("b", 1)
BACK = Run("a", 2)


class Conflicted(Scene):
    """Worker `a` had everything, was given up, and is back as a later run; `b` has everything by now."""

    def __init__(
        self,
        *,
        at: int = 300,
        parallelism: int = 1,
        on_conflict: str = FURTHEST_PROGRESS,
        sites: tuple[str, ...] = (),
        anti_affinity: str = "",
    ) -> None:
        spec = OperatorSpec(
            name="op",
            kind="map",
            parallelism=parallelism,
            on_conflict=on_conflict,
            sites=sites,
            anti_affinity=anti_affinity,
        )
        super().__init__(newest("a"), newest("b", capacity=0), jobs=[JobSpec(name="job", operators=(spec,))])
        self.decide()
        self.all_say(progress=100, checkpoint=b"100")
        self.lost = {which: held.epoch for which, held in self.plan.assignments.items()}
        self.put(newest("b"))
        self.becomes("a", MemberState.DEAD, accusers=("b",))
        self.decide()
        assert {held.run for held in self.plan.assignments.values()} == {B}
        self.all_say(progress=at, checkpoint=b"at %d" % at)
        self.put(newest("a", boot=2))
        self.decide()

    def all_say(self, *, progress: int, checkpoint: bytes) -> None:
        for which in self.plan.assignments:
            self.say(InstanceState.RUNNING, which=which, progress=progress, checkpoint=checkpoint)

    def claim(self, progress: int, *, which: InstanceId = ONE, run: Run = BACK) -> None:
        checkpoint = b"old %d" % progress if progress else b""
        self.commit(
            ClaimProgress(instance=which, epoch=self.lost[which], run=run, progress=progress, checkpoint=checkpoint)
        )

    def set_mode(self, name: str, mode: str) -> None:
        boot = self.members[name].run.boot if mode == LEAVING else 0
        self.commit(SetWorkerMode(name=name, mode=mode, level=0, boot=boot, reason="asked", asked_by="b"))

    @property
    def conflict(self) -> Conflict | None:
        return self.plan.directives.conflicts.get(ONE)

    def why_kept(self) -> str:
        (kept,) = (change for change in self.decide() if isinstance(change, KeepReplacement))
        return kept.reason


def test_the_copy_that_has_come_further_goes_on_from_its_checkpoint_under_a_higher_epoch() -> None:
    scene = Conflicted(at=300)
    before = scene.epoch()
    scene.claim(1_200)
    made = the_assign(scene.decide())
    assert (made.run, made.resume_from) == (BACK, b"old 1200")
    assert made.reason == "furthest-progress: a@1 at 1200, b@1 at 300"
    assert made.evidence == (
        f"a@1 had come to 1200 in epoch {scene.lost[ONE]}",
        f"b@1 is at 300 in epoch {before}",
    )
    assert scene.epoch() > before


def test_the_replacement_goes_on_until_the_new_copy_runs() -> None:
    scene = Conflicted()
    before = scene.epoch()
    scene.claim(1_200)
    assert the_assign(scene.decide()).handover
    held = scene.plan.assignments[ONE]
    assert (held.former_run, held.former_epoch) == (B, before)


@pytest.mark.parametrize("claimed", [0, 299, 300])
def test_a_copy_that_has_come_no_further_leaves_the_replacement_where_it_is(claimed: int) -> None:
    scene = Conflicted(at=300)
    before = scene.plan.assignments[ONE]
    scene.claim(claimed)
    assert scene.why_kept() == f"furthest-progress: a@1 at {claimed}, b@1 at 300"
    assert scene.plan.assignments[ONE] == before


def test_by_default_the_replacement_stays_and_there_is_nothing_to_settle() -> None:
    scene = Conflicted(on_conflict=KEEP_REPLACEMENT)
    assert scene.conflict is None
    scene.claim(1_200)
    assert scene.conflict is None
    assert scene.decide() == []
    assert scene.where() == "b"


def test_nothing_is_decided_before_the_worker_that_is_back_has_spoken_for_its_copy() -> None:
    scene = Conflicted()
    assert scene.conflict is not None
    assert scene.conflict.claim is None
    assert scene.decide_after(10 * ACCEPT_S) == []


@pytest.mark.parametrize("claimed", [100, 1_200])
def test_a_conflict_is_settled_once_whatever_is_claimed_and_whoever_leads_afterwards(claimed: int) -> None:
    scene = Conflicted()
    scene.claim(claimed)
    scene.decide()
    scene.say(InstanceState.RUNNING, progress=400)
    settled = scene.plan.assignments[ONE]
    assert scene.conflict is None
    for _ in range(2):
        scene.claim(5_000)
        scene.new_leader()
        assert scene.decide() == []
    assert scene.plan.assignments[ONE] == settled


def test_only_the_first_word_counts_and_only_of_the_worker_and_the_copy_that_it_is_about() -> None:
    scene = Conflicted()
    scene.lost[ONE] += 1
    scene.claim(1_200)
    scene.lost[ONE] -= 1
    scene.claim(1_200, run=Run("c", 2))
    assert scene.conflict is not None
    assert scene.conflict.claim is None
    scene.claim(200)
    scene.claim(1_200)
    assert "a@1 at 200" in scene.why_kept()


def test_a_new_leader_goes_on_where_the_former_one_was() -> None:
    scene = Conflicted()
    scene.new_leader()
    scene.claim(1_200)
    scene.new_leader()
    assert the_assign(scene.decide()).run == BACK


def test_a_plan_that_was_sent_on_has_its_conflicts_still() -> None:
    scene = Conflicted()
    for _ in range(2):
        assert decode_plan_untrusted(encode_plan(scene.plan)).directives == scene.plan.directives
        scene.claim(1_200)


@pytest.mark.parametrize("mode", [CORDONED, DRAINING, LEAVING, QUARANTINED])
def test_a_worker_that_is_given_nothing_new_is_not_given_it_back_either(mode: str) -> None:
    scene = Conflicted()
    scene.set_mode("a", mode)
    scene.claim(1_200)
    assert scene.why_kept() == "a@2 cannot have it: given nothing new"
    assert scene.where() == "b"


@pytest.mark.parametrize(
    ("back", "why"),
    [
        (newest("a", boot=2, capacity=0), "full: 0 of 0 slots held"),
        (newest("a", boot=2, kinds=("other",)), "not alive or without kind 'map'"),
        (newest("a", boot=2, site="far"), "in another site"),
    ],
)
def test_who_does_not_pass_a_filter_does_not_get_it_back_and_the_history_says_why(back: Member, why: str) -> None:
    scene = Conflicted(sites=("default",))
    scene.put(back)
    scene.claim(1_200)
    assert scene.why_kept() == f"a@2 cannot have it: {why}"
    told = explain(ONE, scene.situation()).history
    assert told[-2].what == f"a@2 tells of its copy of {ONE} in epoch {scene.lost[ONE]}"
    assert told[-1].what == f"keep the replacement of {ONE}"
    assert told[-1].evidence[0] == "furthest-progress: a@1 at 1200, b@1 at 300"


def test_what_the_replacement_holds_by_itself_keeps_nobody_from_having_it_back() -> None:
    scene = Conflicted(anti_affinity="site")
    scene.claim(1_200)
    assert the_assign(scene.decide()).run == BACK


def test_a_replacement_that_has_not_begun_is_waited_for_but_not_for_ever() -> None:
    scene = Conflicted()
    scene.say(InstanceState.STARTING)
    scene.claim(1_200)
    assert scene.decide() == []
    assert scene.decide_after(ACCEPT_S - 1) == []
    later = scene.decide_after(1)
    assert [type(each) for each in later] == [KeepReplacement]
    assert scene.where() == "b"


def test_once_the_replacement_has_begun_it_is_decided() -> None:
    scene = Conflicted()
    scene.say(InstanceState.STARTING)
    scene.claim(1_200)
    scene.decide()
    scene.say(InstanceState.RUNNING)
    assert the_assign(scene.decide()).reason == "furthest-progress: a@1 at 1200, b@1 at 0"


@pytest.mark.parametrize("name", ["a", "b"])
def test_while_either_worker_is_suspected_nothing_is_decided(name: str) -> None:
    scene = Conflicted()
    scene.becomes(name, MemberState.SUSPECT)
    scene.claim(1_200)
    assert scene.decide() == []
    scene.becomes(name, MemberState.ALIVE)
    assert the_assign(scene.decide()).run == BACK


def test_a_worker_that_is_gone_again_does_not_get_it_back() -> None:
    scene = Conflicted()
    scene.claim(1_200)
    scene.put(newest("a", boot=3))
    assert scene.why_kept() == "a@2, which could have gone on with the former copy, is gone"


def test_what_moves_for_another_reason_meanwhile_resumes_where_the_furthest_copy_was_and_that_is_the_end_of_it() -> (
    None
):
    scene = Conflicted()
    scene.claim(1_200)
    scene.put(newest("c"))
    scene.becomes("b", MemberState.DEAD, accusers=("a", "c"))
    made = the_assign(scene.decide())
    assert made.reason.startswith("b: ")
    assert made.resume_from == b"old 1200"
    conflict = scene.plan.directives.conflicts[ONE]
    assert (conflict.run, conflict.claim) == (B, None), "it is the next one, of the copy that is lost by now"


@pytest.mark.parametrize("claimed", [200, None])
def test_what_moves_resumes_from_the_checkpoint_of_the_replacement_if_that_is_further(claimed: int | None) -> None:
    scene = Conflicted(at=300)
    if claimed is not None:
        scene.claim(claimed)
    scene.becomes("b", MemberState.DEAD, accusers=("a",))
    assert the_assign(scene.decide()).resume_from == b"at 300"


def test_a_restart_of_the_replacement_ends_the_conflict() -> None:
    scene = Conflicted()
    scene.commit(Restart(instances=(ONE,), reason="asked", evidence=()))
    scene.claim(1_200)
    scene.decide()
    assert (scene.where(), scene.conflict) == ("b", None)


def test_an_update_of_the_job_ends_the_conflict() -> None:
    scene = Conflicted()
    scene.claim(1_200)
    job = scene.plan.jobs["job"]
    changed = attrs.evolve(job.operators[0], parameters={"new": 1})
    scene.commit(UpdateJob(job=attrs.evolve(job, operators=(changed,)), base=0, asked_by="b"))
    scene.decide()
    assert (scene.where(), scene.conflict) == ("b", None)


def test_a_copy_that_was_out_of_date_when_its_worker_was_given_up_is_never_gone_on_with() -> None:
    scene = Conflicted()
    scene.commit(Restart(instances=(ONE,), reason="asked", evidence=()))
    scene.put(newest("c"))
    scene.becomes("b", MemberState.DEAD, accusers=("a", "c"))
    scene.decide()
    assert scene.conflict is None


def test_so_many_are_moved_back_at_a_time_as_after_an_outage() -> None:
    scene = Conflicted(parallelism=20)
    scene.decide_after(10.0)
    for which in scene.lost:
        scene.claim(1_200, which=which)
    at_a_time = int(2 * MOVES_PER_WORKER_S)
    assert len(assigns(scene.decide())) == at_a_time
    assert assigns(scene.decide()) == []
    assert len(assigns(scene.decide_after(1.0))) == at_a_time
    for _ in range(5):
        scene.decide_after(1.0)
    assert {held.run for held in scene.plan.assignments.values()} == {BACK}


def test_a_worker_that_was_waited_for_and_comes_back_as_the_same_run_may_have_it_back() -> None:
    """It was held and not evicted, since something else that it has waits for it."""
    spec = OperatorSpec(name="op", kind="map", on_conflict=FURTHEST_PROGRESS)
    pinned = OperatorSpec(name="pin", kind="map", instances=PINNED)
    scene = Scene(newest("a"), jobs=[JobSpec(name="job", operators=(spec, pinned))])
    scene.decide()
    scene.decide()
    for which in scene.plan.assignments:
        scene.say(InstanceState.RUNNING, which=which, progress=100)
    lost = scene.epoch()
    scene.put(newest("b"))
    scene.becomes("a", MemberState.DEAD, accusers=("b",))
    scene.decide()
    assert scene.where() == "b"
    assert not scene.plan.is_evicted(A)
    scene.say(InstanceState.RUNNING, progress=300)
    scene.becomes("a", MemberState.ALIVE)
    scene.decide()
    scene.commit(ClaimProgress(instance=ONE, epoch=lost, run=A, progress=1_200, checkpoint=b"x"))
    assert the_assign(scene.decide()).run == A


STEPS = (
    "claim",
    "claim",
    "run",
    "run",
    "progress",
    "leader",
    "cut a",
    "cut b",
    "back",
    "back",
    "cordon",
    "free",
    "wait",
)


class Restless(Conflicted):
    """Anything happens, in any order; `moved_back` has the conflicts for which the instance went back."""

    def __init__(self) -> None:
        super().__init__(at=1)
        self.moved_back: list[tuple[Run, int]] = []

    def decide(self) -> list[Change]:
        before = self.plan.directives.conflicts.get(ONE)
        changes = super().decide()
        for change in changes:
            if isinstance(change, Assign) and change.reason.startswith(FURTHEST_PROGRESS):
                assert before is not None, "there is something to settle"
                assert before.run.name == change.run.name
                self.moved_back.append((before.run, before.epoch))
        return changes

    def step(self, what: str, number: int) -> None:
        held = self.plan.assignments[ONE]
        match what.split():
            case ["claim"]:
                conflict = self.plan.directives.conflicts.get(ONE)
                epoch = conflict.epoch if conflict is not None else max(1, held.epoch - number)
                name = conflict.run.name if conflict is not None else "ab"[number % 2]
                run = self.members[name].run
                self.commit(ClaimProgress(instance=ONE, epoch=epoch, run=run, progress=number, checkpoint=b"c"))
            case ["run"]:
                self.say(InstanceState.RUNNING, progress=number)
            case ["progress"]:
                status = self.statuses[ONE]
                if status.is_of(held):
                    self.say(status.state, progress=status.progress + number)
            case ["leader"]:
                self.new_leader()
            case ["cut", name] if not self.members[name].state.is_gone:
                self.becomes(name, MemberState.DEAD, accusers=("a", "b"))
            case ["back"]:
                for name in sorted(self.members):
                    boot = self.members[name].run.boot
                    self.put(newest(name, boot=boot + self.plan.is_evicted(Run(name, boot))))
            case ["cordon" | "free"]:
                self.set_mode("ab"[number % 2], CORDONED if what == "cordon" else "")
            case _:
                self.now += number


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 20)), max_size=30))
def test_an_instance_never_moves_back_twice_for_one_conflict(steps: list[tuple[str, int]]) -> None:
    scene = Restless()
    for what, number in steps:
        scene.step(what, number)
        scene.decide()
        scene.decide()
    assert len(scene.moved_back) == len(set(scene.moved_back))
    evictions = sum(line.what.startswith("evict") for line in scene.plan.decisions)
    assert len(scene.moved_back) <= evictions, "and each time needs a worker that was given up"
