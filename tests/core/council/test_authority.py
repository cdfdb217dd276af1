"""What a run knows of a quorum: from when a proof counts, and for whom."""

from __future__ import annotations

from collections import Counter
from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.council.authority import NONCES_KEPT, PROOF_S_MAX, WAITING_MAX, Authority
from swimstream.core.council.beacons import Proof, Questions, proof_in
from swimstream.model.identity import Run
from swimstream.model.plan import Plan, PlanMark
from swimstream.wire.council_messages import AppendReply, AuthorityReply, AuthorityRequest, Beacon
from tests.core.council.peers import append

ME = Run("w", 5)
MARK = PlanMark(term=1, leader="a", index=0)
NEVER = float("-inf")


class Bench:
    """The authority of one run, with its counters."""

    def __init__(self, seed: int = 1) -> None:
        self.counters: Counter[str] = Counter()
        self.authority = Authority(rng=Random(seed), counters=self.counters)

    def answer(self, request: AuthorityRequest, age_ms: int, *, index: int = 0) -> None:
        beacon = Beacon(term=1, index=index, age_ms=age_ms)
        self.authority.receive_reply(AuthorityReply(nonce=request.nonce, mark=MARK, beacon=beacon))

    def usable_at(self, plan: Plan | None = None) -> float:
        """Return from when the newest proof is that this run may use under `plan`."""
        self.authority.review(plan if plan is not None else Plan(), ME)
        return self.authority.usable_at


def proof(index: int, issued: float) -> Proof:
    return Proof(term=1, index=index, issued=issued)


# --- rule 4: the sending of the very question -------------------------------------------------------


def test_a_proof_counts_from_the_sending_of_the_question_that_it_answers() -> None:
    bench = Bench()
    asked_at_10 = bench.authority.request(10.0)
    bench.authority.request(20.0)
    bench.answer(asked_at_10, 1_000)
    assert bench.usable_at() == 9.0


def test_a_leaders_heartbeat_answers_the_reply_whose_token_it_echoes() -> None:
    bench = Bench()
    token = bench.authority.token(10.0)
    bench.authority.token(20.0)
    beacon = Beacon(term=1, index=0, age_ms=1_000)
    bench.authority.receive_append(attrs.evolve(append(1), echo=token, beacon=beacon))
    assert bench.usable_at() == 9.0


def test_a_heartbeat_that_answers_nothing_proves_nothing() -> None:
    bench = Bench()
    bench.authority.token(10.0)
    bench.authority.receive_append(attrs.evolve(append(1), beacon=Beacon(term=1, index=0, age_ms=0)))
    assert bench.usable_at() == NEVER
    assert bench.counters["beacons_unmatched"] == 1


def test_a_late_answer_to_a_former_process_of_this_worker_proves_nothing() -> None:
    before, after = Bench(seed=1), Bench(seed=2)
    question, token = before.authority.request(10.0), before.authority.token(10.0)
    for _ in range(NONCES_KEPT):
        after.authority.request(20.0)
        after.authority.token(20.0)
    after.answer(question, 0)
    after.authority.receive_append(attrs.evolve(append(1), echo=token, beacon=Beacon(term=1, index=0, age_ms=0)))
    assert after.usable_at() == NEVER
    assert after.counters["beacons_unmatched"] == 2


def test_a_number_is_used_for_one_question_only() -> None:
    questions = Questions(Random(1), kept=4)
    numbers = [questions.ask(float(now)) for now in range(100)]
    assert len(set(numbers)) == 100
    assert [questions.asked_at(number) for number in numbers[-5:]] == [None, 96.0, 97.0, 98.0, 99.0]


def test_no_number_is_0_which_stands_for_none() -> None:
    class Lowest(Random):
        def getrandbits(self, k: int, /) -> int:
            return 0 * k

    questions = Questions(Lowest(), kept=4)
    numbers = [questions.ask(0.0) for _ in range(10)]
    assert min(numbers) > 0
    assert len(set(numbers)) == 10


def test_a_number_fits_the_wire() -> None:
    class Highest(Random):
        def getrandbits(self, k: int, /) -> int:
            return (1 << k) - 1

    assert (
        AppendReply(term=1, voter=1, round=1, success=True, index=1, token=Questions(Highest(), kept=1).ask(0.0)).token
        < 2**63 - 2**40
    )


def test_what_has_been_used_waits_no_more_and_nothing_is_dropped_for_it() -> None:
    bench = Bench()
    for step in range(10 * WAITING_MAX):
        bench.authority.learn(proof(step, float(step)))
        assert bench.usable_at(Plan(index=step)) == step
    assert bench.counters["proofs_dropped"] == 0


def test_what_could_be_used_no_sooner_and_for_no_longer_takes_nobodys_place() -> None:
    bench = Bench()
    bench.authority.learn(proof(2, 3.0))
    bench.authority.learn(proof(5, 10.0))
    for step in range(2 * WAITING_MAX):
        bench.authority.learn(proof(5 + step, 4.0 + step / 10))
    assert bench.usable_at(Plan(index=2)) == 3.0
    assert bench.counters["proofs_dropped"] == 0


# --- rule 5: the age is that of the writing ---------------------------------------------------------


def test_the_age_is_computed_anew_for_every_answer() -> None:
    bench = Bench()
    bench.authority.learn(proof(3, 10.0))
    ages = [beacon.age_ms for now in (10.5, 12.5) if (beacon := bench.authority.beacon(now)) is not None]
    assert ages[1] - ages[0] == 2_000


def test_the_age_is_rounded_up() -> None:
    assert proof(3, 10.0).written_at(10.0001).age_ms >= 1
    assert proof(3, 0.0).written_at(0.0101).age_ms >= 11


def test_a_proof_is_passed_on_by_who_may_not_use_it() -> None:
    bench = Bench()
    bench.authority.learn(proof(3, 10.0))
    assert bench.usable_at(Plan(index=2)) == NEVER
    beacon = bench.authority.beacon(11.0)
    assert beacon is not None
    assert (beacon.term, beacon.index) == (1, 3)


def test_what_is_older_than_any_proof_lasts_is_told_nobody() -> None:
    bench = Bench()
    bench.authority.learn(proof(3, 10.0))
    assert bench.authority.beacon(10.0 + PROOF_S_MAX) is not None
    assert bench.authority.beacon(10.1 + PROOF_S_MAX) is None


@attrs.frozen
class Hop:
    """One relay: its clock is `offset_s` off the true time; question and answer take so long, and it writes late."""

    offset_s: float
    question_s: float
    thinks_s: float
    answer_s: float


SECONDS = st.floats(0, 100, allow_nan=False)


@given(
    st.floats(0, 1_000),
    st.lists(st.builds(Hop, st.floats(-1e6, 1e6), SECONDS, SECONDS, SECONDS), min_size=1, max_size=8),
)
def test_along_any_chain_of_relays_a_proof_never_looks_younger_than_it_is(issued: float, hops: list[Hop]) -> None:
    """The induction of the proof, on clocks of equal rate: drift is what the waiting of the leader pays for."""
    now, offset_s, known = issued, 0.0, proof(1, issued)
    for hop in hops:
        asked_at = now
        now += hop.question_s + hop.thinks_s
        beacon = known.written_at(now + offset_s)
        now += hop.answer_s
        known, offset_s = proof_in(beacon, asked_at=asked_at + hop.offset_s), hop.offset_s
        assert known.issued - offset_s <= issued


# --- rule 6: whose plan has come so far, and is not held --------------------------------------------


def test_a_proof_counts_only_for_a_plan_that_has_come_as_far() -> None:
    bench = Bench()
    bench.authority.learn(proof(7, 10.0))
    assert bench.usable_at(Plan(index=6)) == NEVER
    assert bench.usable_at(Plan(index=7)) == 10.0


def test_a_held_run_renews_by_nothing_and_keeps_what_it_has() -> None:
    bench = Bench()
    bench.authority.learn(proof(3, 10.0))
    assert bench.usable_at(Plan(index=3)) == 10.0
    held = Plan(index=4, stops={ME: 4})
    bench.authority.learn(proof(4, 11.0))
    assert bench.usable_at(held) == 10.0


def test_a_released_run_may_use_what_it_has_learned_in_the_meantime() -> None:
    bench = Bench()
    bench.authority.learn(proof(4, 11.0))
    assert bench.usable_at(Plan(index=4, stops={ME: 4})) == NEVER
    assert bench.usable_at(Plan(index=5)) == 11.0


def test_an_evicted_run_renews_by_nothing() -> None:
    bench = Bench()
    bench.authority.learn(proof(4, 11.0))
    assert bench.usable_at(Plan(index=4, evicted={ME.name: ME.boot})) == NEVER


def test_another_run_that_is_held_holds_nobody_else() -> None:
    bench = Bench()
    bench.authority.learn(proof(4, 11.0))
    assert bench.usable_at(Plan(index=4, stops={Run("w", 4): 4})) == 11.0


def test_while_the_newest_proof_is_out_of_reach_an_older_one_counts() -> None:
    bench = Bench()
    bench.authority.learn(proof(9, 12.0))
    bench.authority.learn(proof(4, 11.0))
    assert bench.usable_at(Plan(index=8)) == 11.0
    assert bench.usable_at(Plan(index=9)) == 12.0


def test_an_older_proof_takes_nothing_back() -> None:
    bench = Bench()
    bench.authority.learn(proof(4, 11.0))
    bench.usable_at(Plan(index=9))
    bench.authority.learn(proof(4, 10.0))
    assert bench.usable_at(Plan(index=9)) == 11.0


def test_proofs_that_wait_for_the_plan_are_bounded_and_the_oldest_goes_first() -> None:
    bench = Bench()
    for step in range(WAITING_MAX + 2):
        bench.authority.learn(proof(10 + step, float(step)))
    assert bench.counters["proofs_dropped"] == 2
    assert bench.usable_at(Plan(index=11)) == NEVER
    assert bench.usable_at(Plan(index=12)) == 2.0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_proofs_only_the_better_one_waits(order: tuple[int, int]) -> None:
    """Otherwise many equal ones would crowd out those that are usable sooner."""
    bench = Bench()
    pair = (proof(5, 10.0), proof(4, 11.0))
    bench.authority.learn(proof(3, 9.0))
    for which in order * WAITING_MAX:
        bench.authority.learn(pair[which])
    assert bench.counters["proofs_dropped"] == 0
    assert bench.usable_at(Plan(index=3)) == 9.0
