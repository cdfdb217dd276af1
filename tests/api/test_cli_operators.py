"""How `swimstream operators` shows guarantees, stops and the isolation of the worker that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from swimstream.cli import inspect, main

if TYPE_CHECKING:
    from collections.abc import Mapping

ROW = {
    "instance": "job/op[0]",
    "state": "running",
    "worker": "w2",
    "epoch": 7,
    "progress": 1,
    "failures": 0,
    "endpoint": "",
    "cause": "",
}


def shown(monkeypatch: pytest.MonkeyPatch, row: Mapping[str, object], **more: object) -> list[str]:
    monkeypatch.setattr(inspect, "ask", lambda *_: {"jobs": [], "operators": [{**ROW, **row}], **more})
    result = CliRunner().invoke(main, ["operators", "--control", "w1.sock"])
    assert result.exception is None
    return result.output.splitlines()


def test_a_worker_of_an_older_version_tells_no_guarantees(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, {})[1].split() == ["job/op[0]", "running", "w2", "7", "1", "0"]


def test_who_keeps_an_instance_warm_is_shown_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, row = shown(monkeypatch, {"standbys": ["w3", "w4"]})
    at = heads.index("STANDBYS")
    assert row[at:].startswith("w3, w4  ")


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ({"stopped_at": 0, "revoked": 0}, []),
        ({"stopped_at": 9, "revoked": 0}, ["9", "(held)"]),
        ({"stopped_at": 9, "revoked": 9}, ["9", "(revoked)"]),
        ({"stopped_at": 8, "revoked": 9}, ["8", "(held)"]),
    ],
)
def test_a_guarantee_is_shown_with_the_decision_that_stops_the_instance(
    monkeypatch: pytest.MonkeyPatch, stop: dict[str, int], words: list[str]
) -> None:
    row = shown(monkeypatch, {"guarantee": "at-most-one", **stop})[1]
    assert row.split()[6:] == ["at-most-one", *words]


@pytest.mark.parametrize(
    ("authority", "line"),
    [
        ({"isolated": False, "age_s": 1.0}, ""),
        ({"isolated": True, "age_s": 75.0}, "its proof of a quorum is 1m15s old; what runs at most once does not run"),
        ({"isolated": True, "age_s": None}, "it has no proof of a quorum; what runs at most once does not run"),
    ],
)
def test_an_isolated_worker_says_so(monkeypatch: pytest.MonkeyPatch, authority: dict[str, object], line: str) -> None:
    lines = shown(monkeypatch, {}, authority=authority)[2:]
    assert lines == (["", f"this worker is isolated: {line} here"] if line else [])
