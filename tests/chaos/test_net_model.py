"""The model of a link: what it does to packets, by property and in the long run of a fixed seed."""

from __future__ import annotations

import statistics
from collections import Counter
from itertools import groupby
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.net.fault import NO_FAULT, Fault
from chaos.net.model import FRAME_BYTES, Model
from tests.chaos.test_net_fault import faults

PACKETS = 10_000
STEP_S = 0.01


def model(fault: Fault, seed: int = 1) -> Model:
    return Model(fault, rng=Random(seed))


def delays(fault: Fault, *, step_s: float = STEP_S) -> list[float]:
    """Return how long each packet took that arrived, in ms, each sent `step_s` after the last."""
    link = model(fault)
    sent = ((number * step_s, link.carry(b"packet", number * step_s)) for number in range(PACKETS))
    return [1000 * (at - now) for now, out in sent for at, _ in out]


def lost(fault: Fault) -> list[bool]:
    link = model(fault)
    return [not link.carry(b"packet", number * STEP_S) for number in range(PACKETS)]


@settings(max_examples=30)
@given(faults(), st.lists(st.tuples(st.integers(0, 100), st.binary(min_size=1, max_size=40)), max_size=20))
def test_nothing_arrives_before_it_was_sent_nor_more_than_twice_nor_beyond_the_limit(
    fault: Fault, sent: list[tuple[int, bytes]]
) -> None:
    link, now = model(fault), 0.0
    for wait_ms, packet in sent:
        now += wait_ms / 1000
        out = link.carry(packet, now)
        assert len(out) <= (2 if fault.duplicate else 1)
        assert all(at >= now and len(data) == len(packet) for at, data in out)
        assert link.on_the_way(now) <= fault.limit
        assert fault.corrupt or all(data == packet for _, data in out)


@settings(max_examples=30)
@given(faults(), st.integers(0, 100), st.lists(st.binary(min_size=1, max_size=40), max_size=20))
def test_equal_seeds_and_packets_have_equal_fates(fault: Fault, seed: int, sent: list[bytes]) -> None:
    one, other = model(fault, seed), model(fault, seed)
    for number, packet in enumerate(sent):
        assert one.carry(packet, number * 0.001) == other.carry(packet, number * 0.001)
    assert one.counters == other.counters


@settings(max_examples=30)
@given(faults(), st.lists(st.binary(min_size=1, max_size=40), max_size=20))
def test_every_packet_and_copy_is_accounted_for(fault: Fault, sent: list[bytes]) -> None:
    link = model(fault)
    arrived = sum(len(link.carry(packet, number * 0.001)) for number, packet in enumerate(sent))
    told = link.counters
    assert told.packets == len(sent)
    assert arrived == told.packets + told.duplicated - told.lost - told.over_limit


def test_without_a_fault_a_packet_arrives_at_once_and_whole() -> None:
    assert model(NO_FAULT).carry(b"hello", 5.0) == [(5.0, b"hello")]


def test_delay_and_uniform_jitter_span_exactly_their_width() -> None:
    found = delays(Fault(delay_ms=50, jitter_ms=10))
    assert min(found) >= 40
    assert max(found) <= 60
    assert statistics.mean(found) == pytest.approx(50, abs=0.2)
    assert statistics.stdev(found) == pytest.approx(10 / 3**0.5, abs=0.1)


@pytest.mark.parametrize(("name", "spread"), [("normal", 10.0), ("pareto", 8.2), ("paretonormal", 8.34)])
def test_jitter_is_spread_as_its_curve_says(name: str, spread: float) -> None:
    found = delays(Fault(delay_ms=100, jitter_ms=10, distribution=name))
    assert statistics.mean(found) == pytest.approx(100, abs=0.6)
    assert statistics.stdev(found) == pytest.approx(spread, rel=0.04)


def test_a_jitter_above_the_delay_never_makes_it_negative() -> None:
    found = delays(Fault(delay_ms=1, jitter_ms=10))
    assert min(found) == 0
    assert found.count(0.0) / len(found) == pytest.approx(0.45, abs=0.02)


def test_loss_takes_its_share_of_single_packets() -> None:
    gone = lost(Fault(loss=10))
    assert sum(gone) / PACKETS == pytest.approx(0.1, abs=0.01)
    assert _mean_burst(gone) == pytest.approx(1 / 0.9, abs=0.06)


def test_gilbert_elliott_loses_its_share_in_bursts_of_the_bad_states_length() -> None:
    fault = Fault(burst=(5, 25))
    gone = lost(fault)
    assert sum(gone) / PACKETS == pytest.approx(fault.lost_share, abs=0.02)
    assert _mean_burst(gone) == pytest.approx(4, abs=0.4)


def test_gilbert_elliott_may_spare_packets_in_the_bad_state_and_lose_some_in_the_good() -> None:
    fault = Fault(burst=(5, 25, 50, 2))
    assert sum(lost(fault)) / PACKETS == pytest.approx(fault.lost_share, abs=0.015)


def _mean_burst(gone: list[bool]) -> float:
    return statistics.mean([len(list(run)) for is_gone, run in groupby(gone) if is_gone])


def test_a_cut_link_carries_nothing() -> None:
    assert all(lost(Fault(delay_ms=5, burst=(1, 50)).cut()))


def test_duplicates_come_at_the_stated_share_each_with_a_delay_of_its_own() -> None:
    link = model(Fault(duplicate=10, delay_ms=5, jitter_ms=5))
    out = [link.carry(b"packet", number * STEP_S) for number in range(PACKETS)]
    counted = Counter(len(each) for each in out)
    assert counted[2] / PACKETS == pytest.approx(0.1, abs=0.01)
    assert any(each[0][0] != each[1][0] for each in out if len(each) == 2)


def test_corruption_flips_one_bit_anywhere_in_a_share_of_the_packets() -> None:
    link, packet = model(Fault(corrupt=10)), bytes(20)
    damaged = [data for number in range(PACKETS) for _, data in link.carry(packet, number * STEP_S) if data != packet]
    assert len(damaged) / PACKETS == pytest.approx(0.1, abs=0.01)
    assert {sum(byte.bit_count() for byte in data) for data in damaged} == {1}
    assert {next(at for at, byte in enumerate(data) if byte) for data in damaged} == set(range(20))


def test_reordering_sends_a_share_at_once_past_those_that_are_delayed() -> None:
    found = delays(Fault(delay_ms=20, reorder=25))
    assert found.count(0.0) / len(found) == pytest.approx(0.25, abs=0.02)


def test_a_gap_lets_only_every_so_many_th_packet_be_reordered() -> None:
    found = delays(Fault(delay_ms=20, reorder=100, gap=5))
    assert [ms < 1 for ms in found[:15]] == [number % 5 == 4 for number in range(15)]


def test_a_rate_spaces_packets_by_their_size_on_the_wire() -> None:
    link = model(Fault(rate_kbit=1000, delay_ms=10))
    arrivals = [link.carry(bytes(236), 1.0)[0][0] for _ in range(4)]
    step_s = (236 + FRAME_BYTES) * 8 / 1e6
    assert arrivals == pytest.approx([1.01 + step_s * count for count in (1, 2, 3, 4)])


def test_a_model_that_takes_anothers_place_has_its_queue_before_it() -> None:
    before, after = model(Fault(rate_kbit=8)), model(Fault(rate_kbit=80, limit=3))
    for _ in range(2):
        before.carry(bytes(86), 0.0)
    after.follow(before)
    assert after.carry(bytes(86), 0.05)[0][0] == pytest.approx(0.2 + 0.01)
    assert after.carry(bytes(86), 0.05) == [], "two and one are the limit"
    assert before.on_the_way(0.05) == 2


def test_a_full_queue_drops_and_counts_until_it_has_drained() -> None:
    link = model(Fault(rate_kbit=8, limit=3))
    out = [link.carry(bytes(86), 0.0) for _ in range(5)]  # 100 bytes on the wire: 0.1 s each
    assert [len(each) for each in out] == [1, 1, 1, 0, 0]
    assert link.counters.over_limit == 2
    assert link.carry(bytes(86), 0.11)[0][0] == pytest.approx(0.4)
    assert link.on_the_way(0.5) == 0
