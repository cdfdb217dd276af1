"""Boots: higher than what came before, and nobody else's."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.boots import RAISE_MS_MAX, boot_above, boot_after
from swimstream.core.effects import Saved
from tests.core.town import Town


@given(st.integers(0, 2**62), st.integers())
def test_a_raised_boot_is_above_the_old_one_by_a_second_at_most(boot: int, seed: int) -> None:
    assert boot < boot_after(boot, rng=Random(seed)) <= boot + RAISE_MS_MAX


def test_lives_that_find_the_same_earlier_run_do_not_take_the_same_boot() -> None:
    """Else the second life would start again what the first has started, under the very same epoch."""
    boots = {boot_after(1_000, rng=Random(life)) for life in range(10)}
    assert len(boots) == 10


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_clock_that_was_set_back_does_not_make_a_worker_older_than_its_disk_remembers(earlier: int, now: int) -> None:
    boot = boot_above(Saved(voter=0, boot=earlier), name="a", now_ms=now)
    assert boot > earlier
    assert boot in (now, earlier + 1)


def test_a_worker_that_joined_has_its_disk_remember_its_boot_before_anybody_hears_of_it() -> None:
    town = Town("ab")
    town.run_until_led()
    for name in "ab":
        assert town[name].disk.saved().boot == town.node(name).run.boot
