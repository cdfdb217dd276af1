"""Boots: higher than what came before, and nobody else's."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.boots import RAISE_MS_MAX, boot_after


@given(st.integers(0, 2**62), st.integers())
def test_a_raised_boot_is_above_the_old_one_by_a_second_at_most(boot: int, seed: int) -> None:
    assert boot < boot_after(boot, rng=Random(seed)) <= boot + RAISE_MS_MAX


def test_lives_that_find_the_same_earlier_run_do_not_take_the_same_boot() -> None:
    """Else the second life would start again what the first has started, under the very same epoch."""
    boots = {boot_after(1_000, rng=Random(life)) for life in range(10)}
    assert len(boots) == 10
