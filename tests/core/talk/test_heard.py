"""The memory of what was heard: nothing twice, whatever was forgotten meanwhile."""

from __future__ import annotations

from collections import Counter
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.talk import heard as heard_module
from swimstream.core.talk.heard import Heard
from swimstream.model.identity import Run

A, B = Run("a", 1), Run("b", 1)


def memory(*, items_max: int = 3, keep_s: float = 10.0) -> tuple[Heard, Counter[str]]:
    counters: Counter[str] = Counter()
    return Heard(items_max=items_max, keep_s=keep_s, counters=counters, counter="dropped"), counters


@given(
    st.lists(st.tuples(st.sampled_from([A, B]), st.integers(1, 8), st.floats(0, 5)), max_size=60),
)
def test_nothing_is_taken_twice_and_the_memory_stays_small(items: list[tuple[Run, int, float]]) -> None:
    heard, _ = memory()
    taken, now = [], 0.0
    for run, number, pause_s in items:
        now += pause_s
        if heard.take((run, number), now, rank=number):
            taken.append((run, number))
        assert len(heard) <= 3
    assert len(set(taken)) == len(taken)


def test_what_is_forgotten_still_counts_as_heard() -> None:
    heard, _ = memory()
    assert heard.take((A, 1), 0.0, rank=1)
    heard.forget_old(10.0)
    assert heard.keys() == ()
    assert not heard.take((A, 1), 11.0, rank=1)
    assert heard.take((A, 2), 11.0, rank=2)
    assert heard.take((B, 1), 11.0, rank=1)


def test_a_full_memory_lets_the_lowest_go_and_counts_it() -> None:
    heard, counters = memory(items_max=2)
    for number in (5, 3, 4):
        assert heard.take((A, number), 0.0, rank=number)
    assert heard.keys() == ((A, 4), (A, 5))
    assert counters["dropped"] == 1
    assert not heard.take((B, 1), 0.0, rank=1), "later than all that is remembered"
    assert counters["dropped"] == 2


def test_lowest_numbers_are_kept_of_so_many_origins() -> None:
    heard, _ = memory(items_max=1)
    with patch.object(heard_module, "ORIGINS_MAX", 2):
        for number in range(5):
            heard.take((Run(f"n{number}", 1), 1), float(number), rank=number)
    assert len(heard._floors) == 2


def test_without_ranks_the_oldest_goes() -> None:
    heard, _ = memory(items_max=2)
    for number in (5, 3, 4):
        assert heard.take((Run(f"n{number}", 1), number), 0.0)
    assert heard.keys() == ((Run("n3", 1), 3), (Run("n4", 1), 4))
