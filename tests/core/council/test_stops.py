"""Since when a leader knows that a run is stopped, and how long it waits from then on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.council.stops import MARKS_MAX, StopLedger, wait_s

KEPT_S = 8.0


def ledger(*commits: tuple[int, float], elected_at: float = 100.0, last_index: int = 10) -> StopLedger:
    """Return the book of a leader that advanced its commit to each index at each time."""
    made = StopLedger(elected_at=elected_at, last_index=last_index)
    for index, now in commits:
        made.commit_reached(index, now, kept_s=KEPT_S)
    return made


def test_the_wait_pays_for_a_slow_clock_at_the_run_and_a_fast_one_at_the_leader() -> None:
    """Authority rule 8: with 10 % the shorter `1 + 2 * rho` would be 7.2 s, without any drift 6 s."""
    assert wait_s(6_000, 100_000) == pytest.approx(6.0 * 1.1 / 0.9)
    assert wait_s(6_000, 100_000) > 6.0 * (1 + 2 * 0.1)


@given(st.integers(1, 3_600_000), st.integers(0, 100_000), st.floats(-1, 1), st.floats(-1, 1))
def test_when_the_wait_is_over_no_run_has_authority_left(isolation_ms: int, ppm: int, run: float, lead: float) -> None:
    """Whatever the two rates of the clocks are, within the bound."""
    rho = ppm / 1e6
    acts_for_s = isolation_ms / 1_000 / (1 + run * rho)
    waits_for_s = wait_s(isolation_ms, ppm) / (1 + lead * rho)
    assert waits_for_s >= acts_for_s * (1 - 1e-12)


def test_what_was_in_the_log_at_the_election_counts_from_the_election() -> None:
    book = ledger((10, 101.0), (12, 102.0))
    assert (book.known_since(3), book.known_since(10)) == (100.0, 100.0)


def test_what_came_later_counts_from_the_moment_when_the_leader_knew_it_committed() -> None:
    book = ledger((12, 102.0), (15, 103.0))
    assert [book.known_since(index) for index in (11, 12, 13, 15)] == [102.0, 102.0, 103.0, 103.0]


def test_what_is_not_committed_is_not_known() -> None:
    assert ledger((12, 102.0)).known_since(13) == float("inf")


def test_a_commit_that_is_told_again_stays_as_old_as_it_is() -> None:
    assert ledger((12, 102.0), (12, 105.0), (11, 106.0)).known_since(12) == 102.0
    assert ledger((12, 102.0), (12, 102.0 + KEPT_S / MARKS_MAX / 2)).known_since(12) == 102.0


def test_what_is_older_than_the_wait_is_dropped_and_counts_as_known_for_as_long_as_the_wait() -> None:
    book = ledger((12, 102.0), (13, 103.0), (20, 103.0 + KEPT_S))
    assert len(book) == 2
    assert book.known_since(5) == book.known_since(12) == book.known_since(13) == 103.0


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1) | st.floats(0, 0.001)), max_size=400))
def test_the_book_is_short_and_nothing_counts_as_known_earlier_than_it_was(steps: list[tuple[int, float]]) -> None:
    book, now, index = ledger(), 100.0, 10
    truth: dict[int, float] = {}
    for more, pause_s in steps:
        now += pause_s
        truth |= dict.fromkeys(range(index + 1, index + more + 1), now)
        index += more
        book.commit_reached(index, now, kept_s=KEPT_S)
        assert len(book) <= MARKS_MAX + 2
    for known, since in truth.items():
        told = book.known_since(known)
        assert told >= since
        assert told <= since + KEPT_S / MARKS_MAX or told + KEPT_S <= now, "late by no more than commits are joined"


def test_a_leader_that_commits_without_a_pause_keeps_a_short_book() -> None:
    book = ledger(*((11 + step, 100.0 + step * 0.001) for step in range(20_000)))
    assert len(book) <= MARKS_MAX + 2
