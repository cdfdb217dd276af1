"""How long silence may last (Lifeguard §IV-B)."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.config import LAN
from swimstream.core.membership.suspicion import Suspicion, Suspicions, confirmations_max, timeouts_s

OPEN = Suspicion(started_at=100.0, timeout_s_min=8.0, timeout_s_max=48.0, confirmations_max=3, reporters=frozenset("b"))


def confirmed_by(witnesses: str) -> Suspicion:
    suspicion = OPEN
    for witness in witnesses:
        suspicion = suspicion.confirm(witness)
    return suspicion


def test_a_suspicion_that_nobody_confirms_lasts_the_longest() -> None:
    assert OPEN.deadline() == 148.0


def test_as_many_witnesses_as_count_make_it_the_shortest() -> None:
    assert confirmed_by("cde").deadline() == pytest.approx(108.0)


def test_each_witness_brings_less_than_the_one_before() -> None:
    deadlines = [confirmed_by("cde"[:count]).deadline() - 100 for count in range(4)]
    assert deadlines == pytest.approx([48.0, 28.0, 16.3, 8.0], abs=0.05)


def test_the_same_witness_counts_once() -> None:
    assert confirmed_by("cc").deadline() == confirmed_by("c").deadline()


def test_the_first_accuser_is_no_witness_of_its_own() -> None:
    assert confirmed_by("b").deadline() == OPEN.deadline()


def test_the_first_signature_under_hearsay_is_an_accusation_and_no_confirmation() -> None:
    hearsay = attrs.evolve(OPEN, reporters=frozenset())
    assert hearsay.confirm("c").deadline() == OPEN.deadline()


def test_witnesses_beyond_those_that_count_are_not_wanted() -> None:
    assert confirmed_by("cd").wants_more
    assert not confirmed_by("cde").wants_more


def test_where_nobody_can_confirm_the_shortest_time_holds() -> None:
    assert attrs.evolve(OPEN, confirmations_max=0).deadline() == 108.0


@given(st.lists(st.sampled_from("bcdefgh"), max_size=10), st.integers(0, 6))
def test_more_witnesses_never_postpone_the_deadline(witnesses: list[str], wanted: int) -> None:
    suspicion = attrs.evolve(OPEN, confirmations_max=wanted)
    for witness in witnesses:
        after = suspicion.confirm(witness)
        assert 108.0 - 1e-9 <= after.deadline() <= suspicion.deadline()
        suspicion = after


@given(members=st.integers(1, 10_000), mult=st.floats(1, 64), max_mult=st.floats(1, 64))
def test_the_shortest_time_grows_with_the_logarithm_and_the_longest_with_it(
    members: int, mult: float, max_mult: float
) -> None:
    shortest, longest = timeouts_s(members=members, probe_interval_s=2.0, mult=mult, max_mult=max_mult)
    assert shortest == pytest.approx(2.0 * mult * max(1.0, math.log10(members)))
    assert longest == pytest.approx(shortest * max_mult)


@pytest.mark.parametrize(("members", "possible"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (100, 3)])
def test_no_more_witnesses_are_awaited_than_there_are(members: int, possible: int) -> None:
    assert confirmations_max(members=members, wanted=3) == possible


STEPS = st.tuples(st.sampled_from("abc"), st.sampled_from(["open", "close", "x", "y", "z"]))


@given(st.lists(STEPS, max_size=30))
def test_the_earliest_deadline_of_all_open_suspicions_is_known(history: list[tuple[str, str]]) -> None:
    """What is neither opening nor closing is the name of one more accuser."""
    suspicions = Suspicions(LAN)
    model: dict[str, Suspicion] = {}
    for moment, (name, step) in enumerate(history):
        if step == "open":
            suspicions.open(name, "w", members=9, now=float(moment))
            model[name] = Suspicion(
                started_at=float(moment),
                timeout_s_min=4.0,
                timeout_s_max=24.0,
                confirmations_max=3,
                reporters=frozenset("w"),
            )
        elif step == "close":
            assert suspicions.close(name) == (model.pop(name, None) is not None)
        elif name in model:
            assert suspicions.confirm(name, step) == (step not in model[name].reporters)
            model[name] = model[name].confirm(step)
        deadlines = {name: suspicion.deadline() for name, suspicion in model.items()}
        assert suspicions.next_deadline() == min(deadlines.values(), default=math.inf)
        for now in (4.0, 10.0, 24.0, 60.0):
            assert suspicions.due(now) == sorted(name for name, deadline in deadlines.items() if deadline <= now)
