"""The judge of authority knows what any message can have proved, and catches whoever counts on more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.config import LOCAL
from swimstream.model.changes import Evict, Hold, Release, Seat, SetAuthority, SubmitJob
from swimstream.model.identity import Run
from swimstream.model.job import AT_MOST_ONE
from swimstream.simulator import promises
from swimstream.simulator.causes import NEVER, Causes
from swimstream.simulator.clock import Clock
from swimstream.simulator.faults import Faults
from swimstream.simulator.observer import Observer
from swimstream.simulator.promises import PromiseBroken
from tests.worlds.views import FOUNDED, JOB, FakeView, assign, plan_after

if TYPE_CHECKING:
    from swimstream.simulator.watches import Watch

A, B, C = FOUNDED.council
D = Seat("d", 1)
AUTHORITY = SetAuthority(isolation_ms=4_000, drift_ppm=10_000)
ONCE = SubmitJob(job=attrs.evolve(JOB, operators=[attrs.evolve(each, instances=AT_MOST_ONE) for each in JOB.operators]))
LASTS_S = 4.0 / 0.99
"""By the world's clock, on a clock that is slow by the whole drift."""
HOLD = Hold(run=Run("a", 1), reason="suspected", evidence=())


# --- what can be known ------------------------------------------------------------------------------


def test_a_leader_alone_proves_nothing() -> None:
    one = Causes(A)
    one.lead((A, B, C), now=5.0)
    assert one.proof_at == NEVER


def test_a_leader_proves_the_moment_at_which_a_majority_spoke() -> None:
    one, two, three = Causes(A), Causes(B), Causes(C)
    one.learn(two.stamp(b"ack", now=3.0))
    one.learn(three.stamp(b"ack", now=2.0))
    one.lead((A, B, C), now=5.0)
    assert one.proof_at == 3.0


def test_who_has_no_seat_proves_nothing_to_a_leader() -> None:
    one = Causes(A)
    one.learn(Causes(D).stamp(b"ack", now=3.0))
    one.lead((A, B, C), now=5.0)
    assert one.proof_at == NEVER


def test_a_leader_without_a_seat_does_not_count_itself() -> None:
    one = Causes(D)
    one.learn(Causes(A).stamp(b"ack", now=3.0))
    one.learn(Causes(B).stamp(b"ack", now=2.0))
    one.lead((A, B, C), now=5.0)
    assert one.proof_at == 2.0


def test_a_council_of_one_proves_the_present() -> None:
    one = Causes(A)
    one.lead((A,), now=5.0)
    assert one.proof_at == 5.0


def test_a_proof_travels_with_messages_and_is_as_old_as_when_they_were_sent() -> None:
    one, two, three = Causes(A), Causes(B), Causes(C)
    one.lead((A,), now=5.0)
    letter = one.stamp(b"ping", now=5.0)
    one.lead((A,), now=6.0)
    two.learn(letter)
    three.learn(two.stamp(b"ping", now=7.0))
    assert (two.proof_at, three.proof_at) == (5.0, 5.0)


def test_what_was_heard_through_others_counts() -> None:
    one, two, three = Causes(A), Causes(B), Causes(C)
    two.learn(three.stamp(b"ack", now=2.0))
    one.learn(two.stamp(b"ack", now=3.0))
    one.lead((B, C), now=5.0)
    assert one.proof_at == 2.0


def test_a_stamp_changes_nothing_of_what_is_sent() -> None:
    stamped = Causes(A).stamp(b"payload", now=1.0)
    assert stamped == b"payload"
    assert isinstance(stamped, bytes)


def test_what_was_damaged_on_the_way_tells_nothing() -> None:
    one = Causes(A)
    one.lead((A,), now=5.0)
    two = Causes(B)
    two.learn(one.stamp(b"payload", now=5.0)[:3])
    assert two.proof_at == NEVER


# --- what may be done with it -----------------------------------------------------------------------


class Trial:
    """A judge, and a worker that has proof of one moment."""

    def __init__(self, *, proof_at: float) -> None:
        self.clock = Clock()
        self.observer = Observer(seed=1, gentle=False, clock=self.clock, timing=LOCAL, faults=Faults())
        self.causes = Causes(A)
        self.causes.lead((A,), now=proof_at)
        self.view = FakeView("a", plan=plan_after(FOUNDED, AUTHORITY, ONCE, assign("a")))
        self.watch: Watch = self.observer.begin(self.view)
        self.observer.step(self.watch)

    def commit(self, *changes: Hold | Release | Evict, at: float) -> None:
        """Have somebody else commit what this worker does not know yet."""
        self.clock.run_until(at)
        plan = plan_after(FOUNDED, AUTHORITY, ONCE, assign("a"), *changes)
        self.observer.step(self.observer.begin(FakeView("b", plan=plan)))

    def fence(self, until: float) -> None:
        self.observer.authority.fence(self.watch, until, self.causes)


def test_a_fence_within_l_of_the_proof_is_allowed() -> None:
    Trial(proof_at=5.0).fence(5.0 + LASTS_S)


def test_a_fence_that_counts_from_the_receipt_is_caught() -> None:
    """A few milliseconds are enough: the transit time of one message."""
    with pytest.raises(PromiseBroken, match=promises.AUTHORITY):
        Trial(proof_at=5.0).fence(5.0 + LASTS_S + 0.003)


def test_a_fence_without_any_proof_is_caught() -> None:
    with pytest.raises(PromiseBroken, match=promises.AUTHORITY):
        Trial(proof_at=NEVER).fence(1.0)


def test_a_fence_before_authority_has_a_length_is_caught() -> None:
    trial = Trial(proof_at=5.0)
    trial.view.plan = attrs.evolve(trial.view.plan, isolation_ms=0, drift_ppm=0)
    with pytest.raises(PromiseBroken, match=promises.AUTHORITY):
        trial.fence(5.1)


def test_a_held_run_that_renews_from_a_later_proof_is_caught() -> None:
    """Also one that has not heard of it: it lacks the plan that the beacon names."""
    trial = Trial(proof_at=20.0)
    trial.commit(HOLD, at=10.0)
    with pytest.raises(PromiseBroken, match=r"stopped by entry 5, committed at 10\.0000 s"):
        trial.fence(20.0 + LASTS_S)


def test_a_held_run_may_use_up_what_it_had() -> None:
    trial = Trial(proof_at=20.0)
    trial.commit(HOLD, at=10.0)
    trial.fence(10.0 + LASTS_S)


def test_an_evicted_run_that_renews_is_caught() -> None:
    trial = Trial(proof_at=20.0)
    trial.commit(Evict(run=Run("a", 1), reason="dead", evidence=()), at=10.0)
    with pytest.raises(PromiseBroken, match=promises.AUTHORITY):
        trial.fence(20.0 + LASTS_S)


def test_a_run_that_was_released_may_renew() -> None:
    trial = Trial(proof_at=20.0)
    trial.commit(HOLD, Release(run=Run("a", 1), reason="it answered"), at=10.0)
    trial.fence(20.0 + LASTS_S)


def test_a_run_that_is_the_first_to_know_of_its_release_may_renew_in_that_step() -> None:
    """A leader that had been held releases itself."""
    trial = Trial(proof_at=20.0)
    trial.commit(HOLD, at=10.0)
    release = Release(run=Run("a", 1), reason="it answered")
    trial.view.plan = plan_after(FOUNDED, AUTHORITY, ONCE, assign("a"), HOLD, release)
    trial.fence(20.0 + LASTS_S)


def test_a_second_hold_counts_anew() -> None:
    trial = Trial(proof_at=20.0)
    trial.commit(HOLD, at=10.0)
    trial.commit(HOLD, Release(run=Run("a", 1), reason="it answered"), HOLD, at=15.0)
    trial.fence(15.0 + LASTS_S)
    with pytest.raises(PromiseBroken, match="stopped by entry 7"):
        trial.fence(15.1 + LASTS_S)


def test_the_stop_of_another_run_stops_nobody_else() -> None:
    trial = Trial(proof_at=20.0)
    trial.commit(Hold(run=Run("b", 1), reason="suspected", evidence=()), at=10.0)
    trial.fence(20.0 + LASTS_S)
