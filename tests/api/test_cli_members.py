"""How `swimstream members` shows what a worker answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from swimstream.cli import inspect, main

if TYPE_CHECKING:
    import pytest


def shown(monkeypatch: pytest.MonkeyPatch, **row: object) -> list[str]:
    told = {"name": "w2", "for_s": 5, "site": "x", "address": "h:1", "capacity": 1, "accusers": ["w1"]}
    monkeypatch.setattr(inspect, "ask", lambda *_: {"members": [told | row]})
    result = CliRunner().invoke(main, ["members", "--control", "w1.sock"])
    assert result.exception is None
    return result.output.splitlines()


def test_a_worker_of_an_older_version_tells_neither_tags_nor_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, state="dead")[2:] == ["", "w2 is dead:"]


def test_who_removed_a_member_has_seen_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, state="left", tags={"role": "edge"}, evidence=["w1: no ack in time"])
    assert (len(lines), lines[1].split()[-2:]) == (2, ["role=edge", "w1"])


def test_who_is_given_nothing_new_is_shown_so_beside_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, state="alive", mode="draining")[1].startswith("w2    alive, draining  5s")
    assert shown(monkeypatch, state="alive", mode="")[1].startswith("w2    alive  5s")
