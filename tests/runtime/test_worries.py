"""What is wrong around a worker, and counted, is told in the log: now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.runtime.worries import PAUSE_S, Worries

if TYPE_CHECKING:
    import pytest


def test_a_counter_that_has_risen_is_told_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    Worries("w1").look({"packets_of_unknown_key": 2}, now=5.0)
    assert "worker=w1 packets_of_unknown_key=2" in caplog.text


def test_what_does_not_rise_is_not_told_again(caplog: pytest.LogCaptureFixture) -> None:
    worries = Worries("w1")
    for now in (0.0, 1.0, PAUSE_S + 1.0):
        worries.look({"packets_unsealed": 2}, now=now)
    assert len(caplog.records) == 1


def test_what_rises_all_the_time_is_told_after_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    worries = Worries("w1")
    for second in range(int(PAUSE_S) + 1):
        worries.look({"packets_unsealed": second + 1}, now=float(second))
    assert len(caplog.records) == 2
