"""Faults as values: what is refused and how, netem's words there and back, tables of TOML, iproute2's curves."""

from __future__ import annotations

import glob
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.net.curves import CURVES, POINTS, UNIFORM, curve
from chaos.net.fault import NO_FAULT, Fault
from chaos.net.words import read_words
from swimstream.errors import UsageError

PERCENT = st.integers(0, 1_000).map(lambda tenths: tenths / 10)
MILLISECONDS = st.integers(0, 2_000_000).map(lambda microseconds: microseconds / 1000)


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    delay_ms, jitter_ms = draw(MILLISECONDS), draw(MILLISECONDS)
    burst: tuple[float, ...] = draw(st.one_of(st.just(()), st.lists(PERCENT, min_size=2, max_size=4).map(tuple)))
    reorder = draw(PERCENT) if delay_ms else 0.0
    return Fault(
        delay_ms=delay_ms,
        jitter_ms=jitter_ms,
        distribution=draw(st.sampled_from(CURVES)) if jitter_ms else UNIFORM,
        loss=0.0 if burst else draw(PERCENT),
        burst=burst,
        duplicate=draw(PERCENT),
        corrupt=draw(PERCENT),
        reorder=reorder,
        gap=draw(st.integers(0, 1_000)) if reorder else 0,
        rate_kbit=draw(st.integers(0, 10_000_000)),
        limit=draw(st.integers(1, 1_000_000)),
    )


@settings(max_examples=30)
@given(faults())
def test_netems_words_say_the_whole_fault(fault: Fault) -> None:
    back = read_words(fault.words())
    assert back.delay_ms == pytest.approx(fault.delay_ms, abs=1e-9)
    assert back.jitter_ms == pytest.approx(fault.jitter_ms, abs=1e-9)
    assert back.gilbert_elliott == fault.gilbert_elliott
    assert back.words() == fault.words()


@settings(max_examples=30)
@given(faults())
def test_every_attribute_is_named_since_tc_keeps_what_is_not(fault: Fault) -> None:
    words = fault.words().split()
    for word in ("limit", "delay", "loss", "duplicate", "corrupt", "reorder", "rate"):
        assert words.count(word) == 1


def test_words_that_people_write_are_understood() -> None:
    assert read_words("delay 50ms 10ms distribution normal loss 5%") == Fault(
        delay_ms=50, jitter_ms=10, distribution="normal", loss=5
    )
    assert read_words("delay 1s loss gemodel 2% 20% rate 1mbit") == Fault(delay_ms=1000, burst=(2, 20), rate_kbit=1000)
    assert read_words("") == NO_FAULT


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("loss 10% 25%", "loss: expected no correlation"),
        ("delay 50ms 10ms 50%", "delay: expected no correlation"),
        ("delay", "another word"),
        ("delay 50", "delay: expected a number with one of us, ms, s, got '50'"),
        ("delay -5ms", "words.delay_ms: expected 0 to"),
        ("slot 20ms 40ms", "expected a word of netem, got 'slot'"),
        ("limit many", "limit: expected a whole number"),
        ("loss x%", "loss: expected a number, got 'x'"),
        ("gap 5", "words.gap: expected a reorder above 0"),
    ],
)
def test_words_that_cannot_be_done_are_refused_by_name(words: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read_words(words)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("delay_ms = -1", r"link\.delay_ms: expected 0 to 60,000 ms, got -1"),
        ("jitter_ms = 3000", r"link\.jitter_ms: expected 0 to 2,000 ms"),
        ("loss = 101", r"link\.loss: expected 0 to 100 %"),
        ("loss = nan", r"link\.loss: expected 0 to 100 %"),
        ("loss = true", r"link\.loss: expected 0 to 100 %"),
        ("loss = '5%'", r"link\.loss: expected 0 to 100 %, got '5%'"),
        ("burst = [5]", r"link\.burst: expected p, r"),
        ("burst = [5, 120]", r"link\.burst: expected 0 to 100 % each"),
        ("burst = 5", r"link\.burst: expected a list"),
        ("burst = [5, 25]\nloss = 1", r"link\.burst: expected no loss beside it"),
        ("distribution = 'bell'\njitter_ms = 1", r"link\.distribution: expected one of uniform, normal"),
        ("distribution = 'normal'", r"link\.distribution: expected a jitter_ms above 0"),
        ("distribution = 1", r"link\.distribution: expected a str"),
        ("reorder = 5", r"link\.reorder: expected a delay_ms above 0"),
        ("gap = 2.5", r"link\.gap: expected a whole number"),
        ("rate_kbit = -1", r"link\.rate_kbit: expected 0 to"),
        ("limit = 0", r"link\.limit: expected 1 to 1e\+06 packets|link\.limit: expected 1 to"),
        ("latency = 5", r"link\.latency: expected one of delay_ms, jitter_ms"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_field_and_range(table: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Fault.from_table(tomllib.loads(table), where="link")


def test_a_table_says_a_fault() -> None:
    table = tomllib.loads("delay_ms = 40\njitter_ms = 4.5\ndistribution = 'pareto'\nburst = [1, 30, 90]\nlimit = 50")
    assert Fault.from_table(table) == Fault(
        delay_ms=40, jitter_ms=4.5, distribution="pareto", burst=(1, 30, 90), limit=50
    )


def test_loss_in_the_long_run_is_that_of_the_chain() -> None:
    assert Fault(loss=10).lost_share == pytest.approx(0.1)
    assert Fault(burst=(5, 25)).lost_share == pytest.approx(5 / 30)
    assert Fault(burst=(5, 25, 80, 1)).lost_share == pytest.approx(5 / 30 * 0.8 + 25 / 30 * 0.01)
    assert Fault(burst=(0, 0)).lost_share == 0
    assert Fault(burst=(5, 25), delay_ms=7).cut() == Fault(loss=100, delay_ms=7)


@pytest.mark.parametrize("name", CURVES)
def test_curves_rise_and_are_centred(name: str) -> None:
    values = curve(name)
    assert len(values) == POINTS
    assert list(values) == sorted(values)
    assert abs(sum(values) / POINTS) < 0.05


@pytest.mark.parametrize("name", [name for name in CURVES if name != UNIFORM])
def test_curves_are_those_of_iproute2(name: str) -> None:
    files = glob.glob(f"/usr/lib/*/tc/{name}.dist") + glob.glob(f"/usr/lib*/tc/{name}.dist")  # noqa: PTH207  # two roots
    if not files:
        pytest.skip("iproute2 keeps no tables on this machine")
    with open(files[0], encoding="ascii") as file:  # noqa: PTH123  # likewise
        lines = [line for line in file if not line.startswith("#")]
    theirs = sorted(int(word) / 8192 for line in lines for word in line.split())
    apart = [abs(one - other) for one, other in zip(theirs, curve(name), strict=True)]
    assert sum(apart) / POINTS < 0.001
    assert sorted(apart)[-20] < 0.02
