"""How long to wait for an answer, learned from those that came (RFC 6298)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.membership.round_trips import FLOOR_S, FLOOR_SHARE, RoundTrip, probe_timeout_s


def after(*rtts_s: float) -> RoundTrip:
    record = RoundTrip()
    for rtt_s in rtts_s:
        record = record.after(rtt_s)
    return record


def test_after_one_measurement_three_times_as_long_counts_as_late() -> None:
    assert after(0.1).late_s == pytest.approx(0.3)


def test_a_steady_round_trip_brings_its_own_length_near() -> None:
    assert after(*[0.1] * 30).late_s == pytest.approx(0.1, rel=0.01)


@given(st.floats(0.001, 5.0), st.floats(0.001, 5.0))
def test_what_swings_between_two_lengths_is_late_only_beyond_the_longer(one: float, other: float) -> None:
    assert after(*[one, other] * 20).late_s > 0.99 * max(one, other)


def test_one_slow_answer_does_not_move_the_median() -> None:
    assert after(0.1, 3.0, 0.1).median_s == 0.1


def test_an_unknown_member_gets_the_configured_time() -> None:
    assert probe_timeout_s(None, configured_s=0.5) == 0.5


@given(st.floats(0, 100), st.floats(0.03, 10))
def test_no_estimate_takes_the_time_out_beyond_its_bounds(estimate_s: float, configured_s: float) -> None:
    timeout_s = probe_timeout_s(estimate_s, configured_s=configured_s)
    assert min(configured_s, max(FLOOR_S, FLOOR_SHARE * configured_s)) <= timeout_s <= configured_s


def test_between_the_bounds_the_estimate_counts() -> None:
    assert probe_timeout_s(0.2, configured_s=0.5) == 0.2
