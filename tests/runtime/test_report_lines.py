"""What a command says on descriptor 3, line by line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.runners.report_lines import LINE_BYTES_MAX, TOLD_MAX, ReportLines


def said(*chunks: bytes) -> tuple[ReportLines, list[str]]:
    told: list[str] = []
    lines = ReportLines(told.append)
    for chunk in chunks:
        lines.feed(chunk)
    return lines, told


def test_the_newest_of_each_thing_is_kept() -> None:
    lines, told = said(b'{"progress": 1, "checkpoint": "a"}\n{"progress": 2}\n{"endpoint": "h:9"}\n')
    assert lines.has_news
    assert lines.take() == (2, b"a", "h:9")
    assert lines.take() is None
    assert not lines.has_news
    assert told == []


def test_progress_0_is_news() -> None:
    lines, _ = said(b'{"progress": 0}\n')
    assert lines.has_news
    assert lines.take() == (0, None, None)


@given(st.lists(st.integers(1, 40), max_size=8))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts: list[int]) -> None:
    data = b'{"progress": 1}\n{"checkpoint": "row 7"}\nnonsense\n{"endpoint": "h:9"}\n'
    chunks, rest = [], data
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]
    lines, _ = said(*chunks, rest)
    assert (lines.take(), lines.refused) == ((1, b"row 7", "h:9"), 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("7", "expected a JSON object a line"),
        ("{", "expected a JSON object a line"),
        ('{"progress": true}', "progress: expected an integer"),
        ('{"progress": 1.5}', "progress: expected an integer"),
        ('{"progress": 9223372036854775808}', "progress: expected an integer"),
        ('{"checkpoint": 7}', "checkpoint: expected text"),
        (json.dumps({"checkpoint": "x" * 65}), "checkpoint: expected at most 64 bytes, got 65"),
        ('{"endpoint": "nowhere"}', "endpoint: expected"),
        ('{"endpoint": "h:0"}', "endpoint: expected host:port with a real port"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_whole_and_told(line: str, words: str) -> None:
    lines, told = said(line.encode() + b"\n")
    assert (lines.refused, lines.take()) == (1, None)
    assert told[0].startswith(f"descriptor 3: {words}")


def test_a_line_beyond_the_bound_is_refused_and_not_kept_in_memory() -> None:
    lines, _ = said(*[b"x" * LINE_BYTES_MAX] * 100)
    assert len(lines._buffer) <= LINE_BYTES_MAX
    lines.feed(b'\n{"progress": 1}\n')
    assert (lines.refused, lines.take()) == (1, (1, None, None))


def test_only_the_first_refusals_are_told() -> None:
    lines, told = said(b"5\n" * 100)
    assert (lines.refused, len(told)) == (100, TOLD_MAX)
    assert told[-1].endswith("no more is told")
