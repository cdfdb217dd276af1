"""How far a node doubts itself (Lifeguard §IV-A)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.membership.health import Health

DOUBTFUL = Health(score_max=8, score=4)


def test_a_good_round_takes_one_away() -> None:
    assert DOUBTFUL.after_success().score == 3


def test_each_relay_that_stays_silent_counts() -> None:
    assert DOUBTFUL.after_failure(nacks_expected=3, nacks_received=1).score == 6


def test_a_failed_round_in_which_every_relay_answered_counts_nothing() -> None:
    assert DOUBTFUL.after_failure(nacks_expected=3, nacks_received=3).score == 4


def test_a_failed_round_without_any_relay_counts_one() -> None:
    assert DOUBTFUL.after_failure(nacks_expected=0, nacks_received=0).score == 5


def test_having_to_refute_counts_one() -> None:
    assert DOUBTFUL.after_refutation().score == 5


def test_a_healthy_node_keeps_the_pace() -> None:
    assert Health(score_max=8).stretch == 1


@given(st.integers(0, 16), st.lists(st.integers(-1, 3), max_size=40))
def test_the_stretch_stays_within_its_bounds(score_max: int, rounds: list[int]) -> None:
    health = Health(score_max=score_max)
    for silent in rounds:
        health = health.after_success() if silent < 0 else health.after_failure(nacks_expected=3, nacks_received=silent)
        assert 1 <= health.stretch <= 1 + score_max
